"""The ledger of gaps: what can be told of a time without a connection, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.discovery import gaps, queries
from apps.discovery.models import Coin, CoinStream, CoinTransaction, Phase, StreamGap, StreamGapCoin, StreamState

pytestmark = pytest.mark.django_db
START = datetime(2026, 7, 1, 12, tzinfo=UTC)
SOL = 10**9


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def coin(mint: str, *, ended: float | None = None, created: float = 0, **fields: Any) -> str:
    Coin.objects.create(
        mint=mint, first_seen_at=at(created), created_at=at(created), virtual_sol_lamports=30 * SOL, **fields
    )
    phase = Phase.objects.get(pk=1)
    ended_at = None if ended is None else at(ended)
    CoinStream.objects.create(
        coin_id=mint, phase=phase, started_at=at(created), ended_at=ended_at, is_active=ended is None
    )
    return mint


def trade(mint: str, seconds: float, side: str, sol: float, after: float) -> None:
    CoinTransaction.objects.create(
        mint=mint,
        timestamp=at(seconds),
        trade_key=int(seconds * 1000),
        seq=int(seconds * 1000),
        tx_type=side,
        sol_amount=int(sol * SOL),
        token_amount=1,
        price_sol=1e-8,
        virtual_sol_lamports=int(after * SOL),
        virtual_token_base_units=10**15,
        is_whale=False,
        phase_id_at_time=1,
    )


def gap(start: float, end: float, reason: str = "closed 1006") -> StreamGap:
    return StreamGap.objects.create(started_at=at(start), ended_at=at(end), reason=reason)


def assess(seconds: float) -> int:
    StreamState.objects.filter(pk=1).update(feed_at=at(seconds))
    return gaps.gaps_assess()


def sums(one: StreamGap) -> tuple[int | None, ...]:
    one.refresh_from_db()
    return one.coins_followed, one.coins_changed, one.coins_unseen, one.moved_lamports


def test_what_moved_unseen_is_the_difference_of_the_reserves() -> None:
    bought, sold, calm, quiet = (coin(letter * 40) for letter in "ABCD")
    for mint in (bought, sold, calm, quiet):
        trade(mint, 10, "buy", 1, 35)
    one = gap(20, 30)
    trade(bought, 31, "buy", 1, 39)  # it found 38: 3 SOL were bought unseen
    trade(sold, 32, "sell", 2, 31)  # it found 33: 2 SOL were sold unseen
    trade(calm, 33, "sell", 1, 34)  # it found 35: nothing happened
    assert assess(100) == 1
    assert sums(one) == (4, 2, 1, 5 * SOL)
    found = {row.mint: row.moved_lamports for row in StreamGapCoin.objects.all()}
    assert found == {bought: 3 * SOL, sold: -2 * SOL}


def test_a_coin_that_never_traded_before_began_with_the_reserves_of_its_creation() -> None:
    mint = coin("A" * 40)
    one = gap(20, 30)
    trade(mint, 31, "buy", 1, 32)
    assess(100)
    assert sums(one) == (1, 1, 0, SOL)


@pytest.mark.parametrize(
    "fields", [{"created": 25}, {"ended": 15}], ids=["created inside the gap", "given up before the gap"]
)
def test_coins_that_were_not_followed_then_do_not_count(fields: dict[str, Any]) -> None:
    mint = coin("A" * 40, **fields)
    one = gap(20, 30)
    trade(mint, 31, "buy", 1, 32)
    assess(100)
    assert sums(one) == (0, 0, 0, 0)


def test_nothing_is_told_where_two_gaps_lie_between_two_trades_or_off_the_curve() -> None:
    mint = coin("A" * 40)
    trade(mint, 10, "buy", 1, 35)
    other = coin("B" * 40, curve="nonstandard")
    trade(other, 10, "buy", 1, 35)
    first, second = gap(20, 30), gap(40, 50)
    trade(mint, 60, "buy", 1, 40)
    trade(other, 60, "buy", 1, 40)
    assess(120)
    assert sums(first) == sums(second) == (2, 0, 2, 0)


@pytest.mark.parametrize(
    ("narrow", "wide"), [((30, 40), (20, 60)), ((20, 30), (20, 60)), ((15, 30), (20, 60)), ((50, 60), (20, 60))]
)
@pytest.mark.parametrize("narrow_first", [True, False])
def test_what_moved_in_gaps_that_overlap_counts_once(
    narrow: tuple[int, int], wide: tuple[int, int], narrow_first: bool
) -> None:
    mint = coin("A" * 40)
    trade(mint, 10, "buy", 1, 35)
    spans = [narrow, wide] if narrow_first else [wide, narrow]
    found = {span: gap(*span) for span in spans}
    trade(mint, 61, "buy", 1, 39)
    assess(130)
    assert sums(found[narrow]) == (1, 0, 1, 0)
    assert sums(found[wide]) == (1, 1, 0, 3 * SOL)
    assert [row.gap_id for row in StreamGapCoin.objects.all()] == [found[wide].pk]


def test_a_gap_is_looked_at_after_a_minute_and_once_more_when_nothing_can_change() -> None:
    mint = coin("A" * 40)
    one = gap(20, 30)
    assert [assess(seconds) for seconds in (60, 90, 91)] == [0, 1, 0]
    assert sums(one) == (1, 0, 1, 0)
    trade(mint, 600, "buy", 1, 34)
    assert [assess(seconds) for seconds in (1_829, 1_830, 1_831, 9_999)] == [0, 1, 0, 0]
    assert sums(one) == (1, 1, 0, 3 * SOL)


def test_gaps_of_a_time_are_those_that_overlap_it() -> None:
    gap(20, 30, "restart")
    gap(40, 50)
    found = queries.gaps_between(at(0), at(45))
    assert [reason for _, _, reason in found] == ["restart", "closed 1006"]
    assert queries.gaps_between(at(30), at(40)) == []


@pytest.mark.parametrize(
    ("start", "end", "touched"),
    [(0, 20, False), (0, 21, True), (22, 25, True), (29, 40, True), (30, 40, False), (10, 60, True)],
)
def test_a_span_touches_a_gap_when_they_share_a_moment(start: float, end: float, touched: bool) -> None:
    assert gaps.touches([(at(20), at(30), "")], at(start), at(end)) is touched


@pytest.mark.parametrize(
    ("reason", "kind"), [("closed 1006", "closed"), ("silent", "silent"), ("anything <b>", "other"), ("disk", "disk")]
)
def test_reasons_have_few_kinds(reason: str, kind: str) -> None:
    assert gaps.reason_kind(reason) == kind
