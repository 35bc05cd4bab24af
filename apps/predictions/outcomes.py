"""What a prediction is measured by, in the form that `queries.PREDICTIONS_JUDGE` takes. Pure.

The truth is that of `apps.training.labels`: the entry is the last trade at or before decision + latency, the path are
the trades in (entry, horizon], and what cannot be known (the tracking ended, a gap lies in between) is no failure.
Levels are factors of the entry price, computed here exactly as the labels compute them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from apps.training.labels import LabelRule


@dataclass(frozen=True, slots=True)
class Target:
    """The label of one model at work; factors are of the entry price, `stop_factor` None where there is no stop."""

    active_model_id: int
    is_close: bool
    rises: bool
    target_factor: float
    stop_factor: float | None
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
    rises = rule.change_pct > 0
    sign = 1.0 if rises else -1.0
    return Target(
        active_model_id=active_model_id,
        is_close=rule.kind == "close",
        rises=rises,
        target_factor=1 + rule.change_pct / 100,
        stop_factor=None if rule.stop_pct is None else 1 - sign * rule.stop_pct / 100,
        latency=timedelta(microseconds=round(rule.latency_seconds * 1_000_000)),
        horizon=timedelta(microseconds=round(rule.horizon_seconds * 1_000_000)),
    )
