"""What one SOL costs, from outside: Jupiter (dollars) with the ECB's daily rate (euros), or CoinGecko.

Jupiter's `price/v3` is keyed by mint. The European Central Bank says once a working day how many dollars a euro costs.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import httpx2
import msgspec
from django.conf import settings
from django.core.cache import caches

from apps.discovery.pumpportal.messages import SOL_MINT

logger = logging.getLogger(__name__)

Currency = Literal["USD", "EUR"]
KEYLESS_HOST, KEYED_HOST = "https://lite-api.jup.ag", "https://api.jup.ag"
COINGECKO = "https://api.coingecko.com"
ECB = "https://www.ecb.europa.eu"
ECB_KEPT_SECONDS = 6 * 3600
TIMEOUT_SECONDS = 10.0
LEAST, MOST = Decimal("0.000001"), 10**9


class RateUnavailableError(Exception):
    """The endpoint did not answer, or not with a price."""


class _JupiterPrice(msgspec.Struct):
    usd_price: Decimal = msgspec.field(name="usdPrice")


class _CoinGeckoPrice(msgspec.Struct):
    usd: Decimal
    eur: Decimal


@dataclass(frozen=True, slots=True)
class Rate:
    """What one SOL costs."""

    currency: Currency
    value: Decimal
    source: str


_decode_jupiter = msgspec.json.Decoder(dict[str, _JupiterPrice | None]).decode
_decode_coingecko = msgspec.json.Decoder(dict[str, _CoinGeckoPrice]).decode


def fetch(source: str, *, host: str = "", ecb_host: str = ECB) -> list[Rate]:
    """Ask `jupiter` or `coingecko`. Raises RateUnavailableError; without the bank there are dollars only."""
    if source == "coingecko":
        query = {"ids": "solana", "vs_currencies": "usd,eur"}
        return parse_coingecko(_get(f"{host or COINGECKO}/api/v3/simple/price", query))
    key = settings.JUPITER_API_KEY
    address = f"{host or (KEYED_HOST if key else KEYLESS_HOST)}/price/v3"
    usd = parse_jupiter(_get(address, {"ids": SOL_MINT}, {"x-api-key": key} if key else {}))
    rates = [Rate("USD", usd, "jupiter")]
    try:
        rates.append(Rate("EUR", exact(usd / _usd_per_eur(ecb_host)), "jupiter+ecb"))
    except RateUnavailableError as error:
        logger.warning("no rate in euros: %s", error)
    return rates


def parse_jupiter(body: bytes) -> Decimal:
    """SOL in US dollars from an answer of `price/v3`, exact. Raises RateUnavailableError."""
    try:
        price = _decode_jupiter(body).get(SOL_MINT)
    except msgspec.DecodeError as error:
        raise RateUnavailableError(f"not a price answer: {error}") from None
    if price is None:
        raise RateUnavailableError("the answer has no price of SOL")
    return exact(price.usd_price)


def parse_coingecko(body: bytes) -> list[Rate]:
    """Both rates from an answer of `simple/price`. Raises RateUnavailableError."""
    try:
        price = _decode_coingecko(body)["solana"]
    except (msgspec.DecodeError, KeyError) as error:
        raise RateUnavailableError(f"not a price answer: {error}") from None
    return [Rate("USD", exact(price.usd), "coingecko"), Rate("EUR", exact(price.eur), "coingecko")]


def parse_ecb(body: bytes) -> Decimal:
    """How many dollars one euro costs, from the bank's daily list. Raises RateUnavailableError."""
    found = re.search(rb"""currency=["']USD["']\s+rate=["'](\d{1,6}(?:\.\d{1,10})?)["']""", body)
    if found is None:
        raise RateUnavailableError("the bank's list has no US dollar")
    return exact(Decimal(found[1].decode()))


def exact(value: Decimal) -> Decimal:
    """A price as the table holds it. Raises RateUnavailableError for what is none."""
    if not value.is_finite() or not LEAST <= value < MOST:
        raise RateUnavailableError(f"{value} is no price")
    return value.quantize(LEAST)


def _usd_per_eur(host: str) -> Decimal:
    known: Decimal | None = caches["local"].get("usd_per_eur")
    if known is None:
        known = parse_ecb(_get(f"{host}/stats/eurofxref/eurofxref-daily.xml"))
        caches["local"].set("usd_per_eur", known, ECB_KEPT_SECONDS)
    return known


def _get(address: str, query: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> bytes:
    try:
        answer = httpx2.get(address, params=query, headers=headers, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        raise RateUnavailableError(f"{type(error).__name__} from {address}") from None
    return answer.content
