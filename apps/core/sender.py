"""Sending webhooks to one receiver, whatever it does: each attempt has a deadline, redirects are not followed, and of
the answer only the beginning is read. No database here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx2

from apps.core import signatures
from apps.core.outbound import AddressRefusedError, Endpoint, client_options, public_address, request_pinned
from apps.core.retries import retry_after_seconds, verdict_of

ANSWER_BYTES = 1_024
ANSWER_SECONDS = 2.0
ERROR_CHARACTERS = 300
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to send, and what proves who sends: keys newest first, and a header of its own (name, value)."""

    url: str
    keys: Sequence[bytes] = field(repr=False)
    header: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `status` is None where nothing was answered; `error` is empty where it arrived."""

    at: datetime
    seconds: float
    status: int | None = None
    error: str = ""
    answer: str = ""
    retry_after: float | None = None


def letters_send(
    receiver: Receiver,
    letters: Sequence[tuple[str, bytes]],
    *,
    allowed: Collection[Endpoint],
    timeout: float,
    seconds: float = 0.0,
) -> list[Outcome]:
    """Send letters (webhook-id, body) one after the other, for about so long, but at least the first.

    Stops at a receiver that is busy, away or gone; an outcome for each letter that was tried. Blocks; opens an event
    loop of its own, because only that can end a receiver that drips.
    """
    return asyncio.run(_send_all(receiver, letters, allowed, timeout, time.monotonic() + seconds))


async def _send_all(
    receiver: Receiver,
    letters: Sequence[tuple[str, bytes]],
    allowed: Collection[Endpoint],
    timeout: float,
    end: float,
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    async with httpx2.AsyncClient(**client_options(httpx2.Timeout(timeout))) as client:
        for letter in letters:
            if outcomes and time.monotonic() >= end:
                break
            outcomes.append(await _send(client, receiver, letter, allowed, timeout))
            if verdict_of(outcomes[-1].status) in ("busy", "gone"):
                break
    return outcomes


async def _send(
    client: httpx2.AsyncClient,
    receiver: Receiver,
    letter: tuple[str, bytes],
    allowed: Collection[Endpoint],
    timeout: float,
) -> Outcome:
    at, started = datetime.now(UTC), time.monotonic()
    status, error, answer, wait = None, "", "", None
    try:
        async with asyncio.timeout(timeout):
            address = await asyncio.to_thread(public_address, receiver.url, allowed=allowed)
            response = await client.send(_request(client, receiver, letter, address, at), stream=True)
        status = response.status_code
        error = "" if response.is_success else f"HTTP {status}"
        wait = retry_after_seconds(response.headers.get("retry-after", ""), at)
        answer = await _answer(response)
    except AddressRefusedError as refusal:
        error = str(refusal)
    except TimeoutError:
        error = f"no answer within {timeout:g} s"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Outcome(
        at, time.monotonic() - started, status, _readable(error, receiver, ERROR_CHARACTERS),
        _readable(answer, receiver, ANSWER_BYTES), wait,
    )  # fmt: skip


def _request(
    client: httpx2.AsyncClient, receiver: Receiver, letter: tuple[str, bytes], address: str | None, at: datetime
) -> httpx2.Request:
    """The very bytes that are signed are sent."""
    webhook_id, body = letter
    pinned = request_pinned(receiver.url, address)
    told = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "pump-platform"}
    own = {receiver.header[0].lower(): receiver.header[1]} if receiver.header else {}
    signed = signatures.headers(receiver.keys, webhook_id, int(at.timestamp()), body)
    return client.build_request(
        "POST", pinned["url"], content=body, headers=own | told | pinned["headers"] | signed,
        extensions=pinned["extensions"],
    )  # fmt: skip


async def _answer(response: httpx2.Response) -> str:
    """The beginning of the answer, as far as it comes in time: the status has already said what counts."""
    taken = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for piece in response.aiter_raw():
                taken += piece
                if len(taken) >= 2 * ANSWER_BYTES:
                    break
    except (TimeoutError, httpx2.HTTPError, OSError):
        pass  # what came is kept
    finally:
        await response.aclose()
    return taken[: 2 * ANSWER_BYTES].decode("utf-8", "replace")


def _readable(text: str, receiver: Receiver, most: int) -> str:
    """Without what the database does not take, and without our own secret where a receiver echoes it."""
    if receiver.header:
        text = text.replace(receiver.header[1], HIDDEN)
    return text.replace("\x00", "\ufffd")[:most]
