"""The whole judgement of one score on one sample as JSON: measures with intervals, curves, slices, baselines.

Keys: the measures of `measures.scores`, `coins`, `coins_alerted`, `expected_value_first` (if only a coin's first alert
is bought), `intervals` {measure: [low, high]}, `bootstrap` (how they were made), `calibration`, `curves`, `ev_curve`
(expected value at falling thresholds with its interval), `slices` {kind: rows}, `baselines` (rows, with the model's
lead over each and its interval).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.training.columns import Floats
from apps.training.evaluation import baselines, measures
from apps.training.evaluation.bootstrap import (
    LEAST_COINS,
    LEVEL,
    RESAMPLES,
    Draws,
    Interval,
    draw,
    first_alerts,
    interval,
)
from apps.training.evaluation.curves import curves
from apps.training.evaluation.sample import Sample
from apps.training.evaluation.slices import slices

LEAD = "expected_value"
OF_ALERTS = ("precision", "expected_value", "expected_value_first")
_OF_PROBABILITIES = ("log_loss", "brier")
_IN_TABLES = (
    "rows", "positives", "coins", "coins_alerted", "alerts", "intervals", "base_rate", "pr_auc", "roc_auc", "log_loss",
    "brier", "mcc", "precision", "recall", "expected_value", "expected_value_first",
)  # fmt: skip

Step = Callable[[float], None]
"""Called again and again during the work with the share done; may raise to stop."""


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
    kept = judging or {}
    cuts = list(slices(sample, kept.get("regime", {})))
    known = {name: kept["baselines"][name] for name in baselines.NAMES if name in kept.get("baselines", {})}
    bench = _Bench(sample, seed, resamples, on_step, parts=1 + len(cuts) + len(known))
    found, drawn = bench.figures(probability, threshold)
    tables: dict[str, list[dict[str, Any]]] = {}
    for kind, key, rows in cuts:
        part, _ = bench.figures(probability, threshold, rows)
        tables.setdefault(kind, []).append({"key": key, **_short(part)})
    return {
        **found,
        "bootstrap": {"resamples": resamples, "level": LEVEL, "seed": seed},
        "calibration": measures.calibration(sample.label, probability),
        "curves": curves(sample.label, probability),
        "ev_curve": _ev_curve(drawn),
        "slices": tables,
        "baselines": [_baseline(bench, name, one, found, drawn) for name, one in known.items()],
    }


@dataclass(slots=True)
class _Bench:
    """Takes the figures of scores on one sample, with the same draws of coins for all."""

    sample: Sample
    seed: int
    resamples: int
    on_step: Step
    parts: int
    done: int = field(default=0, init=False)

    def figures(
        self, score: Floats, threshold: float, rows: NDArray[np.bool_] | None = None
    ) -> tuple[dict[str, Any], Draws | None]:
        """The measures of a score on the chosen rows, their intervals, and the draws (None where too few coins)."""
        sample = self.sample if rows is None else self.sample.take(rows)
        score = score if rows is None else score[rows]
        coin, alert = sample.coins(), score >= threshold
        found = measures.scores(sample.label, score, sample.value, threshold=threshold)
        found["coins"] = int(coin.max(initial=-1)) + 1
        found["coins_alerted"] = len(np.unique(coin[alert]))
        found["expected_value_first"] = measures.mean(sample.value[first_alerts(coin, alert & ~np.isnan(sample.value))])
        drawn = None
        if found["coins"] >= LEAST_COINS:
            options: dict[str, Any] = {"seed": self.seed, "resamples": self.resamples, "on_step": self._step}
            drawn = draw(coin, sample.label, score, sample.value, threshold=threshold, **options)
        found["intervals"] = _intervals(found, drawn)
        self.done += 1
        return found, drawn

    def _step(self) -> None:
        self.on_step(self.done / self.parts)


def _intervals(found: dict[str, Any], drawn: Draws | None) -> dict[str, Interval]:
    """Of what is defined; what only few coins' alerts say has none, for those few would be drawn again and again."""
    ends = {name: interval(values) for name, values in drawn.measures.items()} if drawn else {}
    few = found["coins_alerted"] < LEAST_COINS
    return {
        name: pair
        for name, pair in ends.items()
        if pair is not None and found[name] is not None and not (few and name in OF_ALERTS)
    }


def _ev_curve(drawn: Draws | None) -> list[dict[str, Any]]:
    if drawn is None:
        return []
    points = []
    for point, row in zip(drawn.points, drawn.curve, strict=True):
        ends = interval(row) if point["coins"] >= LEAST_COINS else None
        low, high = ends if ends is not None else (None, None)
        points.append({**point, "low": low, "high": high})
    return points


def _baseline(
    bench: _Bench, name: str, baseline: dict[str, Any], model: dict[str, Any], drawn: Draws | None
) -> dict[str, Any]:
    """A row of the table of baselines, with the model's lead."""
    part, own = bench.figures(baselines.score_of(baseline, bench.sample), baseline["threshold"])
    if baseline["kind"] == "rule":  # it ranks, it does not say how likely
        part |= dict.fromkeys(_OF_PROBABILITIES)
        part["intervals"] = {key: ends for key, ends in part["intervals"].items() if key not in _OF_PROBABILITIES}
    return {"name": name, "threshold": baseline["threshold"], **_short(part), **lead([model, part], [drawn, own])}


def lead(found: Sequence[dict[str, Any]], draws: Sequence[Draws | None]) -> dict[str, Any]:
    """By how much the first of two earns more per alert than the second, and the interval over the same drawn coins.

    A side that never alerts earns nothing, which is known; one that alerts on few coins leaves no interval.
    """
    silent = [part["alerts"] == 0 for part in found]
    earned = [0.0 if quiet else part[LEAD] for quiet, part in zip(silent, found, strict=True)]
    if None in earned:
        return {"lead": None, "lead_interval": None}
    ends = None
    if not any(one is None for one in draws) and all(
        quiet or part["coins_alerted"] >= LEAST_COINS for quiet, part in zip(silent, found, strict=True)
    ):
        sides = [0.0 if quiet else one.measures[LEAD] for quiet, one in zip(silent, draws, strict=True) if one]
        ends = None if all(silent) else interval(np.asarray(sides[0] - sides[1]))
    return {"lead": earned[0] - earned[1], "lead_interval": ends}


def _short(part: dict[str, Any]) -> dict[str, Any]:
    """What tables of slices and baselines show."""
    return {name: part[name] for name in _IN_TABLES}
