"""`GET /api/find/export/{kind}`: coins, trades and candles as a file."""

from typing import Literal

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Field, Query, Router, Schema
from pydantic import AwareDatetime

from apps.core.tokens import read
from apps.discovery.candles import LONGEST_SECONDS
from apps.discovery.export_views import file_response
from apps.discovery.exports import Wanted

router = Router(tags=["find"])


class ExportQuery(Schema):
    """An open end means everything. Large: give `mint` or a range to tools that keep answers in memory."""

    format: Literal["csv", "parquet"] = "csv"
    mint: str = Field("", max_length=64, pattern="^[^\\x00]*$")
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    bucket_seconds: int = Field(60, ge=1, le=LONGEST_SECONDS, description="length of the candles")


@router.get("/{kind}", auth=read)
def get_export(
    request: HttpRequest, kind: Literal["coins", "trades", "candles"], query: Query[ExportQuery]
) -> HttpResponseBase:
    """A file of rows, streamed; amounts are exact (lamports, base units). Times are UTC; `until` is not included."""
    wanted = Wanted(kind, query.mint, query.since, query.until, query.bucket_seconds)
    return file_response(request, wanted, query.format)
