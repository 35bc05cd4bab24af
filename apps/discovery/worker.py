"""A Channels worker that outlives Redis: the first message comes from the process itself, further ones from the channel
layer whenever it is there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import redis
from channels.worker import Worker

from apps.core.process import Stop, backoff
from apps.discovery.consumers import CHANNEL

logger = logging.getLogger(__name__)

STOP_POLL_SECONDS = 0.1


class StreamWorker(Worker):
    """Runs the consumer of channel CHANNEL until `stop` is set or the stream ends."""

    def __init__(self, application: Any, channel_layer: Any, stop: Stop) -> None:
        super().__init__(application, [CHANNEL], channel_layer)
        self.stop = stop

    async def handle(self) -> None:
        """Start the stream, pass messages on, stop it when told. Raises what ended the stream."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.scope = {"type": "channel", "channel": CHANNEL, "ended": ended}
        await self.deliver({"type": "stream.run"})
        listening = asyncio.create_task(self.listener(CHANNEL))
        stopping = asyncio.create_task(self._until_stop())
        await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        stopping.cancel()
        await self.deliver({"type": "stream.stop"})
        await ended

    async def application_exception(self, exception: BaseException, application_details: dict[str, Any]) -> None:
        """A consumer that died streams no more: end, so that the process is started again."""
        await super().application_exception(exception, application_details)
        ended: asyncio.Future[None] = application_details["scope"]["ended"]
        if not ended.done():
            ended.set_exception(exception)

    async def deliver(self, message: dict[str, Any]) -> None:
        """Hand a message to the consumer of this process."""
        await self.get_or_create_application_instance(CHANNEL, self.scope).put(message)

    async def listener(self, channel: str) -> None:
        """Pass on what other processes send; while Redis is away, wait for it."""
        delays = backoff(most=10.0)
        while True:
            try:
                message = await self.channel_layer.receive(channel)
            except redis.TimeoutError:
                continue  # nothing came for a while
            except (redis.RedisError, OSError) as error:
                logger.warning("no orders for the stream: Redis is away (%s)", type(error).__name__)
                await asyncio.sleep(next(delays))
                continue
            delays = backoff(most=10.0)
            if str(message.get("type", "")).startswith("stream."):
                await self.deliver(message)

    async def _until_stop(self) -> None:
        while not self.stop:
            await asyncio.sleep(STOP_POLL_SECONDS)
