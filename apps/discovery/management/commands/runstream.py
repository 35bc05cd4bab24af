"""`manage.py runstream`: the stream process."""

from __future__ import annotations

from typing import Any

from channels.layers import get_channel_layer
from channels.routing import ChannelNameRouter
from django.core.management.base import CommandParser

from apps.core.process import ServiceCommand, Stop
from apps.discovery.consumers import CHANNEL, PumpPortalConsumer
from apps.discovery.interpreter import interpreter_set
from apps.discovery.worker import StreamWorker


class Command(ServiceCommand):
    """A Channels worker for the PumpPortal consumer."""

    help = (
        "Receive the feed (FEED_MODE: the simulator, or WS_URI), keep it in the journal, write coins, trades and "
        "metric windows. A second one stands by and takes over when the first ends. Ends cleanly on SIGTERM."
    )
    name = "stream"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--layer", default="stream", help="channel layer for orders to the stream")

    def run(self, stop: Stop) -> None:
        interpreter_set()
        application: Any = ChannelNameRouter({CHANNEL: PumpPortalConsumer.as_asgi()})
        StreamWorker(application, get_channel_layer(self.options["layer"]), stop).run()
