import json
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection

from apps.training import features, leakcheck
from apps.training.tests import market

CUTS = [market.START + timedelta(minutes=minutes) for minutes in (8, 17.3, 31, 45.77)]


def test_the_products_features_labels_and_windows_do_not_leak(filled):
    findings = leakcheck.check(CUTS, coins_per_cut=20, seed=1)
    assert findings.is_clean, findings.examples
    assert findings.rows_compared > 500
    assert findings.scorer_rows_compared > 30
    assert findings.labels_compared > 500
    assert findings.windows_compared > 500


def test_a_planted_leak_is_found_and_named(filled):
    def peeking(columns, market, rows):
        """The coin's final price in the place of the price."""
        matrix = features.compute(columns, market, rows=rows)
        last = np.r_[columns.coin[1:] != columns.coin[:-1], True]
        final = columns.price_close[last][np.cumsum(np.r_[False, last[:-1]])]
        matrix[:, features.NAMES.index("price_close")] = final[rows]
        return matrix

    findings = leakcheck.check(CUTS, coins_per_cut=20, seed=1, compute=peeking)
    assert not findings.is_clean
    assert {example["feature"] for example in findings.examples} == {"price_close"}


def test_an_average_over_the_whole_stream_is_found(filled):
    def centred(columns, market, rows):
        matrix = features.compute(columns, market, rows=rows)
        return matrix - columns.volume_sol.mean()

    assert not leakcheck.check(CUTS[:1], coins_per_cut=20, seed=1, compute=centred).is_clean


def test_a_window_that_knows_a_later_trade_is_found(filled):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE coin_metrics SET price_close = price_close * 1.01 WHERE mint LIKE 'Coin%0010pump'")
    assert leakcheck.check([CUTS[0]], coins_per_cut=200, seed=1).windows_different > 0


@pytest.fixture
def with_creators(filled):
    """Every coin of one of three creators, as if its creation had been seen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE discovered_coins SET created_at = first_seen_at, creator = substr(mint, 40, 1)::int % 3,"
            " market_cap_sol = 28"
        )


def test_creators_are_compared_and_do_not_leak(with_creators):
    findings = leakcheck.check(CUTS, coins_per_cut=20, seed=1)
    assert findings.is_clean, findings.examples
    assert findings.creators_compared > 30


def test_a_creator_known_by_what_came_later_is_found_and_named(with_creators):
    leakcheck.check(CUTS[:1], coins_per_cut=200, seed=1)
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
