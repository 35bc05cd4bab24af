"""What one SOL costs: from outside, from a file, as of a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.utils import translation

from apps.discovery import pages_rates, rate_sources, rates, tasks
from apps.discovery.models import ExchangeRate
from apps.discovery.rate_sources import Rate, RateUnavailableError
from apps.discovery.tests.site import Site, answer

AT = datetime(2026, 7, 4, 12, tzinfo=UTC)
ECB = b"<Cube time='2026-07-03'><Cube currency='USD' rate='1.2500'/><Cube currency='JPY' rate='160'/></Cube>"
JUPITER = b'{"So11111111111111111111111111111111111111112": {"usdPrice": 150.25}}'
ECB_PATH, JUPITER_PATH = "/stats/eurofxref/eurofxref-daily.xml", f"/price/v3?ids={rate_sources.SOL_MINT}"


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    caches["local"].delete("usd_per_eur")


def test_dollars_and_euros_come_with_their_sources(site: Site) -> None:
    site.pages |= {JUPITER_PATH: answer(JUPITER), ECB_PATH: answer(ECB)}
    found = rate_sources.fetch("jupiter", host=site.url(""), ecb_host=site.url(""))
    assert found == [
        Rate("USD", Decimal("150.250000"), "jupiter"),
        Rate("EUR", Decimal("120.200000"), "jupiter+ecb"),
    ]
    rate_sources.fetch("jupiter", host=site.url(""), ecb_host=site.url(""))
    assert [path for path, _ in site.asked].count(ECB_PATH) == 1  # it changes once a day


def test_dollars_are_kept_where_the_bank_is_away(site: Site) -> None:
    site.pages[JUPITER_PATH] = answer(JUPITER)
    found = rate_sources.fetch("jupiter", host=site.url(""), ecb_host=site.url(""))
    assert [rate.currency for rate in found] == ["USD"]


def test_coingecko_says_both(site: Site) -> None:
    path = "/api/v3/simple/price?ids=solana&vs_currencies=usd%2Ceur"
    site.pages[path] = answer(b'{"solana": {"usd": 150, "eur": 130.5}}')
    found = rate_sources.fetch("coingecko", host=site.url(""))
    assert [(rate.currency, rate.value) for rate in found] == [("USD", Decimal(150)), ("EUR", Decimal("130.5"))]


def test_an_endpoint_that_is_away_is_named(site: Site) -> None:
    with pytest.raises(RateUnavailableError, match="price/v3"):
        rate_sources.fetch("jupiter", host=site.url(""), ecb_host=site.url(""))


@pytest.mark.recordings
def test_recorded_price_answer_is_read_exactly(recordings: Path) -> None:
    recorded = json.loads((recordings / "http" / "price_v3.json").read_text())
    assert rate_sources.parse_jupiter(json.dumps(recorded["body"]).encode()) == Decimal("81.632997")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"So11111111111111111111111111111111111111112":null}']
    + [b'{"So11111111111111111111111111111111111111112":{"usdPrice":%s}}' % value for value in (b"0", b"-1", b"1e30")],
)
def test_answer_without_a_price_is_refused(body: bytes) -> None:
    with pytest.raises(RateUnavailableError):
        rate_sources.parse_jupiter(body)
    with pytest.raises(RateUnavailableError):
        rate_sources.parse_coingecko(body)
    with pytest.raises(RateUnavailableError):
        rate_sources.parse_ecb(body)


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "value"), [("FEED_MODE", "simulator"), ("DEMO", True), ("RATE_SOURCE", "off")])
def test_rate_is_not_asked_for_with_simulated_money_or_when_off(settings: Any, name: str, value: Any) -> None:
    settings.FEED_MODE, settings.DEMO, settings.RATE_SOURCE = "live", False, "jupiter"
    setattr(settings, name, value)
    assert tasks.rates_read() == 0
    assert not ExchangeRate.objects.exists()


@pytest.mark.django_db
def test_lookup_never_knows_a_later_rate() -> None:
    for hours, value in ((0, 100), (2, 200)):
        rates.rates_keep(rates=[Rate("USD", Decimal(value), "x")], at=AT + timedelta(hours=hours))
    rates.rates_keep(rates=[Rate("EUR", Decimal(50), "x")], at=AT + timedelta(hours=1))
    minute = timedelta(minutes=1)
    asked = [AT - minute, AT, AT + timedelta(hours=2) - minute, AT + timedelta(hours=2), AT + timedelta(days=9)]
    found = [rates.rate_at("USD", at) for at in asked]
    assert [one and int(one.rate) for one in found] == [None, 100, 100, 200, 200]


def test_values_are_exact_to_the_cent() -> None:
    assert rates.value_of(1_500_000_000, Decimal("81.632997")) == Decimal("122.45")
    assert rates.value_of(-(10**18), Decimal("0.01")) == Decimal("-10000000.00")


# --- Import --------------------------------------------------------------------------------------------
def imported(path: Path, text: str) -> Any:
    path.write_text(text)
    out = StringIO()
    call_command("import_rates", str(path), "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.django_db
def test_a_file_is_imported_once(tmp_path: Path) -> None:
    text = "at,currency,rate,source\n2026-07-04,usd,81.5,bank\n2026-07-04T12:00:00+02:00,EUR,70,\n1783166400,USD,80,x\n"
    assert imported(tmp_path / "rates.csv", text) == {"lines": 3, "new": 3}
    assert imported(tmp_path / "rates.csv", text) == {"lines": 3, "new": 0}
    assert sorted(ExchangeRate.objects.values_list("at", "currency", "rate", "source")) == [
        (datetime(2026, 7, 4, tzinfo=UTC), "USD", Decimal("81.5"), "bank"),
        (datetime(2026, 7, 4, 10, tzinfo=UTC), "EUR", Decimal(70), "import"),
        (datetime(2026, 7, 4, 12, tzinfo=UTC), "USD", Decimal(80), "x"),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ("when,currency,rate\n", r"line 1, column at"),
        ("at,currency,rate\n2026-07-04,USD,1\nyesterday,USD,1\n", r"line 3, column at: 'yesterday'"),
        ("at,currency,rate\n2026-07-04,GBP,1\n", r"line 2, column currency"),
        ("at,currency,rate\n2026-07-04,USD,1,5\n", r"line 2: has 4 fields"),
        ("at,currency,rate\n2026-07-04,USD,\"1,5\"\n", r"line 2, column rate"),
        ("at,currency,rate\n2026-07-04,USD,NaN\n", r"line 2, column rate"),
        ("at,currency,rate\n2026-07-04,USD,-1\n", r"line 2, column rate"),
        ("at,currency,rate\n2026-07-04,USD,1e-9\n", r"line 2, column rate"),
        ("at,currency,rate\n0001-01-01T00:00:00+14:00,USD,1\n", r"line 2, column at"),
        ("at,currency,rate\n9999-12-31T23:59:59-14:00,USD,1\n", r"line 2, column at"),
        ("", r"line 1, column at"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_by_line_and_column_and_changes_nothing(tmp_path: Path, lines: str, where: str) -> None:
    with pytest.raises(CommandError, match=rf"rates\.csv: {where}") as caught:
        imported(tmp_path / "rates.csv", lines)
    assert caught.value.returncode == 2
    assert not ExchangeRate.objects.exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.csv"):
        call_command("import_rates", str(tmp_path / "none.csv"))


@pytest.mark.django_db
def test_rates_are_read_through_the_api(client: Any, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_superuser("staff"))
    for hours in (0, 1):
        rates.rates_keep(rates=[Rate("USD", Decimal(100 + hours), "x")], at=AT + timedelta(hours=hours))
    listed = client.get("/api/find/rates?currency=USD&limit=1").json()
    assert (listed["count"], listed["items"][0]["rate"], listed["items"][0]["source"]) == (2, "101.000000", "x")
    found = client.get("/api/find/rates/at?currency=USD&at=2026-07-04T12:30:00Z").json()
    assert (found["rate"], found["at"]) == ("100.000000", "2026-07-04T12:00:00Z")
    missing = client.get("/api/find/rates/at?currency=EUR")
    assert (missing.status_code, missing.json()["code"]) == (404, "RATE_NOT_FOUND")


@pytest.mark.django_db
def test_the_dashboard_tells_the_equity_in_money_where_a_rate_is_known(client: Any, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_superuser("staff"))
    assert "Equity in money" not in client.get("/").content.decode()
    rates.rates_keep(rates=[Rate("USD", Decimal("81.5"), "bank")], at=AT)
    page = client.get("/").content.decode()
    assert "Equity in money" in page and "USD from bank" in page


@pytest.mark.django_db
def test_worth_is_told_as_the_reader_writes_numbers() -> None:
    rates.rates_keep(rates=[Rate("USD", Decimal("81.5"), "bank"), Rate("EUR", Decimal(70), "bank")], at=AT)
    with translation.override("de"):
        assert pages_rates.worth(100_000_000_000, AT)["text"] == "8.150,00 USD · 7.000,00 EUR"
    assert pages_rates.worth(100_000_000_000, AT - timedelta(days=1)) == {"text": "", "origin": ""}


@pytest.mark.django_db
def test_an_old_rate_is_said_to_be_old() -> None:
    rates.rates_keep(rates=[Rate("USD", Decimal("81.5"), "bank")], at=AT)
    fresh, old = (pages_rates.worth(10**9, AT + timedelta(days=days))["origin"] for days in (1, 3))
    assert fresh.startswith("USD from bank, ")
    assert old == f"{fresh}: 3 d old"
