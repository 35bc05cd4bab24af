"""What the stream asks the feed for: what is pinned, also beyond the cap, and what is tracked up to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.discovery.models import StreamState
from apps.discovery.pins import coin_pin, coin_unpin
from apps.discovery.pipeline import is_due_again
from apps.discovery.pumpportal.server import Frame
from apps.discovery.tests.frames import create
from apps.discovery.tests.process import Feed, StreamProcess, wait_until

HELD = "H" * 40
COINS = [f"{letter * 40}pump" for letter in "ABCDE"]


@pytest.mark.usefixtures("feed_tables")
def test_a_held_coin_is_asked_for_beyond_the_cap_until_it_is_released(tmp_path: Path) -> None:
    coin_pin(mint=HELD, holder="position:1")
    coin_pin(mint=HELD, holder="position:1")

    def asked() -> set[str]:
        return {mint for client in feed.server._clients for mint in client.mints}

    with Feed() as feed, StreamProcess(tmp_path, feed.server.uri, SUBSCRIPTION_CAP="3") as stream:
        wait_until(lambda: asked() == {HELD}, "the held coin")
        feed.publish(*(Frame(create(mint, creator=mint[:40]), "create", mint) for mint in COINS))
        wait_until(lambda: asked() >= {HELD, *COINS}, "every new coin at once")
        wait_until(lambda: len(asked()) == 3 and HELD in asked(), "the rule")
        coin_unpin(mint=HELD, holder="position:1")
        wait_until(lambda: len(asked()) == 3 and HELD not in asked(), "the place of the released coin")
        wait_until(lambda: (StreamState.objects.get().health or {}).get("left_out") == 2, "what is left out to be said")
        assert stream.terminate() == 0


def test_samples_of_a_common_kind_grow_ever_rarer() -> None:
    due = [count for count in range(100_000) if is_due_again(count)]
    assert due[:2] == [1_000, 1_100] and due[90:92] == [10_000, 11_000] and len(due) == 180
