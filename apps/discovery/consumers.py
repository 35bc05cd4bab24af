"""The Channels consumer that runs the PumpPortal stream: `stream.run` starts it, `stream.reload` and `stream.stop`
reach it while it runs. It lives in the worker of `manage.py runstream`."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from apps.discovery.stream import Stream

CHANNEL = "pumpportal"


class PumpPortalConsumer(AsyncConsumer):
    """One a process. `scope["ended"]`, a future, is resolved when the stream ends, also by an error."""

    channel_layer_alias = "none"  # the worker brings its messages; a channel of its own would need Redis to start
    stream: Stream | None = None
    running: asyncio.Task[None] | None = None

    async def stream_run(self, message: dict[str, Any]) -> None:
        """Start the stream; once it runs, further such messages change nothing."""
        if self.running is None:
            self.stream = Stream()
            self.running = asyncio.create_task(self.stream.run())
            self.running.add_done_callback(self._ended)

    async def stream_reload(self, message: dict[str, Any]) -> None:
        """Read phases and settings again."""
        if self.stream is not None:
            self.stream.reload()

    async def stream_stop(self, message: dict[str, Any]) -> None:
        """Commit what was received and end."""
        if self.stream is not None and self.running is not None:
            self.stream.stop()
            await asyncio.wait([self.running])
        raise StopConsumer

    def _ended(self, task: asyncio.Task[None]) -> None:
        ended: asyncio.Future[None] = self.scope["ended"]
        if ended.done():
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(None)
