"""The whole judgement of one score on one sample as JSON: measures with intervals, curves, slices, baselines.

Keys: the measures of `measures.scores`, `coins`, `coins_alerted`, `expected_value_first` (if only a coin's first alert
is bought), `intervals` {measure: [low, high]}, `bootstrap` (how they were made), `calibration`, `curves`, `ev_curve`
(expected value at falling thresholds with its interval), `slices` {kind: rows}, `baselines` (rows, with the model's
lead over each and its interval).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from apps.training.columns import Floats
from apps.training.evaluation import baselines, measures
from apps.training.evaluation.bootstrap import LEAST_COINS, LEVEL, RESAMPLES, Draws, draw, first_alerts, interval
from apps.training.evaluation.curves import curves
from apps.training.evaluation.sample import Sample
from apps.training.evaluation.slices import slices

LEAD = "expected_value"
_SMALL = ("rows", "positives", "coins", "coins_alerted", "alerts", "intervals")
_IN_TABLES = (
    "base_rate", "pr_auc", "roc_auc", "log_loss", "brier", "mcc", "precision", "recall", "expected_value",
    "expected_value_first",
)  # fmt: skip

Step = Callable[[float], None]
"""Called between the parts of the work with the share done; may raise to stop."""


def judge(
    sample: Sample,
    probability: Floats,
    *,
    threshold: float,
    seed: int,
    judging: dict[str, Any] | None = None,
    resamples: int = RESAMPLES,
    on_step: Step = lambda share: None,
) -> dict[str, Any]:
    """Everything about a model's probabilities on a sample. `judging` holds what training kept for it: `baselines` and
    `regime` (without them there are no such tables)."""
    options = {"seed": seed, "resamples": resamples}
    found, drawn = _figures(sample, probability, threshold, **options)
    on_step(0.2)
    kept = judging or {}
    return {
        **found,
        "bootstrap": {"resamples": resamples, "level": LEVEL, "seed": seed},
        "calibration": measures.calibration(sample.label, probability),
        "curves": curves(sample.label, probability),
        "ev_curve": _ev_curve(drawn),
        "slices": _slices(sample, probability, threshold, kept.get("regime", {}), options, on_step),
        "baselines": _baselines(sample, drawn, found, kept.get("baselines", {}), options, on_step),
    }


def figures(
    sample: Sample, score: Floats, threshold: float, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """The measures of one score with their intervals."""
    return _figures(sample, score, threshold, seed=seed, resamples=resamples)[0]


def _figures(
    sample: Sample, score: Floats, threshold: float, *, seed: int, resamples: int
) -> tuple[dict[str, Any], Draws | None]:
    coin = sample.coins()
    found = measures.scores(sample.label, score, sample.value, threshold=threshold)
    alert = (score >= threshold) & ~np.isnan(sample.value)
    found["coins"] = int(coin.max(initial=-1)) + 1
    found["coins_alerted"] = len(np.unique(coin[score >= threshold]))
    found["expected_value_first"] = measures.mean(sample.value[first_alerts(coin, alert)])
    found["intervals"] = {}
    if found["coins"] < LEAST_COINS:
        return found, None
    drawn = draw(coin, sample.label, score, sample.value, threshold=threshold, seed=seed, resamples=resamples)
    found["intervals"] = {
        name: ends
        for name, values in drawn.measures.items()
        if found[name] is not None and (ends := interval(values)) is not None
    }
    return found, drawn


def _ev_curve(drawn: Draws | None) -> list[dict[str, Any]]:
    if drawn is None:
        return []
    ends = [interval(row) or [None, None] for row in drawn.curve]
    return [{**point, "low": low, "high": high} for point, (low, high) in zip(drawn.points, ends, strict=True)]


def _slices(
    sample: Sample,
    probability: Floats,
    threshold: float,
    regime: dict[str, Any],
    options: dict[str, int],
    on_step: Step,
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, key, rows in slices(sample, regime):
        part = figures(sample.take(rows), probability[rows], threshold, **options)
        found.setdefault(kind, []).append({"key": key, **_short(part)})
        on_step(0.4)
    return found


def _baselines(
    sample: Sample,
    model: Draws | None,
    found: dict[str, Any],
    kept: baselines.Baselines,
    options: dict[str, int],
    on_step: Step,
) -> list[dict[str, Any]]:
    rows = []
    for name in (name for name in baselines.NAMES if name in kept):
        score = baselines.score_of(kept[name], sample)
        part, drawn = _figures(sample, score, kept[name]["threshold"], **options)
        if kept[name]["kind"] == "rule":  # a rule ranks, it does not say how likely
            part["log_loss"] = part["brier"] = None
            part["intervals"] = {key: ends for key, ends in part["intervals"].items() if key not in _PROBABLE}
        rows.append(
            {"name": name, "threshold": kept[name]["threshold"], **_short(part), **lead(found, part, model, drawn)}
        )
        on_step(0.8)
    return rows


_PROBABLE = ("log_loss", "brier")


def lead(first: dict[str, Any], second: dict[str, Any], one: Draws | None, other: Draws | None) -> dict[str, Any]:
    """By how much the first earns more per alert than the second, and the interval over the same drawn coins.

    A side that never alerts earns nothing, which is known.
    """
    values = [0.0 if part["alerts"] == 0 else part[LEAD] for part in (first, second)]
    if None in values or one is None or other is None:
        return {"lead": None, "lead_interval": None}
    drawn = [
        np.zeros(len(draws.measures[LEAD])) if part["alerts"] == 0 else draws.measures[LEAD]
        for part, draws in ((first, one), (second, other))
    ]
    return {"lead": values[0] - values[1], "lead_interval": interval(drawn[0] - drawn[1])}


def _short(part: dict[str, Any]) -> dict[str, Any]:
    """What tables of slices and baselines show."""
    return {name: part[name] for name in (*_SMALL, *_IN_TABLES)}
