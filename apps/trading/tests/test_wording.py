"""Codes as sentences: each that an order can end with has one, in the reader's language."""

from __future__ import annotations

import pytest
from django.utils import translation

from apps.core.errors import ConflictError
from apps.trading import wording
from apps.trading.fills import RejectCode
from apps.trading.models import Position
from apps.trading.risk import DenyCode

VENUE = ("BLOCKHASH_EXPIRED", "ORDER_TOO_OLD", "TRANSACTION_OTHER_PAYER", "SIMULATED_APPROVAL", "SETTLED_BY_HAND")


@pytest.mark.parametrize("code", [*DenyCode, *RejectCode, *Position.ExitReason.values, *VENUE])
def test_every_code_has_a_sentence_and_stands_below_it(code: str) -> None:
    text = wording.sentence(str(code))
    assert text != str(code) and text[0].isupper() and "_" not in text
    assert wording.small_print(str(code)) == str(code)


def test_what_has_no_sentence_stands_for_itself_once() -> None:
    assert [wording.sentence(code) for code in ("", "SOMETHING_NEW")] == ["", "SOMETHING_NEW"]
    assert [wording.small_print(code) for code in ("", "SOMETHING_NEW")] == ["", ""]


def test_refusals_are_read_before_their_code() -> None:
    with translation.override("en"):
        denied = ConflictError("TRADING_HALTED", "whatever the door says")
        assert wording.refusal(denied) == "Trading is halted: set it to ACTIVE first. (TRADING_HALTED)"
        assert wording.refusal(ConflictError("ALIAS_TAKEN", "There is one.")) == "There is one. (ALIAS_TAKEN)"
