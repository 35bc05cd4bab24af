"""Coins that cannot be priced on the standard curve: recorded, marked with the reason, priced by no formula."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from apps.discovery import kinds
from apps.discovery.models import Coin, CoinMetadata, CoinMetric, CoinStream, CoinTransaction
from apps.discovery.pumpportal.messages import SOL_MINT, USDC_MINT
from apps.discovery.tests.frames import create, text_of
from apps.discovery.tests.test_pipeline import feed
from apps.discovery.windows import METRIC_COLUMNS as METRIC_NAMES

pytestmark = pytest.mark.django_db
MINT = "M" * 40 + "pump"
# A curve quoted in USDC starts with thousands of dollars where a standard one has 30 SOL.
OTHER_QUOTE = {"vSolInBondingCurve": 4_200, "vTokensInBondingCurve": 1_000_000_000, "marketCapSol": 4_200}


def trade(*, pool: str = "pump", **fields: Any) -> str:
    content = {
        "signature": "7" * 88, "mint": MINT, "traderPublicKey": "T" * 40, "txType": "buy", "tokenAmount": 1_000,
        "solAmount": 1.5, "newTokenBalance": 1_000, "marketCapSol": 500.0, "pool": pool,
    } | fields  # fmt: skip
    return text_of(content)


BONK_CREATE = text_of(
    {
        "signature": "6" * 88, "traderPublicKey": "C" * 40, "txType": "create", "mint": MINT, "solInPool": 0.5,
        "tokensInPool": 1_057_000_000, "initialBuy": 1_000_000, "solAmount": 0.05, "newTokenBalance": 1_000_000,
        "marketCapSol": 28.3, "name": "b", "symbol": "b", "uri": "", "pool": "bonk",
    }
)  # fmt: skip
CASES = [
    ("mayhem", create(MINT, is_mayhem_mode=True), trade(**OTHER_QUOTE)),
    ("other_launchpad", BONK_CREATE, trade(pool="bonk", solInPool=1.0, tokensInPool=1_000_000_000)),
    ("off_curve", create(MINT, **OTHER_QUOTE), trade(**OTHER_QUOTE)),
    ("off_curve", create(MINT), trade(**OTHER_QUOTE)),
    ("other_launchpad", None, trade(pool="launchlab", solInPool=1.0, tokensInPool=1_000_000_000)),
]


@pytest.mark.parametrize(("kind", "created", "traded"), CASES)
def test_it_is_recorded_marked_and_not_put_on_the_curve(kind: str, created: str | None, traded: str) -> None:
    texts = [text for text in (created, traded) if text is not None]
    pipeline = feed(*enumerate(texts))
    coin = Coin.objects.get()
    assert (coin.curve, coin.curve_kind) == ("nonstandard", kind)
    assert CoinTransaction.objects.filter(sol_amount=1_500_000_000).count() == 1
    pipeline.advance(pipeline.feed_us + 60_000_000)
    windows = pipeline.take().windows
    named = [dict(zip(METRIC_NAMES, row, strict=True)) for row in windows]
    assert named and all(row["bonding_curve_pct"] is None and row["is_koth"] is False for row in named)
    assert not CoinMetric.objects.filter(bonding_curve_pct__isnull=False).exists()
    assert CoinStream.objects.get().trades_total >= 1


@pytest.mark.parametrize(("kind", "created", "traded"), CASES[:3])
def test_its_page_says_why_and_offers_no_order(client: Client, kind: str, created: str, traded: str) -> None:
    feed((0, created), (1, traded))
    client.force_login(get_user_model().objects.create_user("person"))
    page = client.get(f"/discovery/coins/{MINT}/").content.decode()
    reasons = {"mayhem": "it is a mayhem coin", "other_launchpad": "launched elsewhere", "off_curve": "do not follow"}
    assert reasons[kind] in page and f"order/?mint={MINT}" not in page


def test_first_seen_in_a_pool_it_is_not_taken_for_standard() -> None:
    feed((0, trade(pool="pump-amm", solInPool=100, tokensInPool=200_000_000)))
    assert Coin.objects.get().curve_kind == "pool_only"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "standard"),
        ({"quote_mint": USDC_MINT}, "other_quote"),
        ({"is_mayhem": True}, "mayhem"),
        ({"curve": "nonstandard"}, "off_curve"),
        ({"curve": "nonstandard", "pool": ""}, "other_launchpad"),
    ],
)
def test_kind_follows_from_what_is_known(fields: dict[str, Any], kind: str) -> None:
    known: dict[str, Any] = {"curve": "standard", "pool": "pump", "is_mayhem": False, "quote_mint": SOL_MINT}
    assert kinds.kind_of(**(known | fields)) == kind


# --- Hostile content -----------------------------------------------------------------------------------
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7|add:7 }}\u202egnp"


@pytest.mark.parametrize("path", ["", "streams/", f"coins/{MINT}/"])
def test_hostile_texts_are_shown_escaped(client: Client, path: str) -> None:
    feed((0, create(MINT, name=HOSTILE, symbol=HOSTILE, uri=HOSTILE)))
    Coin.objects.update(description=HOSTILE, website=f"https://a.example/?{HOSTILE}", twitter="https://x.com/<b>")
    CoinMetadata.objects.create(coin_id=MINT, created_at=timezone.now(), next_at=timezone.now(), error=HOSTILE)
    client.force_login(get_user_model().objects.create_user("person"))
    page = client.get(f"/discovery/{path}").content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert 'href="https://x.com/&lt;b&gt;" rel="noopener noreferrer nofollow' in page or "coins/" not in path


def test_hostile_texts_leave_the_api_as_json(client: Client) -> None:
    feed((0, create(MINT, name=HOSTILE)))
    client.force_login(get_user_model().objects.create_superuser("staff"))
    answer = client.get(f"/api/find/coins/{MINT}")
    assert answer.headers["content-type"].startswith("application/json")
    assert json.loads(answer.content)["coin"]["name"] == HOSTILE
