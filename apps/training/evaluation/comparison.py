"""Which of several models is best on the same rows, and whether that could be chance. Pure.

The coins are drawn once for all models, so the difference of two models is taken draw by draw. A model wins where it
beats every other one with an interval that does not hold 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.training.columns import Floats
from apps.training.evaluation.bootstrap import LEAST_COINS, LEVEL, RESAMPLES, Draws, Step, draw, interval
from apps.training.evaluation.report import OF_ALERTS
from apps.training.evaluation.sample import Sample

MEASURES = (("expected_value", "expected value per alert after costs"), ("pr_auc", "PR-AUC"))


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model with its probabilities on the sample, its threshold and its measures (of `report.judge`). It has seen the
    sample's time where it was made from some of it, or from what came after."""

    name: str
    probability: Floats
    threshold: float
    scores: dict[str, Any]
    has_seen: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Place of the winner (None: there is none), why, and the differences between the best and each other model."""

    winner: int | None
    reason: str
    differences: list[dict[str, Any]]


def decide(
    sample: Sample,
    entrants: Sequence[Entrant],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    on_step: Step = lambda: None,
) -> Verdict:
    """The verdict on two or more entrants, by the first of MEASURES that all of them have."""
    if seen := [entrant.name for entrant in entrants if entrant.has_seen]:
        return Verdict(None, f"No winner: {', '.join(seen)} was trained on this time or on what came after.", [])
    for measure, text in MEASURES:
        values = [entrant.scores[measure] for entrant in entrants]
        if all(value is not None for value in values):
            ranked = sorted(range(len(values)), key=lambda place: (-values[place], place))
            draws = _draws(sample, entrants, seed, resamples, on_step)
            return _verdict(entrants, values, ranked, measure, text, draws)
    return Verdict(None, "No winner: no measure is defined for all models on these rows.", [])


def _draws(sample: Sample, entrants: Sequence[Entrant], seed: int, resamples: int, on_step: Step) -> list[Draws] | None:
    coin = sample.coins()
    if coin.max(initial=-1) + 1 < LEAST_COINS:
        return None
    options: dict[str, Any] = {"seed": seed, "resamples": resamples, "on_step": on_step}
    return [
        draw(coin, sample.label, one.probability, sample.value, threshold=one.threshold, **options) for one in entrants
    ]


def _verdict(
    entrants: Sequence[Entrant],
    values: list[float],
    ranked: list[int],
    measure: str,
    text: str,
    draws: list[Draws] | None,
) -> Verdict:
    best, shown = ranked[0], ", ".join(f"{entrants[place].name} {values[place]:+.4f}" for place in ranked)
    if draws is None:
        return Verdict(None, f"No winner: fewer than {LEAST_COINS} coins cannot tell chance from skill ({shown}).", [])
    differences: list[dict[str, Any]] = []
    for place in ranked[1:]:
        few = measure in OF_ALERTS and min(entrants[p].scores["coins_alerted"] for p in (best, place)) < LEAST_COINS
        ends = None if few else interval(draws[best].measures[measure] - draws[place].measures[measure])
        row = {"measure": measure, "best": entrants[best].name, "other": entrants[place].name}
        differences.append({**row, "difference": values[best] - values[place], "interval": ends})
    open_ = [row for row in differences if row["interval"] is None or row["interval"][0] <= 0]
    said = f"highest {text}: {shown}; lead over {differences[0]['other']} {_ends(differences[0])}"
    if open_:
        doubt = "; ".join(f"over {row['other']} {_ends(row)}" for row in open_)
        return Verdict(None, f"No winner: by {text} ({shown}) the lead could be chance: {doubt}.", differences)
    loses = " It loses money all the same." if measure in OF_ALERTS and values[best] < 0 else ""
    return Verdict(best, f"{said[0].upper()}{said[1:]}.{loses}", differences)


def _ends(row: dict[str, Any]) -> str:
    ends = row["interval"]
    found = "without an interval" if ends is None else f"{LEVEL:.0%} interval {ends[0]:+.4f} to {ends[1]:+.4f}"
    return f"{row['difference']:+.4f} ({found})"
