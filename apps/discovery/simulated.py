"""The metadata of simulated coins: served by the simulator itself, so that a demo needs no internet.

Their uris name a host that cannot exist; only while the feed is the simulator that host is stood in for by the
simulator's own address, the one place on this machine that may then be asked.
"""

from __future__ import annotations

from django.conf import settings

from apps.core.outbound import Endpoint
from apps.discovery.pumpportal.market_metadata import METADATA_HOST, METADATA_PATH

LOOPBACK = "127.0.0.1"


def endpoints() -> tuple[Endpoint, ...]:
    """Endpoints that need not be public."""
    return ((LOOPBACK, settings.SIMULATOR_PORT),) if settings.FEED_MODE == "simulator" else ()


def stand_ins() -> dict[str, str]:
    """Hosts and the addresses that stand in for them."""
    if not (own := endpoints()):
        return {}
    host, port = own[0]
    return {METADATA_HOST: f"http://{host}:{port}{METADATA_PATH}"}
