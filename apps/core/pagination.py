"""Lists of the API: `{"items", "count", "limit", "offset"}`, at most 500 rows at a time.

@router.get("/streams", response=Page[StreamOut], auth=read)
def list_streams(request, page: Query[PageQuery]):
    return paginate(CoinStream.objects.active(), page)
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet
from ninja import Schema
from pydantic import Field

MOST_ROWS = 500
Row = TypeVar("Row")


class PageQuery(Schema):
    """Query parameters of every list."""

    limit: int = Field(100, ge=1, le=MOST_ROWS, description="rows to return")
    offset: int = Field(0, ge=0, description="rows to skip")


class Page(Schema, Generic[Row]):
    """One page and how many rows there are in all."""

    items: list[Row]
    count: int
    limit: int
    offset: int


def paginate(
    rows: QuerySet[Any] | Sequence[Any], page: PageQuery, shape: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Cut one page out of a query set (which must be ordered) or of a list that is complete; `shape` maps a row."""
    count = rows.count() if isinstance(rows, QuerySet) else len(rows)
    items = list(rows[page.offset : page.offset + page.limit])
    return page_of([shape(row) for row in items] if shape else items, count=count, page=page)


def page_of(items: Sequence[Any], *, count: int, page: PageQuery) -> dict[str, Any]:
    """Wrap rows that SQL has already cut to `page`; `count` is the number of all rows."""
    return {"items": list(items), "count": count, "limit": page.limit, "offset": page.offset}
