"""The kill switch in the header of every page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from apps.trading import queries
from apps.trading.models import TradingState

TONES = {"ACTIVE": "good", "REDUCING": "wait", "HALTED": "bad"}
ICONS = {"ACTIVE": "play", "REDUCING": "arrow-down-right", "HALTED": "pause"}
MEANINGS = {
    "ACTIVE": _("Enter and leave positions."),
    "REDUCING": _("Only leave positions, buy nothing."),
    "HALTED": _("Do nothing at all: no exits either."),
}
QUESTIONS = {
    "ACTIVE": _("Let trading enter positions again?"),
    "REDUCING": _("Stop buying? Open positions are still left by their exits."),
    "HALTED": _("Stop everything? Open positions are not left either, stop-losses included."),
}


def kill_switch(request: HttpRequest) -> dict[str, Any]:
    """`kill_switch` for the header: read only where a page shows it."""
    return {"kill_switch": SimpleLazyObject(_shown)}


def _shown() -> dict[str, Any]:
    state = str(queries.trading_state().state)
    choices = [
        {"name": name, "meaning": MEANINGS[name], "question": QUESTIONS[name], "is_now": name == state}
        for name in TradingState.State.values
    ]
    return {"icon": ICONS[state], "state": state, "tone": TONES[state], "choices": choices}
