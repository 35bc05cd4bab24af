"""Which new coins are only known and not followed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from apps.discovery import recordings as recorded
from apps.discovery.lifecycle import Rules, SpamMemory, filter_reason
from apps.discovery.pumpportal.messages import QUOTE_MINTS, Create
from apps.discovery.pumpportal.parse import parse

SECOND = 1_000_000


def rules_of(*, seconds: int = 30, coins: int = 3, bad_names: str = "") -> Rules:
    return Rules.of(
        bad_names=bad_names, spam_seconds=seconds, spam_coins=coins, untraded_seconds=120, stale_seconds=1800
    )


def reasons(rules: Rules, *coins: tuple[float, str, str]) -> list[str]:
    """The reasons of coins given as (second, creator, name)."""
    memory = SpamMemory()
    return [
        filter_reason(rules, memory, at_us=round(second * SECOND), creator=creator, name=name, symbol="S")
        for second, creator, name in coins
    ]


def test_two_people_with_the_same_idea_are_no_burst() -> None:
    assert reasons(rules_of(), (0, "A", "meme"), (0.5, "B", "MEME "), (9, "A", "another")) == ["", "", ""]


@pytest.mark.parametrize("same", ["creator", "name"])
def test_coins_beyond_the_allowed_number_within_the_window_are_a_burst(same: str) -> None:
    coins = [(n, "A" if same == "creator" else f"A{n}", "x" if same == "name" else f"x{n}") for n in range(5)]
    assert reasons(rules_of(), *coins) == ["", "", "", "spam_burst", "spam_burst"]


def test_burst_is_over_when_the_window_has_passed() -> None:
    coins = [(0, "A", "a"), (1, "A", "b"), (2, "A", "c"), (30.0, "A", "d"), (30.1, "A", "e")]
    assert reasons(rules_of(), *coins) == ["", "", "", "", "spam_burst"]


def test_window_of_nothing_turns_the_burst_filter_off() -> None:
    assert reasons(rules_of(seconds=0), *[(1, "A", "a")] * 9) == [""] * 9


@pytest.mark.parametrize("text", ["scam coin", "THE RUG", "x-Scam", "\ud800 scam"])
def test_bad_names_are_found_in_any_spelling(text: str) -> None:
    assert reasons(rules_of(bad_names="scam|rug"), (0, "A", text), (1, "B", "fine")) == ["bad_name", ""]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(.*a){20}$", "([a-z]+)*9"])
def test_no_pattern_takes_long_however_it_is_made(pattern: str) -> None:
    name = "a" * 5_000 + "!"  # with a matcher that goes back and forth each of these takes longer than the world exists
    assert reasons(rules_of(bad_names=pattern), (0, "A", name)) == [""]


def test_a_bad_word_is_found_at_the_end_of_a_long_name() -> None:
    assert reasons(rules_of(bad_names="scam"), (0, "A", "x" * 500 + "scam")) == ["bad_name"]


def test_coins_without_a_name_or_a_creator_are_no_burst() -> None:
    memory = SpamMemory()
    found = [filter_reason(rules_of(), memory, at_us=n, creator=None, name=" ", symbol="") for n in range(9)]
    assert set(found) == {""}


def creates_of(recordings: Path) -> list[tuple[int, Create]]:
    """(time, create) of the recorded frames; quote mints are no coins."""
    frames = recorded.read_frames(recordings / "frames_2026-07-03.jsonl")
    found = [(round(frame.t_wall * SECOND), parse(frame.raw or "").message) for frame in frames]
    return [(at, one) for at, one in found if isinstance(one, Create) and one.mint not in QUOTE_MINTS]


def filtered(creates: list[tuple[int, Create]], rules: Rules) -> Counter[str]:
    memory = SpamMemory()
    return Counter(
        filter_reason(rules, memory, at_us=at, creator=one.creator, name=one.name, symbol=one.symbol)
        for at, one in creates
    )


@pytest.mark.recordings
def test_real_bursts_are_cut_to_their_first_coins_and_copied_ideas_are_kept(recordings: Path) -> None:
    """One creator made 6 coins of one name in 7 s, another idea was launched by 13 different people."""
    creates = creates_of(recordings)
    every_repetition = filtered(creates, rules_of(coins=1))["spam_burst"]
    by_default = filtered(creates, rules_of())["spam_burst"]
    assert (len(creates), every_repetition, by_default) == (188, 52, 21)
