"""Checks of the settings whose form was right (see `environment`): one sentence for each wrong value."""

import base64
import binascii
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error

from apps.core.environment import stop_start
from apps.core.patterns import Pattern, PatternError
from apps.core.webhook_urls import webhooks_wrong

ENCRYPTION_KEY_BYTES = 32
SHORTEST_SECRET = 50
ABOVE_ZERO = (
    "SPAM_BURST_COINS",
    "METADATA_CONCURRENCY",
    "METADATA_PER_HOST_PER_SECOND",
    "FLUSH_ROWS",
    "JOURNAL_SEGMENT_MB",
    "JOURNAL_SEGMENT_MINUTES",
    "FLUSH_MS",
    "SIMULATOR_RATE",
    "WS_RETRY_DELAY",
    "WS_MAX_RETRY_DELAY",
    "WS_PING_INTERVAL",
    "WS_PING_TIMEOUT",
    "WS_CONNECTION_TIMEOUT",
    "WHALE_THRESHOLD_SOL",
    "KOTH_MARKET_CAP_SOL",
    "MAX_CONCURRENT_JOBS",
    "POLLING_INTERVAL_SECONDS",
    "MAX_ALERT_LAG_SECONDS",
    "WEBHOOK_TIMEOUT_SECONDS",
    "SOLANA_TIMEOUT_SECONDS",
    "WEBHOOK_LOG_DAYS",
    "WS_BAN_DELAY",
    "ORDER_VALID_SECONDS",
    "REAL_UNLOCK_HOURS",
)
NOT_NEGATIVE = (
    "THUMBNAILS_MB",
    "COIN_CACHE_SECONDS",
    "SPAM_BURST_WINDOW",
    "JOURNAL_KEEP_GB",
    "JOURNAL_KEEP_DAYS",
    "JOURNAL_RESERVE_MB",
    "DEFAULT_JITO_TIP_LAMPORTS",
    "JITO_TIP_CAP_LAMPORTS",
    "PRIORITY_FEE_CAP_LAMPORTS",
    "NETWORK_FEE_SOL",
    "SAFETY_BUFFER_SOL",
    "TRADING_LATENCY_MS",
    "TRADING_LATENCY_MAX_MS",
    "DATABASE_POOL_SIZE",
    "TRUSTED_PROXY_COUNT",
    "SUBSCRIPTION_CAP",
    "DATASET_CACHE_MB",
    "ADDRESS_WAIT_HOURS",
    "TRANSFER_PRIORITY_FEE_LAMPORTS",
)
MOST = 10**9
RETENTION = tuple(f"RETENTION_{what}_DAYS" for what in ("TRANSACTIONS", "METRICS", "PREDICTIONS", "OUTCOMES", "ALERTS"))
RANGES = (
    (("PORT", "SIMULATOR_PORT"), 1, 65535, "a port between 1 and 65535"),
    (("PAPER_FAILURE_RATE", "FEED_EXACT_SHARE"), 0, 1, "a ratio between 0 and 1"),
    (("DEFAULT_SLIPPAGE_BPS",), 0, 10_000, "between 0 and 10000 (100 %)"),
    (RETENTION, 0, 36_500, "0 (for ever) or a number of days up to 36500"),
)
ADDRESSES = {
    "WS_URI": ("ws", "wss"),
    "N8N_FIND_WEBHOOK_URL": ("http", "https"),
    "N8N_SERVER_WEBHOOK_URL": ("http", "https"),
    "SOLANA_RPC_URL": ("http", "https"),
    "PUMPPORTAL_TRADE_URL": ("http", "https"),
    "JITO_BLOCK_ENGINE": ("http", "https"),
    "DASK_SCHEDULER_ADDRESS": ("tcp", "tls", "ws", "wss"),
}
MAY_BE_EMPTY = ("N8N_FIND_WEBHOOK_URL", "N8N_SERVER_WEBHOOK_URL", "JITO_BLOCK_ENGINE", "DASK_SCHEDULER_ADDRESS")
# A name, one that begins with a dot (all below it), an address, or *; what a browser's Host can match without its port
HOST_NAME = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\]", re.ASCII | re.IGNORECASE)


def _value(name: str) -> Any:
    return getattr(settings, name)


def _at_most(name: str) -> str:
    return f" and at most {MOST:,}" if _value(name) > MOST else ""


def numbers_wrong() -> Iterator[str]:
    """Numbers out of their range; NaN is in none."""
    for name in ABOVE_ZERO:
        if not 0 < _value(name) <= MOST:
            yield f"{name} must be above 0{_at_most(name)}, not {_value(name)}."
    for name in NOT_NEGATIVE:
        if not 0 <= _value(name) <= MOST:
            yield f"{name} must be 0 or above{_at_most(name)}, not {_value(name)}."
    for names, least, most, what in RANGES:
        for name in names:
            if not least <= _value(name) <= most:
                yield f"{name} must be {what}, not {_value(name)}."


def numbers_disagree() -> Iterator[str]:
    if settings.WS_MAX_RETRY_DELAY < settings.WS_RETRY_DELAY:
        yield "WS_MAX_RETRY_DELAY must not be below WS_RETRY_DELAY."


def addresses_wrong() -> Iterator[str]:
    for name, schemes in ADDRESSES.items():
        address = _value(name)
        if not address and name in MAY_BE_EMPTY:
            continue
        if not _is_address(address, schemes):
            yield f"{name} must be an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}."


def _is_address(address: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in schemes and bool(parts.netloc or parts.path) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def nodes_wrong() -> Iterator[str]:
    for address in settings.SOLANA_RPC_FALLBACK_URLS:
        if not _is_address(address, ("http", "https")):
            yield "SOLANA_RPC_FALLBACK_URLS must hold addresses that begin with http:// or https://."


def gateways_wrong() -> Iterator[str]:
    for gateway in settings.METADATA_GATEWAYS:
        if not _is_address(gateway, ("http", "https")) or not gateway.endswith("/ipfs/"):
            yield f'METADATA_GATEWAYS must hold addresses such as https://ipfs.io/ipfs/, not "{gateway}".'


def secrets_wrong() -> Iterator[str]:
    if not settings.DEBUG and len(settings.SECRET_KEY) < SHORTEST_SECRET:
        yield f"SECRET_KEY must have at least {SHORTEST_SECRET} random characters."
    for name in ("ENCRYPTION_KEY", "ENCRYPTION_KEY_OLD"):
        if name == "ENCRYPTION_KEY" or _value(name):
            yield from _key_wrong(name)


def _key_wrong(name: str) -> Iterator[str]:
    try:
        key = base64.b64decode(_value(name), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != ENCRYPTION_KEY_BYTES:
        yield f"{name} must be {ENCRYPTION_KEY_BYTES} bytes in base64 (44 characters)."


def pattern_wrong() -> Iterator[str]:
    try:
        Pattern(settings.BAD_NAMES_PATTERN)
    except PatternError as error:
        yield f"BAD_NAMES_PATTERN is not a regular expression: {error}."


def hosts_wrong() -> Iterator[str]:
    if not settings.ALLOWED_HOSTS:
        yield "ALLOWED_HOSTS must name at least one host, separated by commas."
    for host in settings.ALLOWED_HOSTS:
        if not HOST_NAME.fullmatch(host):
            yield f'ALLOWED_HOSTS must hold names such as pump.example.org, without https:// and port, not "{host}".'
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        if not _is_address(origin, ("http", "https")):
            yield f'CSRF_TRUSTED_ORIGINS must hold addresses such as https://pump.example.org, not "{origin}".'


def folders_wrong() -> Iterator[str]:
    for name in ("RUNTIME_DIR", "JOURNAL_DIR", "PROMETHEUS_MULTIPROC_DIR"):
        if Path(_value(name)).exists() and not Path(_value(name)).is_dir():
            yield f"{name} must be a folder, but {_value(name)} is a file."


RULES: tuple[Callable[[], Iterator[str]], ...] = (
    numbers_wrong,
    numbers_disagree,
    addresses_wrong,
    gateways_wrong,
    nodes_wrong,
    webhooks_wrong,
    secrets_wrong,
    pattern_wrong,
    hosts_wrong,
    folders_wrong,
)


def settings_wrong() -> list[str]:
    """One sentence for each wrong setting."""
    return [sentence for rule in RULES for sentence in rule()]


def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The same as a Django system check."""
    return [Error(sentence, id="core.E001") for sentence in settings_wrong()]


def require_settings() -> None:
    """End the process with status 78 and the sentences where a setting is wrong."""
    if sentences := settings_wrong():
        sys.stdout.flush()
        stop_start(*sentences)
