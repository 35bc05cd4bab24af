"""What one SOL costs in US dollars, from Jupiter's price endpoint (`price/v3`, keyed by mint)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import httpx2
import msgspec
from django.conf import settings

from apps.discovery.models import ExchangeRate
from apps.discovery.pumpportal.messages import SOL_MINT

SOURCE = "jupiter"
KEYLESS_HOST, KEYED_HOST = "https://lite-api.jup.ag", "https://api.jup.ag"
TIMEOUT_SECONDS = 10.0


class RateUnavailableError(Exception):
    """The endpoint did not answer, or not with a price."""


class _Price(msgspec.Struct):
    usd_price: Decimal = msgspec.field(name="usdPrice")


@dataclass(frozen=True, slots=True)
class Rate:
    usd: Decimal
    source: str


_decode = msgspec.json.Decoder(dict[str, _Price | None]).decode


def parse_price(body: bytes) -> Decimal:
    """SOL in US dollars from an answer of `price/v3`, exact. Raises RateUnavailableError."""
    try:
        price = _decode(body).get(SOL_MINT)
    except msgspec.DecodeError as error:
        raise RateUnavailableError(f"not a price answer: {error}") from None
    if price is None or not price.usd_price.is_finite() or not 0 < price.usd_price < 10**9:
        raise RateUnavailableError("the answer has no price of SOL")
    return price.usd_price.quantize(Decimal("0.000001"))


def fetch(*, host: str = "") -> Rate:
    """Ask Jupiter. Raises RateUnavailableError."""
    key = settings.JUPITER_API_KEY
    address = f"{host or (KEYED_HOST if key else KEYLESS_HOST)}/price/v3"
    headers = {"x-api-key": key} if key else {}
    try:
        answer = httpx2.get(address, params={"ids": SOL_MINT}, headers=headers, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        raise RateUnavailableError(f"{type(error).__name__} from the price endpoint") from None
    return Rate(parse_price(answer.content), SOURCE)


def rate_keep(*, rate: Rate, at: datetime) -> ExchangeRate:
    """Write a rate down with its source and time."""
    row, _ = ExchangeRate.objects.get_or_create(currency="USD", source=rate.source, at=at, defaults={"rate": rate.usd})
    return row
