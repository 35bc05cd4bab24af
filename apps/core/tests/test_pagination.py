"""Pages of lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.core.pagination import MOST_ROWS, PageQuery, page_of, paginate


@given(st.lists(st.integers(), max_size=50), st.integers(1, 10))
def test_pages_together_are_the_list(rows, limit):
    joined = []
    for offset in range(0, len(rows) + limit, limit):
        page = paginate(rows, PageQuery(limit=limit, offset=offset))
        assert page["count"] == len(rows) and len(page["items"]) <= limit
        joined += page["items"]
    assert joined == rows


def test_rows_are_shaped():
    assert paginate([1, 2], PageQuery(), str)["items"] == ["1", "2"]


def test_page_of_sql_keeps_its_count():
    assert page_of([7], count=90, page=PageQuery(limit=1, offset=3)) == {
        "items": [7],
        "count": 90,
        "limit": 1,
        "offset": 3,
    }


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": MOST_ROWS + 1}, {"offset": -1}])
def test_page_out_of_range_is_refused(wrong):
    with pytest.raises(ValidationError):
        PageQuery(**wrong)
