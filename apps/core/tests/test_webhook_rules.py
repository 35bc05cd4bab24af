"""Signatures, waits and verdicts of webhooks, as tables."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core import envelope, retries, signatures

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_the_signature_is_that_of_the_specification() -> None:
    key = signatures.secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signatures.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_key_signs_the_same_bytes_and_the_newest_is_first() -> None:
    keys = [b"n" * 32, b"o" * 32]
    head = signatures.headers(keys, "msg_1", 7, b"{}")
    wanted = [hmac.new(key, b"msg_1.7.{}", hashlib.sha256).digest() for key in keys]
    assert head["webhook-signature"] == " ".join("v1," + base64.b64encode(one).decode() for one in wanted)
    assert (head["webhook-id"], head["webhook-timestamp"]) == ("msg_1", "7")


@settings(max_examples=20)
@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_read_as_it_is_written(key: bytes) -> None:
    text = signatures.secret_text(key)
    assert signatures.secret_key(text) == signatures.secret_key(text.removeprefix("whsec_")) == key


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "A" * 200, "ä"])
def test_a_secret_too_short_too_long_or_garbled_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match="24 to 64") as refused:
        signatures.secret_key(text)
    assert not text or text == "whsec_" or text not in str(refused.value)


def test_waits_are_those_of_the_standard_and_end() -> None:
    waits = [retries.retry_seconds(attempts, 0.0) for attempts in range(1, 11)]
    hours = [None if wait is None else wait / 3600 for wait in waits]
    assert waits[:3] == [5, 300, 1800] and hours[3:] == [2, 5, 10, 14, 20, 24, None]
    assert retries.retry_seconds(1, 1.0) == 6.25


def test_a_receiver_that_stays_away_is_left_alone_longer_and_longer() -> None:
    assert [retries.pause_seconds(failures, 0.0) for failures in (1, 2, 3, 7, 8, 10_000)] == [5, 10, 20, 300, 300, 300]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "sent"), (204, "sent"), (299, "sent"), (302, "failed"), (308, "failed"), (400, "failed"), (404, "failed"),
        (410, "gone"), (429, "busy"), (500, "failed"), (502, "busy"), (503, "busy"), (504, "busy"), (None, "busy"),
        (199, "failed"),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int | None, verdict: str) -> None:
    assert retries.verdict_of(status) == verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30), (" 0 ", 0), ("99999999999999999999", 3600), ("Sun, 22 Nov 2026 12:01:00 GMT", 60),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0), ("Sun, 22 Nov 2027 12:00:00 GMT", 3600), ("", None), ("soon", None),
        ("-5", None), ("1.5", None), ("Sun, 99 Nov 2026", None), ("٣", None), ("22 Nov 2026 12:00:30 -0000", 30),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms_and_has_an_end(header: str, seconds: float | None) -> None:
    assert retries.retry_after_seconds(header, NOW) == seconds


def test_a_sealed_secret_opens_only_where_it_belongs() -> None:
    master, other = b"m" * 32, b"o" * 32
    stored = envelope.seal(b"secret", bound=b"here", master=master)
    assert envelope.unseal(stored, bound=b"here", master=master) == b"secret"
    for bound, key in ((b"there", master), (b"here", other)):
        with pytest.raises(envelope.SealedError):
            envelope.unseal(stored, bound=bound, master=key)


def test_the_whole_schedule_is_over_before_an_endpoint_is_switched_off() -> None:
    from apps.core.outbox import OFF_AFTER

    assert timedelta(seconds=sum(retries.RETRY_SECONDS)) < OFF_AFTER
