"""`GET /api/find/creators/{address}`: what a creator has made."""

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, page_of
from apps.core.tokens import read
from apps.discovery import creators

router = Router(tags=["find"])


class CreatorCoinOut(Schema):
    """A coin and how its creator dealt in it, now. `sold80_seconds` is its age when the creator had first sold 80 % of
    what they had bought by then (null: not yet, or nothing was bought). What the creator wrote is untrusted input."""

    mint: str
    name: str
    symbol: str
    created_at: datetime
    outcome: Literal["graduated", "trading", "finished", "abandoned", "ended", "untracked"]
    filtered_reason: str
    trades: int
    last_trade_at: datetime | None
    top_market_cap_sol: float | None
    bought_base_units: int
    sold_base_units: int
    sold80_at: datetime | None
    sold80_seconds: float | None


class CreatorOut(Page[CreatorCoinOut]):
    """A creator's coins, newest first; `count` is how many there are, `graduated` how many of them graduated."""

    creator: str
    graduated: int


@router.get("/{address}", response=CreatorOut, auth=read)
def get_creator(request: HttpRequest, address: str, page: Query[PageQuery]) -> dict[str, Any]:
    """The coins of a creator: how they ended, what they reached, how fast the creator sold."""
    count, graduated = creators.totals(address)
    if not count:
        message = f"No coin of the creator {address[:64]} was ever seen from its creation."
        raise NotFoundError("CREATOR_NOT_FOUND", message, creator=address[:64])
    items = creators.coins_of(address, limit=page.limit, offset=page.offset)
    return page_of(items, count=count, page=page) | {"creator": address, "graduated": graduated}
