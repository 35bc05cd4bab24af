import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection

from apps.discovery import creators
from apps.discovery.models import Coin, ExchangeRate
from apps.training import features, leakcheck
from apps.training.labels import outcomes
from apps.training.tests import market

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """120 coins over an hour for all tests below; what a test changes is undone by its own transaction."""
    with django_db_blocker.unblock():
        market.fill()
    yield
    with django_db_blocker.unblock():
        market.clear()


CUTS = [market.START + timedelta(minutes=minutes) for minutes in (8, 17.3, 31, 45.77)]


def test_the_products_features_labels_and_windows_do_not_leak(filled):
    findings = leakcheck.check(CUTS, coins_per_cut=20, seed=1)
    assert findings.is_clean, findings.examples
    assert findings.rows_compared > 500
    assert findings.scorer_rows_compared > 30
    assert findings.labels_compared > 500
    assert findings.windows_compared > 500


def _last_of_each(coin, values):
    """The last value of its coin in each row."""
    last = np.r_[coin[1:] != coin[:-1], True]
    return values[last][np.cumsum(np.r_[False, last[:-1]])]


def final_price(columns, market, values):
    """The coin's price at the end of all that is there."""
    values["price_close"] = _last_of_each(columns.coin, columns.price_close)


def whole_average(columns, market, values):
    """A value centred by the whole stream."""
    values["volume_sol"] = columns.volume_sol - columns.volume_sol.mean()


def end_of_the_minute(columns, market, values):
    """What a minute came to, joined to all its rows."""
    minute = columns.coin * 10**9 + columns.as_of_us // 60_000_000
    values["volume_sol_60s"] = _last_of_each(minute, values["volume_sol_60s"])


def next_row(columns, market, values):
    """A window that reaches one row too far."""
    same = np.r_[columns.coin[1:] == columns.coin[:-1], False]
    values["trades_60s"] = values["trades_60s"] + np.where(same, np.roll(columns.num_buys, -1), 0)


def own_label(columns, market, values):
    """The answer itself, from what is there."""
    same = np.r_[columns.coin[1:] == columns.coin[:-1], False]
    values["phase_id"] = (same & (np.roll(columns.price_close, -1) > columns.price_close)).astype(float)


def highest_ever(columns, market, values):
    """The all-time high of the coin's whole life."""
    highest = np.maximum.reduceat(columns.price_high, np.unique(columns.coin, return_index=True)[1])
    values["from_ath"] = columns.price_close / highest[np.unique(columns.coin, return_inverse=True)[1]] - 1


def next_bucket(columns, market, values):
    """The market of the five seconds that have not yet passed."""
    later = replace(market, trades=np.r_[market.trades[1:], market.trades[-1:]])
    values["market_trades_300s"] = later.total("trades", columns.as_of_us, 300)


def newest_rate(columns, market, values):
    """What a SOL costs at the end of all that is there."""
    values["sol_usd"] = np.full(len(columns), market.rate[-1])


@pytest.fixture
def with_rates(filled):
    at = {minute: market.START + timedelta(minutes=minute) for minute in range(-60, 60)}
    options = {"currency": "USD", "source": "test"}
    ExchangeRate.objects.bulk_create(ExchangeRate(rate=150 + minute, at=at[minute], **options) for minute in at)


@pytest.mark.parametrize(
    ("plant", "feature"),
    [(final_price, "price_close"), (whole_average, "volume_sol"), (end_of_the_minute, "volume_sol_60s"),
     (next_row, "trades_60s"), (own_label, "phase_id"), (highest_ever, "from_ath"),
     (next_bucket, "market_trades_300s"), (newest_rate, "sol_usd")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)  # fmt: skip
def test_a_planted_leak_is_found_and_named(with_rates, plant, feature):
    def leaking(columns, market, rows):
        matrix = features.compute(columns, market)
        values = {feature: matrix[:, features.NAMES.index(feature)]}
        plant(columns, market, values)
        matrix[:, features.NAMES.index(feature)] = values[feature]
        return matrix[rows]

    findings = leakcheck.check(CUTS[2:3], coins_per_cut=20, seed=1, compute=leaking)
    assert not findings.is_clean
    assert {example["feature"] for example in findings.examples} == {feature}


def test_a_label_that_takes_the_unknown_for_a_no_is_found_and_named(filled):
    def hasty(*args):
        found = outcomes(*args)
        return replace(found, label=np.nan_to_num(found.label, nan=0.0))

    findings = leakcheck.check(CUTS[2:3], coins_per_cut=20, seed=1, judge=hasty)
    assert findings.labels_different > 0 and not findings.rows_different
    assert {example["check"] for example in findings.examples} == {"label"}
    assert {example["feature"] for example in findings.examples} <= {rule.name for rule in leakcheck.LABELS}


@pytest.mark.parametrize("column", ["price_close", "price_high", "price_low", "volume_sol", "num_buys"])
def test_a_window_that_knows_a_later_trade_is_found_and_named(filled, column):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE coin_metrics SET {column} = {column} * 2 + 1 WHERE mint LIKE 'Coin%0010pump'")
    findings = leakcheck.check([CUTS[0]], coins_per_cut=200, seed=1)
    assert findings.windows_different > 0
    assert {example["feature"] for example in findings.examples if example["check"] == "window"} == {column}


@pytest.fixture
def with_creators(filled):
    """Every coin of one of three creators, as if its creation had been seen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE discovered_coins SET created_at = first_seen_at, creator = substr(mint, 40, 1)::int % 3,"
            " market_cap_sol = 28"
        )


def test_creators_are_compared_and_do_not_leak(with_creators):
    findings = leakcheck.check(CUTS[1:3], coins_per_cut=20, seed=1)
    assert findings.is_clean, findings.examples
    assert findings.creators_compared > 30


def test_a_creator_known_by_what_came_later_is_found_and_named(with_creators):
    creators.histories_keep(list(Coin.objects.values_list("mint", flat=True)))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE creator_histories SET graduated = graduated + 1 WHERE creator = '2'")
    findings = leakcheck.check(CUTS[:1], coins_per_cut=200, seed=1)
    assert findings.creators_compared > findings.creators_different > 0
    assert {example["feature"] for example in findings.examples} == {"creator_graduated"}


def test_the_command_prints_json_and_says_by_its_status(filled, capsys):
    call_command("leakcheck", "--cuts", "2", "--coins", "10", "--json")
    assert json.loads(capsys.readouterr().out)["clean"] is True


def test_the_command_fails_on_a_leak(filled, capsys):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE coin_metrics SET price_close = price_close * 1.01")
    with pytest.raises(SystemExit) as ended:
        call_command("leakcheck", "--cuts", "2", "--coins", "10")
    assert ended.value.code == 1
    assert "A LEAK" in capsys.readouterr().out
