"""Sentences that stand beside figures which are easily believed too much."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display

LOST_FROM = 0.1  # of the rows found
ON_VALIDATION: str | Promise = gettext_lazy(
    "These rows also chose the number of rounds, the scaling of the probabilities and the threshold: expect worse on"
    " other rows. What it is worth only a test says."
)


def of_part(part: str) -> str | Promise:
    """What to know of the figures of a part; empty where they are what they seem."""
    return ON_VALIDATION if part == "validation" else ""


def of_counts(counts: Mapping[str, int]) -> str:
    """What to do where many rows were left out because their coin was no longer followed; else empty."""
    lost, found = counts.get("rows_unknown_tracking_ended", 0), counts.get("rows_found", 0)
    if not found or lost / found < LOST_FROM:
        return ""
    text = _(
        "%(share)s of the windows are left out: their coin was no longer followed when the horizon ended, so nobody"
        " knows what became of it. Coins that fall asleep are lost first, so the base rate of the others can be too"
        " high. A shorter horizon or earlier phases lose fewer; coins recorded from now on are followed longer with a"
        " longer last phase (Discovery, Phases)."
    )
    return text % {"share": display.ratio_pct(lost / found)}
