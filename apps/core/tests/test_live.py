"""Live updates over the real channel layer."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext

from apps.core import live

SIGNED_IN = SimpleNamespace(is_authenticated=True)


@pytest.fixture(autouse=True)
def renderers(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Renderers of the test's own; counts how often each rendered."""
    count = {"words": 0, "coin:": 0}

    def words(topic: str) -> str:
        count["words"] += 1
        return f'<p id="words" hx-swap-oob="true">{gettext("Yes")}</p>'

    def coin(topic: str) -> str:
        count["coin:"] += 1
        return f"<p>{topic}</p>"

    def broken(topic: str) -> str:
        raise ValueError(topic)

    monkeypatch.setattr(live, "_renderers", {"words": words, "coin:": coin, "broken": broken})
    monkeypatch.setattr(live, "_rendered", live._Rendered())
    monkeypatch.setattr(live, "RENDER_EVERY_SECONDS", 0.2)
    return count


def browser(topics: str, user: Any = SIGNED_IN, language: str = "en") -> WebsocketCommunicator:
    headers = [(b"accept-language", language.encode())]
    communicator = WebsocketCommunicator(live.LiveConsumer.as_asgi(), f"/ws/live/?topics={topics}", headers)
    communicator.scope["user"] = user
    return communicator


async def connected(topics: str, **how: Any) -> WebsocketCommunicator:
    communicator = browser(topics, **how)
    accepted, _ = await communicator.connect(timeout=5)
    assert accepted
    return communicator


async def frames_until_quiet(communicator: WebsocketCommunicator) -> list[str]:
    frames = []
    while not await communicator.receive_nothing(timeout=0.6):
        frames.append(await communicator.receive_from())
    return frames


async def test_stranger_is_refused():
    accepted, code = await browser("words", user=AnonymousUser()).connect(timeout=5)
    assert (accepted, code) == (False, live.LOGIN_FIRST)


async def test_every_topic_is_rendered_on_connecting():
    communicator = await connected("words,coin:Abc")
    assert [frame for frame in await frames_until_quiet(communicator) if "words" in frame]
    await communicator.disconnect()


async def test_viewer_gets_html_in_their_language():
    communicator = await connected("words", language="de")
    assert "Ja" in await communicator.receive_from(timeout=5)
    await communicator.disconnect()


async def test_change_is_rendered_again_for_its_viewers_only(renderers):
    one, other = await connected("coin:Abc"), await connected("coin:Xyz")
    assert await one.receive_from(timeout=5) == "<p>coin:Abc</p>"
    assert await other.receive_from(timeout=5) == "<p>coin:Xyz</p>"
    live.publish("coin:Abc")
    assert await one.receive_from(timeout=5) == "<p>coin:Abc</p>"
    assert await other.receive_nothing(timeout=0.5)
    await asyncio.gather(one.disconnect(), other.disconnect())


async def test_many_changes_are_rendered_once(renderers):
    communicator = await connected("words")
    await frames_until_quiet(communicator)
    before = renderers["words"]
    for _ in range(100):
        live.publish("words")
    assert 1 <= len(await frames_until_quiet(communicator)) <= 10  # two where the machine has time
    assert renderers["words"] - before <= 10
    await communicator.disconnect()


async def test_viewers_share_one_rendering_of_a_change(renderers):
    viewers = await asyncio.gather(*(connected("words") for _ in range(5)))
    for viewer in viewers:
        await frames_until_quiet(viewer)
    before = renderers["words"]
    live.publish("words")
    for viewer in viewers:
        await viewer.receive_from(timeout=5)
    assert renderers["words"] - before <= 2
    await asyncio.gather(*(viewer.disconnect() for viewer in viewers))


async def test_rendering_that_began_before_a_change_is_not_served_for_it(renderers):
    began = time.time()
    await live._rendered.get("words", "en", began)
    await live._rendered.get("words", "en", began)
    assert renderers["words"] == 1
    await live._rendered.get("words", "en", time.time())
    assert renderers["words"] == 2


async def test_data_reaches_viewers_at_once():
    communicator = await connected("coin:Abc")
    await frames_until_quiet(communicator)
    live.publish("coin:Abc", candle={"time": 1, "close": 2.5})
    frames = await frames_until_quiet(communicator)
    assert json.loads(frames[0]) == {"topic": "coin:Abc", "candle": {"time": 1, "close": 2.5}}
    await communicator.disconnect()


async def test_renderer_that_fails_does_not_end_the_connection(caplog):
    communicator = await connected("broken,words")
    assert "words" in await communicator.receive_from(timeout=5)
    assert "rendering broken failed" in caplog.text
    await communicator.disconnect()


@pytest.mark.parametrize(
    ("query", "topics"),
    [
        ("topics=dashboard,coin:Ab1", ["dashboard", "coin:Ab1"]),
        ("topics=a,a,b", ["a", "b"]),
        ("topics=<script>,../x,Bad,coin:,ok", ["ok"]),
        ("", []),
        ("topics=" + ",".join(f"coin:{number}" for number in range(99)), [f"coin:{n}" for n in range(20)]),
    ],
)
def test_only_valid_topics_are_taken(query, topics):
    assert live.topics_of(query) == topics


def test_publishing_without_redis_does_nothing_and_says_so_once(settings, monkeypatch, caplog):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(live, "_publisher", None)
    for _ in range(50):
        live.publish("words")
    assert [record.message for record in caplog.records].count(
        "live updates pause: Redis is away (ConnectionError)"
    ) == 1


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("", "de"),
        ("&language=en", "en"),
        ("&language=de-AT", "de"),
        ("&language=xx", "de"),
        ("&language=" + "e" * 999, "de"),
    ],
)
def test_the_language_is_that_of_the_page_else_the_browsers(query: str, language: str) -> None:
    scope = {"query_string": f"topics=a{query}".encode(), "headers": [(b"accept-language", b"de")]}
    assert live.language_of(scope) == language
