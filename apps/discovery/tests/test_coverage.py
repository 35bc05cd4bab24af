"""Which coins are asked for when there are more than the cap allows."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from apps.discovery.coverage import Coverage, choose


@dataclass(frozen=True)
class Coin:
    mint: str
    started_us: int | None
    last_trade_us: int | None


OLD_BUSY, OLD_QUIET, NEW, NEWER = Coin("a", 1, 90), Coin("b", 2, 10), Coin("c", 50, 55), Coin("d", 60, None)
ALL = [OLD_BUSY, OLD_QUIET, NEW, NEWER]


def test_without_a_cap_and_below_it_everything_is_asked_for() -> None:
    for cap in (0, 4, 5):
        assert choose(ALL, frozenset(), cap) == {"a", "b", "c", "d"}


def test_beyond_the_cap_half_of_the_places_go_to_the_newest_and_the_rest_to_the_busiest() -> None:
    assert choose(ALL, frozenset(), 2) == {"d", "a"}
    assert choose(ALL, frozenset(), 3) == {"d", "a", "c"}


def test_pinned_coins_are_asked_for_beyond_the_cap_and_when_they_are_tracked_no_more() -> None:
    assert choose(ALL, frozenset({"b", "gone"}), 1) == {"b", "gone"}
    assert choose(ALL, frozenset({"b"}), 3) == {"b", "d", "a"}


def test_a_pinned_coin_stays_when_its_tracking_ends_and_goes_when_it_is_released() -> None:
    coverage = Coverage(cap=10)
    coverage.follow({"a": True, "b": True})
    assert coverage.settle(ALL, frozenset({"a"})) == {}
    assert coverage.follow({"a": False, "b": False}) == {"b": False}
    assert coverage.settle([], frozenset()) == {"a": False}


def test_a_newborn_is_asked_for_at_once_and_another_one_makes_room() -> None:
    coverage = Coverage(cap=2)
    coverage.follow(dict.fromkeys("ab", True))
    assert coverage.settle([OLD_BUSY, OLD_QUIET], frozenset()) == {}
    assert coverage.follow({"d": True}) == {"d": True}
    assert coverage.settle([OLD_BUSY, OLD_QUIET, NEWER], frozenset()) == {"b": False}
    assert (coverage.left_out, coverage.covered) == (1, {"a", "d"})
    assert coverage.follow({"c": True, "d": False}) == {"c": True, "d": False}
    assert coverage.settle([OLD_BUSY, OLD_QUIET, NEW], frozenset()) == {}
    assert coverage.covered == {"a", "c"}


COINS = st.lists(
    st.builds(Coin, st.text("abcdef", min_size=1, max_size=2), st.integers(0, 9), st.none() | st.integers(0, 9)),
    unique_by=lambda coin: coin.mint,
)


@given(COINS, st.frozensets(st.text("abxy", min_size=1, max_size=2)), st.integers(0, 8))
def test_the_told_changes_lead_to_what_the_rule_chose(coins: list[Coin], pinned: frozenset[str], cap: int) -> None:
    coverage, asked = Coverage(cap), set[str]()
    for changes in (
        coverage.follow({coin.mint: True for coin in coins}),
        coverage.settle(coins, pinned),
        coverage.settle(coins, frozenset()),
        coverage.settle(coins, pinned),
    ):
        asked = (asked | {mint for mint, on in changes.items() if on}) - {
            mint for mint, on in changes.items() if not on
        }
    assert asked == coverage.covered == choose(coins, pinned, cap)
    assert pinned <= asked
    if cap:
        assert len(asked) <= max(cap, len(pinned))
