"""One attempt against receivers that behave and receivers that do not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from apps.core import outbound, sender, signatures
from apps.core.sender import Receiver as To
from apps.core.sender import letters_send
from apps.core.tests.receiver import Behaviour, Receiver, answer, drip, hang, open_receiver, raw

KEY = b"k" * 32
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Receiver]:
    with open_receiver() as opened:
        yield opened


@pytest.fixture
def receiver(server: Receiver) -> Receiver:
    server.script.clear()
    server.got.clear()
    return server


def send(receiver: Receiver, *bodies: bytes, timeout: float = 5.0, **fields: Any) -> list[sender.Outcome]:
    letters = [(f"msg_{number}", body) for number, body in enumerate(bodies or (b"{}",))]
    to = To(receiver.url(), (KEY,), **fields)
    return letters_send(to, letters, allowed={receiver.endpoint}, timeout=timeout, seconds=5.0)


def test_the_bytes_signed_are_the_bytes_sent(receiver: Receiver) -> None:
    body = '{"data":"ä\\u0000 </script>","n":1.10}'.encode()
    (outcome,) = send(receiver, body)
    got = receiver.got[0]
    assert got.body == body
    stamp = int(got.headers["webhook-timestamp"])
    assert got.headers["webhook-signature"] == signatures.sign(KEY, "msg_0", stamp, body)
    assert abs(stamp - time.time()) < 5 and got.headers["content-type"] == "application/json"
    assert (outcome.status, outcome.error) == (200, "")


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (answer(204), 204, ""),
        (answer(302, Location="http://127.0.0.1:1/elsewhere"), 302, "HTTP 302"),
        (answer(410), 410, "HTTP 410"),
        (answer(500, b"oops"), 500, "HTTP 500"),
        (raw(b"this is no HTTP at all\r\n\r\n"), None, "ProtocolError"),
        (raw(), None, "ProtocolError"),
        (raw(b"HTTP/1.1 2"), None, "ProtocolError"),
        (hang, None, "no answer within 0.3 s"),
        (drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), None, "no answer within 0.3 s"),
    ],
    ids=["no content", "redirect", "gone", "broken", "garbage", "closed", "closed midway", "hang", "dripping headers"],
)
def test_what_a_receiver_does_is_told(receiver: Receiver, behaviour: Behaviour, status: int | None, error: str) -> None:
    receiver.script = [behaviour]
    started = time.monotonic()
    (outcome,) = send(receiver, timeout=0.3)
    assert (outcome.status, len(receiver.got)) == (status, 1)
    assert error in outcome.error and bool(outcome.error) == bool(error)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("behaviour", "kept"),
    [
        (answer(200, b"y" * 100_000), "y" * 1_024),
        (raw(HEAD + b"\r\npart"), "part"),
        (drip(HEAD + b"\r\nbegin"), "beginx"),
        (answer(200, b"\x00\xff"), "\ufffd\ufffd"),
    ],
    ids=["long", "cut off", "dripping", "no text"],
)
def test_an_accepted_message_arrived_however_the_body_ends(
    receiver: Receiver, behaviour: Behaviour, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "ANSWER_SECONDS", 0.2)
    receiver.script = [behaviour]
    (outcome,) = send(receiver)
    assert (outcome.status, outcome.error) == (200, "")
    assert outcome.answer.startswith(kept) and len(outcome.answer) <= 1_024


def test_the_own_header_is_sent_and_never_comes_back(receiver: Receiver) -> None:
    receiver.script = [answer(400, b'{"you sent": "Bearer s3cret-value"}')]
    (outcome,) = send(receiver, header=("Authorization", "Bearer s3cret-value"))
    assert receiver.got[0].headers["authorization"] == "Bearer s3cret-value"
    assert outcome.answer == '{"you sent": "***"}'
    assert "s3cret" not in repr(To(receiver.url(), (KEY,), ("Authorization", "Bearer s3cret-value")))


def test_a_busy_receiver_is_not_bothered_with_the_rest(receiver: Receiver) -> None:
    receiver.script = [answer(), answer(500), answer(429, Retry_After="7")]
    outcomes = send(receiver, b"1", b"2", b"3", b"4")
    assert [(one.status, one.retry_after) for one in outcomes] == [(200, None), (500, None), (429, 7.0)]
    assert [got.body for got in receiver.got] == [b"1", b"2", b"3"]


def test_an_address_that_is_not_allowed_is_not_called(receiver: Receiver) -> None:
    to = To(receiver.url(), (KEY,))
    (outcome,) = letters_send(to, [("msg_1", b"{}")], allowed=(), timeout=1.0)
    assert receiver.got == [] and "loopback" in outcome.error and outcome.status is None


def test_nobody_there_is_told(receiver: Receiver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    to = To(f"http://127.0.0.1:{port}/", (KEY,))
    (outcome,) = letters_send(to, [("msg_1", b"{}")], allowed={("127.0.0.1", port)}, timeout=1.0)
    assert outcome.status is None and "ConnectError" in outcome.error


def test_the_address_that_was_checked_is_the_one_called(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 8443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    called: list[httpx2.Request] = []

    def transport(request: httpx2.Request) -> httpx2.Response:
        called.append(request)
        return httpx2.Response(200, stream=httpx2.ByteStream(b'{"ok": true}'))

    options = outbound.client_options(httpx2.Timeout(1.0)) | {"transport": httpx2.MockTransport(transport)}
    monkeypatch.setattr(sender, "client_options", lambda timeout: options)
    (outcome,) = letters_send(To("https://hooks.example:8443/x?y=1", (KEY,)), [("msg_1", b"{}")], allowed=(), timeout=1)
    assert (outcome.status, json.loads(outcome.answer)) == (200, {"ok": True})
    assert str(called[0].url) == "https://8.8.8.8:8443/x?y=1"
    assert called[0].headers["host"] == "hooks.example:8443"
    assert called[0].extensions["sni_hostname"] == "hooks.example"
