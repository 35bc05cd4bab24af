"""Creators' histories: against a plain retelling, and never by what came later."""

from __future__ import annotations

import re
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.discovery import creators, curve, tasks
from apps.discovery.creators import COUNTED_COINS, DIED_AFTER, LAST_COINS, History
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import Coin, CoinStream, CoinTransaction, CreatorCoin, CreatorHistory, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.services import stream_config_load
from apps.discovery.state import Cursor, Entry
from apps.discovery.tests import frames
from apps.discovery.tests.frames import SECOND, START_US, SmallMarket
from apps.discovery.tests.test_api import Api
from apps.discovery.writer import Status, write

pytestmark = pytest.mark.usefixtures("feed_tables")

STATUS = Status("live", True, "", datetime(2026, 1, 1, tzinfo=UTC))
MORPH = {"hx-request": "true"}
BIRTH = datetime(2026, 3, 1, tzinfo=UTC)


class Feed:
    """Entries of a market through the product's pipeline into the tables, in as many commits as wanted."""

    def __init__(self, seed: int, count: int) -> None:
        self.entries: list[Entry] = SmallMarket(seed).entries(count)
        self.pipeline = Pipeline(stream_config_load(), DatabaseStore(), load_snapshot(stream_config_load()))
        self.owed, self.done = Owed(Path(tempfile.mkdtemp())), 0

    def until(self, end: int) -> None:
        self.pipeline.feed(self.entries[self.done : end], Cursor("0000000000000000.jsonl", end, end))
        write(self.pipeline.take(), STATUS, self.owed)
        self.done = end


def all_mints() -> list[str]:
    return list(Coin.objects.order_by("mint").values_list("mint", flat=True))


def retold() -> list[History]:
    """Every history by the definition, in plain Python over all rows."""
    coins = list(Coin.objects.exclude(creator=None).exclude(created_at=None).order_by("mint"))
    trades: dict[str, list[CoinTransaction]] = {}
    for trade in CoinTransaction.objects.order_by("timestamp", "seq", "trade_key"):
        trades.setdefault(trade.mint, []).append(trade)
    found = []
    for coin in coins:
        if coin.created_at > coin.first_seen_at:
            continue
        now = coin.created_at
        before = [one for one in coins if one.creator == coin.creator and one.created_at < now]
        before.sort(key=lambda one: one.mint)
        before.sort(key=lambda one: one.created_at, reverse=True)
        known = {one.mint: [t for t in trades.get(one.mint, []) if t.timestamp < now] for one in before}
        counted = before[:COUNTED_COINS]
        alive = [one for one in counted if not (one.graduated_at and one.graduated_at < now)]
        died = [one for one in alive if known[one.mint] and known[one.mint][-1].timestamp < now - DIED_AFTER]
        newest = before[:LAST_COINS]
        sold80 = [s for one in newest if (s := seconds_to_80(one, known[one.mint])) is not None]
        tops = [top for one in newest if (top := top_of(one, known[one.mint])) is not None]
        found.append(
            History(
                coin.mint,
                coin.creator,
                now,
                len(before),
                len(counted) - len(alive),
                len(died),
                statistics.median(sold80) if sold80 else None,
                statistics.median(tops) if tops else None,
                min((now - one.created_at).total_seconds() for one in before) if before else None,
            )
        )
    return found


def seconds_to_80(coin: Coin, trades: list[CoinTransaction]) -> float | None:
    bought, sold = coin.initial_buy_base_units or 0, 0
    for trade in trades:
        if (trade.signature, trade.token_amount) == (coin.signature, coin.initial_buy_base_units):
            continue  # the purchase inside the create
        if trade.trader_public_key == coin.creator and trade.tx_type == "buy":
            bought += trade.token_amount
        elif trade.trader_public_key == coin.creator:
            sold += trade.token_amount
        if bought and sold * 5 >= bought * 4:
            return (trade.timestamp - coin.created_at).total_seconds()
    return None


def top_of(coin: Coin, trades: list[CoinTransaction]) -> float | None:
    if coin.pool != "pump" or coin.is_mayhem:
        return None
    caps = [trade.price_sol * 1e9 for trade in trades if trade.virtual_sol_lamports is not None]
    return max([*caps, *([coin.market_cap_sol] if coin.market_cap_sol is not None else [])], default=None)


def same(one: list[History], other: list[History]) -> bool:
    def plain(history: History) -> tuple[Any, ...]:
        medians = (history.sold80_seconds, history.top_market_cap_sol, history.since_last_seconds)
        rounded = [None if value is None else pytest.approx(value, rel=1e-12, abs=1e-6) for value in medians]
        return (history.mint, history.creator, history.as_of, history.coins, history.graduated, history.died, *rounded)

    def values(history: History) -> tuple[Any, ...]:
        return (
            history.mint, history.creator, history.as_of, history.coins, history.graduated, history.died,
            history.sold80_seconds, history.top_market_cap_sol, history.since_last_seconds,
        )  # fmt: skip

    return [values(history) for history in one] == [plain(history) for history in other]


@pytest.mark.parametrize("seed", range(4))
def test_histories_are_what_a_plain_retelling_says(seed):
    Feed(seed, 900).until(900)
    found = creators.histories(all_mints())
    assert same(found, retold())
    assert len(found) > 40
    assert any(history.died for history in found)
    assert any(history.sold80_seconds for history in found)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_comes_later_changes_a_history(seed):
    """Not trades, graduations, silence or coins after it, not summaries of ended coins, in any order of doing."""
    feed, then = Feed(seed, 1_000), {}
    for end in (150, 400, 401, 650, 1_000):
        feed.until(end)
        if end == 400:
            fold_all()
        then.update({one.mint: one for one in creators.histories(all_mints()) if one.mint not in then})
        creators.histories_keep(all_mints()[::2])
    fold_all()
    assert {one.mint: one for one in creators.histories(all_mints())} == then
    creators.histories_keep(all_mints())
    assert {one.mint: one for one in creators.histories_kept(all_mints())} == then


def fold_all() -> None:
    creators.coins_fold([mint for mint, _ in creators.foldable((creators_epoch(), ""), 10_000)])


def creators_epoch() -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC)


def make_coin(mint: str, at: float, **fields: Any) -> Coin:
    """A coin of creator C that is seen from its creation, `at` seconds after BIRTH."""
    moment = BIRTH + timedelta(seconds=at)
    values = {"creator": "C", "pool": "pump", "created_at": moment, "first_seen_at": moment, **fields}
    coin = Coin.objects.create(mint=mint, **values)
    CoinStream.objects.create(coin=coin, phase_id=1, started_at=moment)
    return coin


def make_trade(mint: str, at: float, side: str, tokens: int, trader: str = "C", price: float = 3e-8) -> None:
    moment = BIRTH + timedelta(seconds=at)
    number = CoinTransaction.objects.count()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO coin_transactions (mint, timestamp, trade_key, seq, trader_public_key, tx_type, sol_amount,"
            " token_amount, price_sol, virtual_sol_lamports, is_whale, phase_id_at_time)"
            " VALUES (%s, %s, %s, %s, %s, %s, 1, %s, %s, 1, false, 1)",
            (mint, moment, number, number, trader, side, tokens, price),
        )
    CoinStream.objects.filter(pk=mint).update(last_trade_at=moment)


def history_of(mint: str) -> History:
    (found,) = creators.histories([mint])
    assert creators.history(mint) == found
    return found


def test_a_first_coin_has_nothing_before_it():
    make_coin("first", 0)
    assert history_of("first") == History("first", "C", BIRTH, 0, 0, 0, None, None, None)


def test_what_happens_at_the_very_moment_is_not_yet_known():
    make_coin("old", 0, initial_buy_base_units=100, graduated=True, graduated_at=BIRTH + timedelta(seconds=60))
    make_trade("old", 60, "sell", 80)
    make_coin("at", 60)
    make_coin("after", 60.000001)
    assert (history_of("at").graduated, history_of("at").sold80_seconds) == (0, None)
    after = history_of("after")
    assert (after.coins, after.graduated, after.sold80_seconds) == (2, 1, 60.0)
    assert after.since_last_seconds == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("dealt", "expected"),
    [
        ([(5, "sell", 79, "C")], None),
        ([(5, "sell", 79, "C"), (9, "sell", 1, "C")], 9.0),
        ([(5, "sell", 80, "other")], None),
        ([(5, "buy", 200, "C"), (6, "sell", 239, "C"), (7, "sell", 1, "C")], 7.0),
        ([(5, "sell", 80, "C"), (6, "buy", 900, "C")], 5.0),
    ],
)
def test_eighty_percent_counts_all_that_the_creator_bought(dealt, expected):
    make_coin("old", 0, initial_buy_base_units=100)
    for at, side, tokens, trader in dealt:
        make_trade("old", at, side, tokens, trader)
    make_coin("new", 100)
    assert history_of("new").sold80_seconds == expected


def test_first_buy_of_the_create_counts_once():
    bought = curve.buy_exact_in(curve.INITIAL, 10**9, curve.Fees(95, 30))
    sold = curve.sell(bought.after, bought.token_base_units, curve.Fees(95, 30))
    creator, mint = "C" * 40, "A" * 40
    initial = {"initialBuy": bought.token_base_units / 1e6, "solAmount": bought.net_lamports / 1e9}
    said = [
        frames.create(mint, creator=creator, signature="1" * 88, **initial),
        frames.trade(mint, side="sell", quote=sold, trader=creator, signature="2" * 88),
        frames.create("B" * 40, creator=creator, signature="3" * 88),
    ]
    pipeline = Pipeline(stream_config_load(), DatabaseStore(), load_snapshot(stream_config_load()))
    entries = [Entry(seq, START_US + 7 * seq * SECOND, raw) for seq, raw in enumerate(said)]
    pipeline.feed(entries, Cursor("0000000000000000.jsonl", 3, 3))
    write(pipeline.take(), STATUS, Owed(Path(tempfile.mkdtemp())))
    assert history_of("B" * 40).sold80_seconds == 7.0
    [_, old] = creators.coins_of(creator, limit=2)
    assert old["bought_base_units"] == old["sold_base_units"] == bought.token_base_units


def test_a_sale_without_a_known_purchase_says_nothing():
    make_coin("old", 0)
    make_trade("old", 5, "sell", 80)
    make_coin("new", 100)
    assert history_of("new").sold80_seconds is None


def test_a_coin_that_came_back_was_dead_before():
    make_coin("old", 0)
    make_trade("old", 5, "buy", 1)
    make_coin("new", 1_806)
    assert history_of("new").died == 1
    make_trade("old", 5_000, "buy", 1)
    assert history_of("new").died == 1
    make_coin("later", 5_001)
    assert history_of("later").died == 0


def test_of_very_many_coins_the_newest_are_looked_at(monkeypatch):
    monkeypatch.setitem(creators._CONSTANTS, "counted_coins", 3)
    for number in range(5):
        make_coin(f"old{number}", number * 10.0)
        if number < 4:
            make_trade(f"old{number}", number * 10.0 + 1, "buy", 1)
    make_coin("new", 7_200)
    assert (history_of("new").coins, history_of("new").died) == (5, 2)


def test_a_mayhem_coin_gives_no_market_cap():
    make_coin("old", 0, is_mayhem=True, market_cap_sol=28.0)
    make_trade("old", 5, "buy", 1, price=9e-7)
    make_coin("new", 100)
    assert history_of("new").top_market_cap_sol is None


def test_a_coin_whose_creation_came_after_its_first_trade_has_no_history():
    make_coin("late", 10, first_seen_at=BIRTH)
    assert creators.histories(["late"]) == []
    assert creators.histories_keep(["late"]) == 0
    assert creators.history("late") is None


def test_a_summary_outlives_the_trades_it_was_made_of():
    make_coin("old", 0, initial_buy_base_units=100)
    make_trade("old", 5, "sell", 80, price=9e-8)
    CoinStream.objects.filter(pk="old").update(is_active=False, ended_at=BIRTH + timedelta(hours=1))
    make_coin("new", 7_200)
    whole = history_of("new")
    fold_all()
    CoinTransaction.objects.filter(mint="old").delete()
    assert history_of("new") == whole
    assert whole.top_market_cap_sol == pytest.approx(90.0)
    creators.coins_fold(["old"])
    with connection.cursor() as cursor:
        creators.past_changed(cursor, ["old"])
    assert CreatorCoin.objects.get(pk="old").trades == 1


def test_no_question_plans_for_days_before_its_coins():
    make_coin("ancient", -5 * 86_400)
    make_trade("ancient", -5 * 86_400, "buy", 1)
    make_coin("old", 0, initial_buy_base_units=100)
    make_trade("old", 5, "sell", 80, price=9e-8)
    make_coin("new", 7_200)
    Coin.objects.filter(pk="ancient").update(creator="another")
    with CaptureQueriesContext(connection) as asked:
        assert creators.history("new").top_market_cap_sol == pytest.approx(90.0)
        assert len(creators.coins_of(Coin.objects.get(pk="new").creator, limit=5)) == 2
        creators.coins_fold(["old"])
        creators.histories_keep(["new"])
    questions = [one["sql"] for one in asked if "coin_transactions" in one["sql"]]
    assert len(questions) == 4
    with connection.cursor() as cursor:
        for question in questions:
            cursor.execute(f"EXPLAIN {question}")
            plan = "".join(line for (line,) in cursor.fetchall())
            assert len(set(re.findall(r" on (_hyper\w+)", plan))) == 1, plan


def test_a_coin_traded_again_is_summed_up_again():
    make_coin("old", 0, initial_buy_base_units=100)
    make_trade("old", 5, "sell", 10)
    CoinStream.objects.filter(pk="old").update(is_active=False, ended_at=BIRTH + timedelta(hours=1))
    fold_all()
    assert creators.foldable((creators_epoch(), ""), 10) == []
    make_trade("old", 8_000, "sell", 70)
    make_coin("new", 9_000)
    assert history_of("new").sold80_seconds == 8_000
    fold_all()
    assert CreatorCoin.objects.get(pk="old").trades == 2


def test_an_import_lets_what_hung_on_it_be_computed_again():
    make_coin("old", 0)
    make_coin("new", 100)
    creators.histories_keep(["old", "new"])
    make_trade("old", 5, "buy", 1, price=9e-8)
    with connection.cursor() as cursor:
        creators.past_changed(cursor, ["old"])
    assert list(CreatorHistory.objects.values_list("coin_id", flat=True)) == ["old"]
    creators.histories_keep(["old", "new"])
    assert CreatorHistory.objects.get(pk="new").top_market_cap_sol == pytest.approx(90.0)


def test_keeping_up_covers_every_coin_and_a_second_run_has_nothing_to_do(monkeypatch):
    monkeypatch.setattr("apps.discovery.creators._BATCH", 7)
    Feed(5, 900).until(900)
    wanted = creators.histories(all_mints())
    ended = CoinStream.objects.filter(is_active=False, coin__creator__isnull=False, last_trade_at__isnull=False)
    assert creators.keep_up() == (len(wanted), ended.count())
    assert creators.histories_kept(all_mints()) == wanted
    assert creators.keep_up() == (0, 0)


def test_trades_are_dropped_only_after_they_are_summed_up(settings):
    make_coin("old", 0, initial_buy_base_units=100)
    make_trade("old", 5, "sell", 80)
    CoinStream.objects.filter(pk="old").update(is_active=False, ended_at=BIRTH + timedelta(hours=1))
    StreamState.objects.update(feed_at=BIRTH + timedelta(days=10))
    settings.RETENTION_DAYS = {"coin_transactions": 2}
    tasks.retention_keep()
    assert not CoinTransaction.objects.exists()
    make_coin("new", 7_200)
    assert history_of("new").sold80_seconds == 5.0


def test_coins_of_a_creator_are_told_newest_first():
    make_coin("old", 0, initial_buy_base_units=100, symbol="OLD", market_cap_sol=28.0)
    make_trade("old", 5, "sell", 80, price=2e-8)
    make_coin("new", 100)
    make_coin("other", 50, creator="D")
    newest, oldest = creators.coins_of("C", limit=10)
    assert [newest["mint"], oldest["mint"], creators.totals("C")] == ["new", "old", (2, 0)]
    assert (oldest["sold80_seconds"], oldest["top_market_cap_sol"], oldest["trades"]) == (5.0, 28.0, 1)
    assert [newest["outcome"], oldest["outcome"]] == ["trading", "trading"]
    assert creators.coins_of("C", limit=1, offset=1) == [oldest]
    assert [coin["mint"] for coin in creators.coins_of("C", limit=10, but="new")] == ["old"]


def test_the_coin_page_shows_the_creators_other_coins_and_what_was_known(client):
    make_coin("old", 0, initial_buy_base_units=100, symbol="<script>", market_cap_sol=28.0)
    make_trade("old", 5, "sell", 80, price=9e-8)
    make_coin("new", 100)
    client.force_login(get_user_model().objects.create_user("person"))
    text = client.get(reverse("discovery:coin", args=["new"])).content.decode()
    assert "&lt;script&gt;" in text and "<script>old" not in text
    assert all(part in text for part in ("Coins made before", "90.00", "5 s"))
    assert 'id="creator-coin-old"' in text
    assert 'id="creator"' not in client.get(reverse("discovery:coin", args=["new"]), headers=MORPH).content.decode()


def test_the_page_of_a_coin_without_a_known_creator_has_no_box(client):
    make_coin("old", 0, creator=None)
    client.force_login(get_user_model().objects.create_user("person"))
    assert 'id="creator"' not in client.get(reverse("discovery:coin", args=["old"])).content.decode()


def test_the_api_pages_through_a_creators_coins():
    api = Api()
    make_coin("old", 0, initial_buy_base_units=100, graduated=True, graduated_at=BIRTH + timedelta(seconds=9))
    make_trade("old", 5, "sell", 80)
    make_coin("new", 100)
    found = api.call("get", "/creators/C?limit=1&offset=1")
    assert (found["creator"], found["count"], found["graduated"], len(found["items"])) == ("C", 2, 1, 1)
    item = found["items"][0]
    assert (item["mint"], item["outcome"], item["sold_base_units"], item["sold80_seconds"]) == (
        "old", "graduated", 80, 5.0,
    )  # fmt: skip
    assert api.call("get", "/creators/nobody", status=404)["code"] == "CREATOR_NOT_FOUND"
