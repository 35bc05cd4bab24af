"""Live updates of pages: a writer publishes that a topic changed, the browsers that look at it get its new HTML.

Topics: `dashboard`, `coins`, `coin:<mint>`, `training`, `predictions`, `trading`, `health`.

* `publish("dashboard")`: whoever looks at the topic gets it rendered again, at most once a second.
* `publish("coin:<mint>", candle={...})`: the same, and `{"topic": "coin:<mint>", "candle": {...}}` at once.
* `register("coin:", render)`: `render(topic) -> str` gives htmx out-of-band HTML, in the language of the viewer
  (call it in `AppConfig.ready`; a prefix ending in ":" stands for all its topics).
* Browsers connect to `/ws/live/?topics=dashboard,coin:<mint>&language=de`. A frame that starts with "{" is JSON, others
  are HTML. On connecting every topic is rendered once, so nothing is missed by a reconnect.

Redis may be away: `publish` then does nothing, connected browsers go on when it is back, new ones are asked to retry.
"""

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs

import redis
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.utils import translation

logger = logging.getLogger(__name__)

Renderer = Callable[[str], str]
TOPIC = re.compile(r"[a-z_]{1,30}(:[A-Za-z0-9_-]{1,64})?")
MOST_TOPICS = 20
RENDER_EVERY_SECONDS = 1.0
SILENT_SECONDS = 5.0
TRY_AGAIN_LATER = 1013
LOGIN_FIRST = 4401

_renderers: dict[str, Renderer] = {}


def register(topic_prefix: str, render: Renderer) -> None:
    """Say how a topic ("dashboard") or a family of topics ("coin:") is rendered."""
    _renderers[topic_prefix] = render


def renderer_of(topic: str) -> Renderer | None:
    """The renderer registered for a topic or for its family."""
    family, colon, _ = topic.partition(":")
    return _renderers.get(topic) or _renderers.get(family + colon)


def group_of(topic: str) -> str:
    """The channel group of a topic (group names know no colon)."""
    return "live." + topic.replace(":", ".")


class _Publisher:
    """Publishes in the wire form of the channel layer over one plain connection pool.

    The layer itself would open a connection for every call made outside an event loop.
    """

    def __init__(self) -> None:
        self._client = redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5, retry=None
        )
        self._silent_until = 0.0
        self._lock = threading.Lock()

    def publish(self, messages: Iterable[dict[str, Any]]) -> None:
        """Publish each to the group of its topic, all in one round trip."""
        if time.monotonic() < self._silent_until:
            return
        serialize = get_channel_layer().serialize
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for message in messages:
                    channel = f"{settings.LIVE_PREFIX}__group__{group_of(message['topic'])}"
                    pipeline.publish(channel, serialize(message))
                pipeline.execute()
        except redis.RedisError as error:
            self._fall_silent(error)

    def _fall_silent(self, error: Exception) -> None:
        with self._lock:
            if time.monotonic() >= self._silent_until:
                logger.warning("live updates pause: Redis is away (%s)", type(error).__name__)
            self._silent_until = time.monotonic() + SILENT_SECONDS


_publisher: _Publisher | None = None


class _Gathering(threading.local):
    """The topics that this thread will publish at the end of its piece of work; None outside of one."""

    topics: dict[str, None] | None = None


_gathering = _Gathering()


@contextmanager
def gathered() -> Iterator[None]:
    """Publish each topic that changes within once, at the end: many changes in one piece of work are one to a page."""
    _gathering.topics = {}
    try:
        yield
    finally:
        topics, _gathering.topics = _gathering.topics, None
        _publish([_message(topic) for topic in topics])


def publish(topic: str, **data: Any) -> None:
    """Tell the viewers of `topic` that it changed; `data` (JSON) reaches them at once. Never raises for Redis."""
    if _gathering.topics is not None and not data:
        _gathering.topics[topic] = None
        return
    _publish([_message(topic, data)])


def _message(topic: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    body = json.dumps(data, cls=DjangoJSONEncoder) if data else ""
    return {"type": "live.changed", "topic": topic, "data": body, "at": time.time()}


def _publish(messages: list[dict[str, Any]]) -> None:
    global _publisher
    if _publisher is None:
        _publisher = _Publisher()
    if messages:
        _publisher.publish(messages)


def topics_of(query: str) -> list[str]:
    """The valid topics of a query string, without doubles, at most `MOST_TOPICS`."""
    asked = ",".join(parse_qs(query).get("topics", [])).split(",")
    return [topic for topic in dict.fromkeys(asked) if TOPIC.fullmatch(topic)][:MOST_TOPICS]


def language_of(scope: dict[str, Any]) -> str:
    """The language of a websocket's page; where none is said, the user's: cookie first, then the browser's wish, which
    for a websocket need not be the one that the page was asked for with."""
    page = parse_qs(scope["query_string"].decode("latin1")).get("language", [""])[0][:20]
    with suppress(LookupError):
        return translation.get_supported_language_variant(page)
    request = HttpRequest()
    request.COOKIES = scope.get("cookies", {})
    request.META["HTTP_ACCEPT_LANGUAGE"] = dict(scope["headers"]).get(b"accept-language", b"").decode("latin1")
    return translation.get_language_from_request(request)


class _Rendered:
    """Renders a topic once for a change and a language, however many browsers look at it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[float, asyncio.Future[str]]] = {}

    async def get(self, topic: str, language: str, since: float) -> str:
        """HTML of a rendering that began at `since` (epoch seconds) or later: it knows every change until then."""
        now = time.time()
        kept = self._kept.get((topic, language))
        if kept and kept[0] >= since and kept[1].get_loop() is asyncio.get_running_loop():
            return await asyncio.shield(kept[1])
        self._kept = {key: value for key, value in self._kept.items() if now - value[0] < RENDER_EVERY_SECONDS}
        future = asyncio.ensure_future(database_sync_to_async(_render)(topic, language))
        self._kept[topic, language] = (now, future)
        return await asyncio.shield(future)


def _render(topic: str, language: str) -> str:
    render = renderer_of(topic)
    if render is None:
        return ""
    with translation.override(language):
        return render(topic)


_rendered = _Rendered()


class LiveConsumer(AsyncWebsocketConsumer):
    """One browser: joins its topics, renders what changed, forwards data. Needs a signed-in user."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        except redis.RedisError as error:
            logger.warning("live connection closed: Redis is away (%s)", type(error).__name__)
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})

    async def connect(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(LOGIN_FIRST)
            return
        self.topics = topics_of(self.scope["query_string"].decode("latin1"))
        self.language = language_of(self.scope)
        self.changed = dict.fromkeys(self.topics, time.time())
        self.wake = asyncio.Event()
        self.wake.set()
        for topic in self.topics:
            await self.channel_layer.group_add(group_of(topic), self.channel_name)
        await self.accept()
        self.renders = asyncio.create_task(self.render_changed())

    async def disconnect(self, code: int) -> None:
        if renders := getattr(self, "renders", None):
            renders.cancel()
        try:
            for topic in getattr(self, "topics", []):
                await self.channel_layer.group_discard(group_of(topic), self.channel_name)
        except redis.RedisError:
            logger.debug("left a live connection while Redis was away")

    async def live_changed(self, message: dict[str, Any]) -> None:
        """A message of `publish`."""
        if message["data"]:
            await self.send(json.dumps({"topic": message["topic"], **json.loads(message["data"])}))
        self.changed[message["topic"]] = message["at"]
        self.wake.set()

    async def render_changed(self) -> None:
        """Render what changed since the last round, at most once a second, until the browser leaves."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            changed, self.changed = self.changed, {}
            for topic, since in sorted(changed.items()):
                await self.send_rendered(topic, since)
            await asyncio.sleep(RENDER_EVERY_SECONDS)

    async def send_rendered(self, topic: str, since: float) -> None:
        """Send one topic's HTML; a renderer that fails is logged and the connection goes on."""
        try:
            html = await _rendered.get(topic, self.language, since)
        except Exception:  # the boundary to code of other apps; the viewer keeps the last state
            logger.exception("rendering %s failed", topic)
            return
        if html:
            await self.send(html)
