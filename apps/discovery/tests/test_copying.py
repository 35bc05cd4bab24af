"""Rows of plain values reach their tables exactly."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.discovery.copying import block_of, copy_rows, moment
from apps.discovery.lines import decode_lines, frame_line, frame_lines

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ADDRESS = st.text("123ABCxyz", min_size=1, max_size=44)
ROWS = st.tuples(ADDRESS, st.integers(0, 2**52), INT64, st.none() | ADDRESS, FLOATS, st.booleans())


def test_block_is_text_with_commas() -> None:
    assert (
        block_of([("mint", 5, None, 0.5, True), ("m2", -1, "x", 1e-9, False)])
        == b"mint,5,null,0.5,true\nm2,-1,x,1e-9,false\n"
    )


@pytest.mark.django_db
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=20))
def test_every_value_comes_back_as_it_was(rows: list[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS copied")
        cursor.execute(
            "CREATE TEMP TABLE copied "
            "(n serial, mint text, at timestamptz, big bigint, text text, float float8, flag boolean)"
        )
        copy_rows(cursor, "copied (mint, at, big, text, float, flag)", rows, timed=True)
        cursor.execute("SELECT mint, at, big, text, float, flag FROM copied ORDER BY n")
        assert cursor.fetchall() == [(row[0], moment(row[1]), *row[2:]) for row in rows]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    at_us=st.integers(0, 2**51),
    raws=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6),
)
def test_frames_written_together_are_the_lines_written_one_by_one(at_us: int, raws: list[str]) -> None:
    lines = frame_lines(at_us, raws)
    assert [entry.raw for entry in decode_lines(b"".join(lines), 0, 0)] == raws
    assert [decode_lines(line, 0, 0) for line in lines] == [decode_lines(frame_line(at_us, raw), 0, 0) for raw in raws]
