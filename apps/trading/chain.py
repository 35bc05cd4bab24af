"""The Solana nodes of the settings."""

from __future__ import annotations

from django.conf import settings

from apps.trading.venues.rpc import Rpc


def rpc_open() -> Rpc:
    """A client of the nodes in SOLANA_RPC_URL and SOLANA_RPC_FALLBACK_URLS; the caller closes it."""
    urls = [settings.SOLANA_RPC_URL, *settings.SOLANA_RPC_FALLBACK_URLS]
    return Rpc(urls, timeout_seconds=settings.SOLANA_TIMEOUT_SECONDS)
