"""`GET /api/find/rates`: what one SOL cost."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import AwareDatetime

from apps.core.errors import NotFoundError
from apps.core.pagination import Page, PageQuery, paginate
from apps.core.tokens import read
from apps.discovery import rates
from apps.discovery.models import ExchangeRate

router = Router(tags=["find"])
Currency = Literal["USD", "EUR"]


class RateOut(Schema):
    """The price of one SOL, where it is from, and when it held."""

    currency: Currency
    rate: Decimal
    source: str
    at: datetime


class RateFilter(PageQuery):
    currency: Currency | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


@router.get("", response=Page[RateOut], auth=read)
def list_rates(request: HttpRequest, page: Query[RateFilter]) -> dict[str, Any]:
    """Exchange rates, newest first."""
    return paginate(rates.rates_found(currency=page.currency or "", since=page.since, until=page.until), page)


@router.get("/at", response=RateOut, auth=read)
def get_rate_at(request: HttpRequest, currency: Currency = "USD", at: AwareDatetime | None = None) -> ExchangeRate:
    """The newest rate known at a moment (now, where none is given), never a later one."""
    found = rates.rate_at(currency, at or timezone.now())
    if found is None:
        raise NotFoundError("RATE_NOT_FOUND", "No rate is known for that time: import one with manage.py import_rates.")
    return found
