"""The stream's promise: cut anywhere, killed anywhere, flushed at any moment, the tables come out the same."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.discovery import curve
from apps.discovery.loading import DatabaseStore, load_snapshot
from apps.discovery.models import Coin, CoinMetric, CoinStream, CoinTransaction, OddFrame, StreamGap, StreamState
from apps.discovery.owed import Owed
from apps.discovery.pipeline import Pipeline
from apps.discovery.pumpportal.server import NEEDS_KEY, SUBSCRIBED_KEYS
from apps.discovery.services import stream_config_load
from apps.discovery.state import Batch, Cursor, Entry
from apps.discovery.tests import tables
from apps.discovery.tests.frames import SECOND, START_US, SmallMarket, create, text_of, trade
from apps.discovery.writer import CursorMovedError, Status, pay_owed, write

pytestmark = pytest.mark.usefixtures("feed_tables")

OWED = Owed(Path(tempfile.mkdtemp()))
STATUS = Status("live", True, "", datetime(2026, 1, 1, tzinfo=UTC))


def commit(pipeline: Pipeline) -> Batch:
    batch = pipeline.take()
    if batch.feed_us:
        write(batch, STATUS, OWED)
        pipeline.committed()
    return batch


def started() -> Pipeline:
    config = stream_config_load()
    return Pipeline(config, DatabaseStore(), load_snapshot(config))


def run(entries: list[Entry], cuts: dict[int, str]) -> dict[str, Any]:
    """Feed entries one chunk after another; at each cut commit, or start anew from what was committed."""
    tables.reset()
    pipeline, begin = started(), 0
    for end in [*sorted(cut for cut in cuts if 0 < cut < len(entries)), len(entries)]:
        pipeline.feed(entries[begin:end], Cursor("0000000000000000.jsonl", end, end))
        begin = end
        if cuts.get(end) == "kill":  # nothing of this chunk was committed: the journal is read again from the cursor
            pipeline = started()
            begin = pipeline.cursor.next_seq
            pipeline.feed(entries[begin:end], Cursor("0000000000000000.jsonl", end, end))
            begin = end
        commit(pipeline)
        if cuts.get(end) == "restart":
            pipeline = started()
    return tables.dump()


def entry(seq: int, seconds: float, raw: str) -> Entry:
    return Entry(seq, START_US + round(seconds * SECOND), raw)


def feed(*frames: tuple[float, str]) -> Pipeline:
    """A pipeline that took these (seconds, frame) and committed."""
    pipeline = started()
    entries = [entry(seq, seconds, raw) for seq, (seconds, raw) in enumerate(frames)]
    pipeline.feed(entries, Cursor("0000000000000000.jsonl", len(frames), len(frames)))
    commit(pipeline)
    return pipeline


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_tables_are_the_same_wherever_the_stream_is_cut_killed_or_restarted(seed: int, data: st.DataObject) -> None:
    entries = SmallMarket(seed, late=True).entries(400)
    kinds = st.sampled_from(["commit", "restart", "kill"])
    cuts = data.draw(st.dictionaries(st.integers(1, len(entries) - 1), kinds, max_size=12))
    undisturbed = run(entries, {})
    assert undisturbed["coin_transactions"] and undisturbed["coin_metrics"]
    disturbed = run(entries, cuts)
    for name, rows in undisturbed.items():
        assert disturbed[name] == rows, name


def test_tables_are_the_same_when_every_single_frame_is_a_restart() -> None:
    entries = SmallMarket(4711, late=True).entries(100)
    assert run(entries, dict.fromkeys(range(1, 100), "restart")) == run(entries, {})


def test_windows_of_a_coin_never_overlap_and_hold_every_trade_of_their_phase() -> None:
    run(SmallMarket(99).entries(1_500), {})
    trades = CoinTransaction.objects.filter(phase_id_at_time__lt=99).count()
    folded = sum(row.num_buys + row.num_sells for row in CoinMetric.objects.all())
    open_windows = trades - folded
    assert 0 <= open_windows < 40
    for mint in CoinMetric.objects.values_list("mint", flat=True).distinct():
        ends = list(CoinMetric.objects.filter(mint=mint).order_by("timestamp").values_list("timestamp", flat=True))
        assert ends == sorted(set(ends))


def test_create_with_a_first_buy_counts_once_even_if_the_buy_comes_as_a_frame_of_its_own() -> None:
    mint, creator, signature = "M" * 40 + "pump", "C" * 40, "5" * 88
    bought = {
        "initialBuy": 34612903.225806,
        "solAmount": 1,
        "vTokensInBondingCurve": 1038387096.774194,
        "vSolInBondingCurve": 31,
        "marketCapSol": 29.8539,
    }
    buy = {
        "signature": signature,
        "mint": mint,
        "traderPublicKey": creator,
        "txType": "buy",
        "tokenAmount": 34612903.225806,
        "solAmount": 1,
        "vTokensInBondingCurve": 1038387096.774194,
        "vSolInBondingCurve": 31,
        "pool": "pump",
    }
    feed((0, create(mint, creator, signature, **bought)), (0.1, text_of(buy)))
    assert CoinTransaction.objects.get().sol_amount == 10**9
    assert StreamState.objects.get().oddities["duplicate_trade"] == 1
    stream = CoinStream.objects.get()
    assert (stream.trades_total, stream.volume_lamports) == (1, 10**9)


def test_first_buys_of_creates_do_not_pass_for_a_feed_with_trades() -> None:
    bought = curve.buy_exact_in(curve.INITIAL, SECOND, curve.Fees(95, 5))
    created = create("A" * 40, initialBuy=1_000_000.5, solAmount=0.03)
    refused = (0, text_of({"message": NEEDS_KEY}))
    assert feed(refused, (1, created)).state == "creates_only"
    assert CoinTransaction.objects.count() == 1
    tables.reset()
    paid = trade("A" * 40, side="buy", quote=bought, trader="B" * 40, signature="S" * 80)
    assert feed(refused, (1, created), (2, paid)).state == "running"


@pytest.mark.parametrize("cut", ["", "commit", "restart"])
def test_time_in_which_trades_are_refused_is_one_gap_wherever_it_is_cut(cut: str) -> None:
    said = [NEEDS_KEY, SUBSCRIBED_KEYS, NEEDS_KEY, NEEDS_KEY, "Subscribed to 'migration' events.", SUBSCRIBED_KEYS]
    entries = [entry(seq, 10 * seq, text_of({"message": text})) for seq, text in enumerate(said)]
    run(entries, dict.fromkeys(range(len(said)), cut) if cut else {})
    gaps = StreamGap.objects.order_by("started_at").values_list("started_at", "ended_at", "reason")
    seconds = [((a.timestamp() * SECOND - START_US), (b.timestamp() * SECOND - START_US), why) for a, b, why in gaps]
    assert seconds == [(0, 10 * SECOND, "refused"), (20 * SECOND, 50 * SECOND, "refused")]


def test_gap_of_refused_trades_is_known_while_it_lasts() -> None:
    pipeline = feed((0, text_of({"message": NEEDS_KEY})))
    for minute in (1, 2):
        pipeline.advance(START_US + minute * 60 * SECOND)
        commit(pipeline)
        assert [gap.ended_at - gap.started_at for gap in StreamGap.objects.all()] == [timedelta(minutes=minute)]


def test_quote_mint_is_never_a_coin_and_is_kept_as_a_sample() -> None:
    feed((0, create("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")))
    assert not Coin.objects.exists()
    assert OddFrame.objects.filter(kind="quote_mint_create").count() == 1


def test_migration_of_an_unknown_mint_makes_a_coin_known_only_by_its_mint() -> None:
    mint = "M" * 40 + "pump"
    feed((0, text_of({"signature": "5" * 88, "mint": mint, "txType": "migrate", "pool": "pump-amm"})))
    coin = Coin.objects.get()
    assert (coin.mint, coin.graduated, coin.created_at, coin.name) == (mint, True, None, "")
    assert not CoinStream.objects.exists()


def test_create_after_its_migration_fills_the_coin_in_and_stays_graduated() -> None:
    mint = "M" * 40 + "pump"
    migrate = text_of({"signature": "5" * 88, "mint": mint, "txType": "migrate", "pool": "pump-amm"})
    feed((0, migrate), (0.03, create(mint)))
    coin, stream = Coin.objects.get(), CoinStream.objects.get()
    assert coin.graduated and coin.name and coin.created_at is not None
    assert (stream.is_active, stream.is_graduated, stream.phase_id) == (False, True, 100)


def test_coin_beyond_a_burst_is_known_but_not_followed() -> None:
    mints = [letter * 40 + "pump" for letter in "KLMN"]
    pipeline = feed(*((second, create(mint, creator="X" * 40)) for second, mint in enumerate(mints)))
    assert Coin.objects.get(mint=mints[-1]).filtered_reason == "spam_burst"
    assert sorted(CoinStream.objects.values_list("coin_id", flat=True)) == mints[:-1]
    assert pipeline.take_followed() == {mint: mint != mints[-1] for mint in mints}


def test_untraded_coin_is_given_up_and_a_trade_brings_it_back() -> None:
    mint = "M" * 40 + "pump"
    pipeline = feed((0, create(mint)))
    pipeline.advance(START_US + 200 * SECOND)
    commit(pipeline)
    stream = CoinStream.objects.get()
    assert not stream.is_active and stream.ended_at is not None
    assert Coin.objects.get().final_outcome == "abandoned"
    quote = curve.buy_exact_in(curve.INITIAL, 10**9, curve.Fees(95, 30))
    late = trade(mint, side="buy", quote=quote, trader="T" * 40, signature="4" * 88)
    pipeline.feed([entry(1, 300, late)], Cursor("0000000000000000.jsonl", 2, 2))
    commit(pipeline)
    stream.refresh_from_db()
    assert stream.is_active and stream.ended_at is None and stream.trades_total == 1
    assert Coin.objects.get().final_outcome == ""


def test_writer_that_lost_the_feed_writes_nothing() -> None:
    one, other = started(), started()
    one.feed([entry(0, 0, create("M" * 40 + "pump"))], Cursor("0000000000000000.jsonl", 10, 1))
    other.feed([entry(0, 0, create("N" * 40 + "pump"))], Cursor("0000000000000000.jsonl", 12, 1))
    commit(one)
    with pytest.raises(CursorMovedError):
        commit(other)
    assert Coin.objects.count() == 1


def test_writing_the_same_batch_twice_is_writing_it_once() -> None:
    entries = SmallMarket(7).entries(200)
    pipeline = started()
    pipeline.feed(entries, Cursor("0000000000000000.jsonl", 200, 200))
    batch = pipeline.take()
    write(batch, STATUS, OWED)
    before = tables.dump()
    write(batch, STATUS, OWED)
    assert tables.dump() == before


def test_oddities_are_counted_exactly_over_restarts() -> None:
    entries = SmallMarket(21).entries(300)
    run(entries, dict.fromkeys(random.Random(1).sample(range(1, 300), 20), "restart"))
    counted = StreamState.objects.get()
    assert counted.frames_total == sum(one.raw is not None for one in entries)
    assert Counter(counted.oddities)["not_json"] == sum(one.raw in ("", "no json") for one in entries)


@pytest.mark.parametrize(
    ("refusing", "other"), [("coin_transactions", "coin_metrics"), ("coin_metrics", "coin_transactions")]
)
def test_table_that_refuses_does_not_stop_the_other_and_nothing_is_lost(
    tmp_path: Path, refusing: str, other: str
) -> None:
    owed, entries = Owed(tmp_path), SmallMarket(31).entries(100)
    whole = run(entries, {})
    tables.reset()
    pipeline = started()
    pipeline.feed(entries, Cursor("0000000000000000.jsonl", 100, 100))
    batch = pipeline.take()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {refusing} ADD CONSTRAINT refuse CHECK (mint = '') NOT VALID")
    try:
        write(batch, STATUS, owed)
        assert pay_owed(owed) == 0
        found = tables.dump()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {refusing} DROP CONSTRAINT refuse")
    assert found[refusing] == [] and found[other] == whole[other]
    assert pay_owed(owed) == len(whole[refusing])
    assert tables.dump() == whole
    assert not list(tmp_path.iterdir())


def test_restart_while_a_table_refuses_folds_the_owed_trades_into_their_windows(tmp_path: Path) -> None:
    owed, entries = Owed(tmp_path), SmallMarket(31).entries(100)
    whole = run(entries, {})
    tables.reset()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE coin_transactions ADD CONSTRAINT refuse CHECK (mint = '') NOT VALID")
    try:
        for begin in range(0, 100, 25):
            config = stream_config_load()
            assert pay_owed(owed) == 0
            pipeline = Pipeline(config, DatabaseStore(), load_snapshot(config, owed))
            pipeline.feed(entries[begin : begin + 25], Cursor("0000000000000000.jsonl", begin + 25, begin + 25))
            write(pipeline.take(), STATUS, owed)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE coin_transactions DROP CONSTRAINT refuse")
    assert tables.dump("coin_metrics")["coin_metrics"] == whole["coin_metrics"]
    assert pay_owed(owed) == len(whole["coin_transactions"])
    assert tables.dump() == whole


def test_owed_rows_of_a_batch_that_was_never_committed_are_left_to_be_folded_again(tmp_path: Path) -> None:
    owed, entries = Owed(tmp_path), SmallMarket(31).entries(200)
    whole = run(entries, {})
    tables.reset()
    pipeline = started()
    pipeline.feed(entries, Cursor("0000000000000000.jsonl", 200, 200))
    batch = pipeline.take()
    with connection.cursor() as cursor, pytest.raises(ZeroDivisionError), transaction.atomic():
        cursor.execute("ALTER TABLE coin_transactions ADD CONSTRAINT refuse CHECK (mint = '') NOT VALID")
        write(batch, STATUS, owed)  # its rows are refused and kept, then the process dies before the commit
        raise ZeroDivisionError
    assert len(list(tmp_path.iterdir())) == 1
    assert pay_owed(owed) == 0
    config = stream_config_load()
    again = Pipeline(config, DatabaseStore(), load_snapshot(config, owed))
    again.feed(entries, Cursor("0000000000000000.jsonl", 200, 200))
    write(again.take(), STATUS, owed)
    assert tables.dump() == whole
    pay_owed(owed)
    assert tables.dump() == whole
    assert not list(tmp_path.iterdir())


def test_single_refused_row_stays_owed_and_the_others_get_in(tmp_path: Path) -> None:
    owed, pipeline = Owed(tmp_path), started()
    pipeline.feed(SmallMarket(31).entries(200), Cursor("0000000000000000.jsonl", 200, 200))
    batch = pipeline.take()
    batch.trades[3] = (*batch.trades[3][:6], "steal", *batch.trades[3][7:])
    write(batch, STATUS, owed)
    assert not CoinTransaction.objects.exists()
    assert pay_owed(owed) == len(batch.trades) - 1
    assert CoinTransaction.objects.count() == len(batch.trades) - 1
    assert len(list(tmp_path.iterdir())) == 1
