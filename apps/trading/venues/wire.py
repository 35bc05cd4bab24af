"""One HTTP exchange with a service that may answer as no service should: too late, too much, garbage, never.

Every failure says whether the request can have had an effect (`may_have_arrived`). Texts never hold the address: the
address of a node often carries its key.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import httpx2

from apps.core.retries import retry_after_seconds

MOST_BYTES = 8_000_000
_NEVER_ARRIVED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class WireError(Exception):
    """No answer that could be read."""

    def __init__(self, message: str, *, may_have_arrived: bool) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status and body; `retry_after` are the seconds that it asks to be left alone."""

    status: int
    body: bytes
    retry_after: float | None


def client(timeout_seconds: float) -> httpx2.Client:
    """A client that follows no redirect and knows no proxy of the environment."""
    return httpx2.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False, verify=_tls())


@cache
def _tls() -> ssl.SSLContext:
    """The trusted certificates, read once."""
    return httpx2.create_ssl_context(trust_env=False)


def post_json(http: httpx2.Client, url: str, payload: object, *, timeout_seconds: float) -> Reply:
    """Send JSON, read the whole answer; the time limit is for all of it. Raises WireError."""
    ends_at = time.monotonic() + timeout_seconds
    try:
        with http.stream("POST", url, json=payload) as response:
            return Reply(response.status_code, _read(response, ends_at), _retry_after(response))
    except _NEVER_ARRIVED as error:
        raise WireError(f"no connection ({type(error).__name__})", may_have_arrived=False) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise WireError(f"no answer ({type(error).__name__})", may_have_arrived=True) from None


def _read(response: httpx2.Response, ends_at: float) -> bytes:
    pieces, size = [], 0
    for piece in response.iter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise WireError(f"the answer is longer than {MOST_BYTES} bytes", may_have_arrived=True)
        if time.monotonic() > ends_at:
            raise WireError("the answer took too long", may_have_arrived=True)
    return b"".join(pieces)


def _retry_after(response: httpx2.Response) -> float | None:
    header = response.headers.get("retry-after", "")
    return retry_after_seconds(header, datetime.now(UTC)) if header else None
