"""What is asked of the time after a row: one rule, its name and its levels. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["path", "close", "graduates", "rule"]
Operator = Literal[">=", ">", "<=", "<"]
When = Literal["within", "after"]
KINDS: tuple[str, ...] = get_args(Kind)
OPERATORS: tuple[str, ...] = get_args(Operator)
PRICE = "price"
_WORDS = {">=": "at_least", ">": "above", "<=": "at_most", "<": "below"}


@dataclass(frozen=True, slots=True)
class LabelRule:
    """One question. `metric` is PRICE (single trades) or a column of coin_metrics (rows); `base` is its value at the
    entry, `latency_seconds` after the row; the horizon begins there.

    path: reaches base * (1 + change_pct/100) within the horizon, before -stop_pct where that is given. A negative
        change asks for a fall (the stop is then above).
    close: is there at the end of the horizon.
    rule: `metric operator value` holds for a trade or row within the horizon, or for the last one after it.
    graduates: leaves the curve within the horizon.
    `costs_pct` of the entry are taken off every change before it is compared: +20 % net of 3 is +23 % of the price.
    """

    kind: Kind
    change_pct: float | None
    horizon_seconds: float
    stop_pct: float | None = None
    latency_seconds: float = 2.0
    metric: str = PRICE
    operator: Operator = ">="
    value: float | None = None
    when: When = "within"
    costs_pct: float = 0.0

    @property
    def name(self) -> str:
        """Such as `path_+20pct_300s`, `path_+50pct_-40pct_600s`, `close_-30pct_60s`, `graduates_3600s`."""
        horizon = f"{self.horizon_seconds:g}s"
        if self.kind == "graduates":
            return f"graduates_{horizon}"
        if self.kind == "rule":
            return f"{self.metric}_{_WORDS[self.operator]}_{self.value:g}_{self.when}_{horizon}"
        of = "" if self.metric == PRICE else f"{self.metric}_"
        stop = "" if self.stop_pct is None else f"_{-self.stop_pct if self.rises else self.stop_pct:+g}pct"
        net = f"_net_{self.costs_pct:g}pct" if self.costs_pct else ""
        return f"{of}{self.kind}_{self.change_pct:+g}pct{stop}{net}_{horizon}"

    @property
    def reach_seconds(self) -> float:
        """How far after a row its label and its exit look."""
        return self.horizon_seconds + 2 * self.latency_seconds

    @property
    def rises(self) -> bool:
        """Whether it asks for more than there was."""
        return (self.change_pct or 0.0) > 0

    @property
    def target_factor(self) -> float:
        """The level that must be reached, of the base."""
        return 1 + ((self.change_pct or 0.0) + self.costs_pct) / 100

    @property
    def stop_factor(self) -> float | None:
        """The level that must not be reached before, of the base."""
        if self.stop_pct is None:
            return None
        return 1 - (self.stop_pct - self.costs_pct) / 100 if self.rises else 1 + (self.stop_pct + self.costs_pct) / 100
