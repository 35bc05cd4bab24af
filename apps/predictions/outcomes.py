"""What a prediction is measured by, in the form that `outcome_queries.PREDICTIONS_JUDGE` takes. Pure.

The truth is that of `apps.training.labels`: the entry is the last trade at or before decision + latency, what counts
are the trades (or the rows of a metric) in (entry, horizon], and what training would leave out as unknown (the tracking
ended, a gap lies in between, nothing to compare with) is neither success nor failure. Levels are factors and numbers
computed here exactly as the labels compute them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from apps.training.label_rules import PRICE, LabelRule

Decides = Literal["reached", "at_end", "graduates"]


@dataclass(frozen=True, slots=True)
class Target:
    """The label of one model at work.

    `reached`: a value at or beyond the target within the horizon, before one at or beyond the stop; `at_end`: the last
    value then; `graduates`: the coin does. Target and stop are factors of the value at the entry, or else the target is
    the number `level`. Above (`rises`) or below. `by_graduation`: what was decided before a graduation counts.
    """

    active_model_id: int
    decides: Decides
    metric: str
    rises: bool
    target_factor: float | None
    stop_factor: float | None
    level: float | None
    by_graduation: bool
    latency: timedelta
    horizon: timedelta

    @property
    def settles(self) -> timedelta:
        """From the decision to the latest moment at which the exit's price is known."""
        return self.reach + self.latency

    @property
    def reach(self) -> timedelta:
        """From the decision to the moment at which its outcome is known."""
        return self.latency + self.horizon


def target_of(active_model_id: int, rule: LabelRule) -> Target:
    """The target that a model's label rule sets."""
    compares = rule.kind == "rule"
    relative = rule.kind in ("path", "close")
    return Target(
        active_model_id=active_model_id,
        decides=_decides(rule),
        metric=rule.metric,
        rises=rule.operator in (">=", ">") if compares else rule.rises,
        target_factor=rule.target_factor if relative else None,
        stop_factor=rule.stop_factor if rule.kind == "path" else None,
        level=_level(rule) if compares else None,
        by_graduation=rule.kind == "path" and rule.metric == PRICE and rule.rises,
        latency=timedelta(microseconds=round(rule.latency_seconds * 1_000_000)),
        horizon=timedelta(microseconds=round(rule.horizon_seconds * 1_000_000)),
    )


def _decides(rule: LabelRule) -> Decides:
    if rule.kind == "graduates":
        return "graduates"
    return "at_end" if rule.kind == "close" or (rule.kind == "rule" and rule.when == "after") else "reached"


def _level(rule: LabelRule) -> float:
    """At or beyond this number the rule holds: strictly beyond its value is at or beyond the next number there is."""
    if rule.value is None:
        raise ValueError("a rule needs a value to compare with")
    if "=" in rule.operator:
        return rule.value
    return math.nextafter(rule.value, math.inf if rule.operator == ">" else -math.inf)
