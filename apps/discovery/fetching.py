"""Reading small documents from addresses that strangers chose, a few at a time.

Guarded (`core.outbound`): http and https only, public addresses only, checked after the lookup and again at each
redirect, connected to the very address that was checked; capped in size, type, time and redirects; nothing compressed,
so that a small answer stays small. No cookies, no credentials, no proxies of the environment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx2

from apps.core.outbound import (
    AddressRefusedError,
    AddressUnknownError,
    Endpoint,
    client_options,
    public_address,
    request_pinned,
)

TIMEOUT = httpx2.Timeout(5.0, connect=4.0)
TOTAL_SECONDS = 12.0
MAX_REDIRECTS = 3
MOST_PAUSE_SECONDS = 900.0
LONGEST_TURN_SECONDS = 5.0
_HEADERS = {"accept-encoding": "identity", "user-agent": "pump-platform"}
_BUSY = (429, 503)


class FetchError(Exception):
    """The text says why. `is_final`: asking again will not help. `pause_seconds`: leave the host alone so long."""

    def __init__(self, reason: str, *, is_final: bool = False, pause_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.is_final, self.pause_seconds = is_final, pause_seconds


class HostPausedError(FetchError):
    """The host was not asked: it is left alone for another `seconds`."""

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(f"{host} is left alone for now")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """`types`: beginnings of acceptable content types (an answer without one is taken); `allowed`: endpoints that need
    not be public."""

    size: int
    types: tuple[str, ...]
    allowed: Collection[Endpoint] = ()


@dataclass(slots=True)
class Hosts:
    """How often hosts are asked, and which are left alone: `pauses` holds (until in epoch seconds, failures)."""

    per_second: float
    pauses: dict[str, tuple[float, int]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    _turns: dict[str, float] = field(default_factory=dict)

    async def turn(self, host: str) -> None:
        """Wait for the host's next turn. Raises HostPausedError where that would be too long."""
        until, _ = self.pauses.get(host, (0.0, 0))
        if (left := until - time.time()) > 0:
            raise HostPausedError(host, left)
        now = time.monotonic()
        turn = max(now, self._turns.get(host, 0.0))
        if turn - now > LONGEST_TURN_SECONDS:
            raise HostPausedError(host, turn - now)
        self._turns[host] = turn + 1.0 / self.per_second
        await asyncio.sleep(turn - now)

    def pause(self, host: str, seconds: float) -> None:
        """Leave a host alone, each time in a row twice as long."""
        failures = self.pauses.get(host, (0.0, 0))[1] + 1
        wait = min(max(seconds, 5.0) * 2.0 ** min(failures - 1, 10), MOST_PAUSE_SECONDS)
        self.pauses[host] = (time.time() + wait, failures)
        self.changed.add(host)

    def well(self, host: str) -> None:
        """It answered."""
        if self.pauses.pop(host, None) is not None:
            self.changed.add(host)


async def fetch_first(urls: Sequence[str], *, hosts: Hosts, limits: Limits) -> tuple[bytes, str]:
    """The first document that one of the addresses gives, and its host.

    Raises HostPausedError when none could be asked now, else the last FetchError (final only if every one was).
    """
    failed: FetchError | None = None
    paused: HostPausedError | None = None
    is_final = True
    for url in urls:
        try:
            return await _fetch_politely(url, hosts, limits), _host(url)
        except HostPausedError as error:
            paused = error if paused is None or error.seconds < paused.seconds else paused
        except FetchError as error:
            failed, is_final = error, is_final and error.is_final
    if failed is None:
        raise paused or FetchError("no address", is_final=True)
    raise FetchError(str(failed), is_final=is_final and paused is None)


async def _fetch_politely(url: str, hosts: Hosts, limits: Limits) -> bytes:
    host = _host(url)
    await hosts.turn(host)
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            body = await fetch(url, limits)
    except TimeoutError:
        raise FetchError(f"no answer within {TOTAL_SECONDS:.0f} s") from None
    except FetchError as error:
        if error.pause_seconds is not None:
            hosts.pause(host, error.pause_seconds)
        raise
    hosts.well(host)
    return body


async def fetch(url: str, limits: Limits) -> bytes:
    """One document, through at most MAX_REDIRECTS redirects, each of them checked. Raises FetchError."""
    async with httpx2.AsyncClient(**client_options(TIMEOUT)) as client:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await _ask(client, url, limits)
            if isinstance(answer, bytes):
                return answer
            url = _redirected(url, answer)
    raise FetchError("too many redirects", is_final=True)


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises FetchError for one that leads nowhere, such as `http://[`."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise FetchError("broken redirect", is_final=True) from None


async def _ask(client: httpx2.AsyncClient, url: str, limits: Limits) -> bytes | str:
    """The document, or where a redirect leads. Raises FetchError."""
    try:
        address = await asyncio.to_thread(public_address, url, allowed=limits.allowed)
        pinned = request_pinned(url, address)
        pinned["headers"] |= _HEADERS
        async with client.stream("GET", **pinned) as response:
            if response.has_redirect_location:
                return response.headers["location"]
            _check(response, limits)
            return await _body(response, limits.size)
    except AddressUnknownError as error:
        raise FetchError(str(error), pause_seconds=60.0) from None
    except AddressRefusedError as error:
        raise FetchError(str(error), is_final=True) from None
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise FetchError(f"{type(error).__name__}", pause_seconds=10.0) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.CookieConflict, UnicodeError, ValueError) as error:
        raise FetchError(type(error).__name__, is_final=not isinstance(error, httpx2.HTTPError)) from None


def _check(response: httpx2.Response, limits: Limits) -> None:
    if response.status_code in _BUSY:
        raise FetchError(f"HTTP {response.status_code}", pause_seconds=_retry_after(response))
    if response.status_code != 200:
        raise FetchError(f"HTTP {response.status_code}", is_final=response.status_code == 410)
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind and not kind.startswith(limits.types):
        raise FetchError(f"unwanted type {kind[:60]}", is_final=True)
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise FetchError("compressed although not asked for", is_final=True)
    length = response.headers.get("content-length", "")
    if length.isdecimal() and len(length) < 20 and int(length) > limits.size:
        raise FetchError("too large", is_final=True)


async def _body(response: httpx2.Response, limit: int) -> bytes:
    parts = bytearray()
    async for chunk in response.aiter_raw():
        parts += chunk
        if len(parts) > limit:
            raise FetchError("too large", is_final=True)
    return bytes(parts)


def _retry_after(response: httpx2.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), MOST_PAUSE_SECONDS) if text.isdecimal() and len(text) < 8 else 5.0


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()[:255]
    except ValueError:
        return ""
