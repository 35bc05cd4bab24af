"""Which of several models is best on the same rows, and whether that could be chance. Pure.

The coins are drawn once for all models, so the difference of two models is taken draw by draw. A model wins where it
beats every other one with an interval that does not hold 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.sentences import worded
from apps.training.columns import Floats
from apps.training.evaluation.bootstrap import LEAST_COINS, RESAMPLES, Draws, Step, draw, interval
from apps.training.evaluation.report import OF_ALERTS
from apps.training.evaluation.sample import Sample

MEASURES = ("expected_value", "pr_auc")


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
        return Verdict(
            None,
            worded("No winner: %(names)s was trained on this time or on what came after.", names=", ".join(seen)),
            [],
        )
    for measure in MEASURES:
        values = [entrant.scores[measure] for entrant in entrants]
        if all(value is not None for value in values):
            ranked = sorted(range(len(values)), key=lambda place: (-values[place], place))
            draws = _draws(sample, entrants, seed, resamples, on_step)
            return _verdict(entrants, values, ranked, measure, draws)
    return Verdict(None, worded("No winner: no measure is defined for all models on these rows."), [])


def _draws(sample: Sample, entrants: Sequence[Entrant], seed: int, resamples: int, on_step: Step) -> list[Draws] | None:
    coin = sample.coins()
    if coin.max(initial=-1) + 1 < LEAST_COINS:
        return None
    options: dict[str, Any] = {"seed": seed, "resamples": resamples, "on_step": on_step}
    return [
        draw(coin, sample.label, one.probability, sample.value, threshold=one.threshold, **options) for one in entrants
    ]


def _verdict(
    entrants: Sequence[Entrant], values: list[float], ranked: list[int], measure: str, draws: list[Draws] | None
) -> Verdict:
    best = ranked[0]
    shown = ", ".join(f"{entrants[place].name} {_value(measure, values[place])}" for place in ranked)
    if draws is None:
        few = worded(
            "No winner: fewer than %(least)s coins cannot tell chance from skill (%(shown)s).",
            least=LEAST_COINS,
            shown=shown,
        )
        return Verdict(None, few, [])
    differences = [
        _difference(entrants, values, (best, place), measure, (draws[best], draws[place])) for place in ranked[1:]
    ]
    open_ = [row for row in differences if row["interval"] is None or row["interval"][0] <= 0]
    if open_:
        return Verdict(None, _by_chance(measure, shown, "; ".join(map(_lead, open_))), differences)
    return Verdict(best, _won(measure, shown, _lead(differences[0]), values[best]), differences)


def _difference(
    entrants: Sequence[Entrant], values: list[float], pair: tuple[int, int], measure: str, draws: tuple[Draws, Draws]
) -> dict[str, Any]:
    """The lead of the first of a pair over the second; an interval only where enough coins tell."""
    best, other = pair
    few = measure in OF_ALERTS and min(entrants[place].scores["coins_alerted"] for place in pair) < LEAST_COINS
    ends = None if few else interval(draws[0].measures[measure] - draws[1].measures[measure])
    row = {"measure": measure, "best": entrants[best].name, "other": entrants[other].name}
    return {**row, "difference": values[best] - values[other], "interval": ends}


# --- Why, in words: one sentence a case, values free of words, so that pages can say it in another language -----------
def _by_chance(measure: str, shown: str, leads: str) -> str:
    if measure in OF_ALERTS:
        return worded(
            "No winner: by expected value per alert after costs (%(shown)s) the lead could be chance: %(leads)s.",
            shown=shown,
            leads=leads,
        )
    return worded("No winner: by PR-AUC (%(shown)s) the lead could be chance: %(leads)s.", shown=shown, leads=leads)


def _won(measure: str, shown: str, lead: str, value: float) -> str:
    if measure not in OF_ALERTS:
        return worded("Highest PR-AUC: %(shown)s; lead over %(lead)s.", shown=shown, lead=lead)
    if value >= 0:
        return worded(
            "Highest expected value per alert after costs: %(shown)s; lead over %(lead)s.", shown=shown, lead=lead
        )
    return worded(
        "Highest expected value per alert after costs: %(shown)s; lead over %(lead)s. It loses money all the same.",
        shown=shown,
        lead=lead,
    )


def _value(measure: str, value: float) -> str:
    return f"{value * 100:+.2f} %" if measure in OF_ALERTS else f"{value:.4f}"


def _lead(row: dict[str, Any]) -> str:
    """Name and lead, with its interval at LEVEL where there is one."""
    percent = row["measure"] in OF_ALERTS
    scale, form, unit = (100, "+.2f", " %") if percent else (1, "+.4f", "")
    low_high = [f"{end * scale:{form}}" for end in row["interval"] or ()]
    ends = f" [{low_high[0]} .. {low_high[1]}{unit}]" if low_high else ""
    return f"{row['other']} {row['difference'] * scale:{form}}{unit}{ends}"
