"""What must hold of a coin when an alert is decided on: rows of fact, operator and value. Pure.

Facts are known at the decision and never later: features as of the alert's window, the coin and its market at the
moment of decision, its creator as known when the coin was created. A fact that is not known fulfils nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from apps.core.sentences import worded

Scalar = float | str
Value = Scalar | tuple[Scalar, ...]
Facts = Mapping[str, Scalar | None]

FEATURE = "feature."
# Read from the market at the moment of decision.
MARKET_FACTS: dict[str, str] = {
    "coin.age_seconds": worded("seconds since the coin was created (or first seen)"),
    "coin.market_cap_sol": worded("market cap in SOL"),
    "coin.curve_pct": worded("how much of its curve is sold, in percent"),
    "coin.seconds_since_trade": worded("seconds since its last trade"),
}
# Fixed when the alert was given.
SIGNAL_FACTS: dict[str, str] = {
    "phase": worded("number of the coin's phase"),
    "coin.mint": worded("the coin's address"),
    "coin.symbol": worded("its symbol"),
    "coin.creation_seen": worded("1 where its creation was seen, else 0"),
    "coin.initial_buy_sol": worded("what the creator bought with the creation, in SOL"),
    "creator": worded("the creator's address"),
    "creator.coins": worded("how many coins the creator made before"),
    "creator.graduated": worded("how many of the last 200 of them had graduated"),
    "creator.died": worded("how many of the last 200 of them had died"),
    "creator.graduated_ratio": worded("share of them that had graduated, 0 to 1"),
    "creator.died_ratio": worded("share of them that had died, 0 to 1"),
    "creator.sold80_seconds": worded("median age at which the creator had sold 80 %%"),
    "creator.top_market_cap_sol": worded("median of their highest market cap in SOL"),
    "creator.since_last_seconds": worded("seconds since the coin before"),
}
FACTS = MARKET_FACTS | SIGNAL_FACTS
TEXTS = frozenset({"coin.mint", "coin.symbol", "creator"})

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
OPERATORS = (*_COMPARE, "=", "!=", "in", "not_in")


@dataclass(frozen=True, slots=True)
class Condition:
    """`fact operator value`; `value` is a tuple for `in` and `not_in`."""

    fact: str
    operator: str
    value: Value

    @property
    def text(self) -> str:
        """As people read it, and as its filtered alerts are counted."""
        shown = f"({len(self.value)})" if isinstance(self.value, tuple) else _shown(self.value)
        return f"{self.fact} {self.operator} {shown}"[:150]


def _shown(value: Scalar) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def condition_of(row: Mapping[str, Any]) -> Condition:
    """A condition from its JSON: fact, operator, value."""
    value = row["value"]
    return Condition(row["fact"], row["operator"], tuple(value) if isinstance(value, list) else value)


def condition_check(condition: Condition) -> None:
    """Raises ValueError where a condition can never be asked: unknown fact, operator or kind of value."""
    fact = condition.fact
    if fact not in FACTS and not (fact.startswith(FEATURE) and len(fact) > len(FEATURE)):
        raise ValueError(f"unknown fact {fact!r}; choose one of {', '.join(FACTS)} or {FEATURE}NAME")
    if condition.operator not in OPERATORS:
        raise ValueError(f"unknown operator {condition.operator!r}; choose one of {', '.join(OPERATORS)}")
    if (condition.operator in ("in", "not_in")) != isinstance(condition.value, tuple):
        raise ValueError("a list belongs to the operators in and not_in, which need one")
    if condition.operator in _COMPARE and fact in TEXTS:
        raise ValueError(f"{fact} is a text: compare it with =, !=, in or not_in")
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    wanted = str if fact in TEXTS else (int, float)
    if not all(isinstance(value, wanted) for value in values):
        raise ValueError(f"{fact} is compared with {'texts' if fact in TEXTS else 'numbers'}")
    if any(isinstance(value, str) and "\0" in value for value in values):
        raise ValueError("a text holds the character U+0000, which nothing can be called")


def holds(condition: Condition, known: Scalar | None) -> bool:
    """Whether the condition holds of this value; never of one that is not known (None, NaN)."""
    if known is None or (isinstance(known, float) and math.isnan(known)):
        return False
    value = condition.value
    if isinstance(value, tuple):
        return (known in value) == (condition.operator == "in")
    if compare := _COMPARE.get(condition.operator):
        return compare(float(known), float(value))
    return (known == value) == (condition.operator == "=")


def first_failed(conditions: Iterable[Condition], facts: Facts) -> Condition | None:
    """The first condition that does not hold, or None."""
    return next((one for one in conditions if not holds(one, facts.get(one.fact))), None)


def exclude(conditions: Iterable[Condition]) -> bool:
    """Whether no coin can ever fulfil all of these, whatever is known of it."""
    by_fact: dict[str, list[Condition]] = {}
    for one in conditions:
        by_fact.setdefault(one.fact, []).append(one)
    return any(_leave_nothing(rows) for rows in by_fact.values())


def _leave_nothing(rows: list[Condition]) -> bool:
    """Conditions on one fact: is there a value left? If there is one, it is a value named by them or lies between."""
    named = {value for row in rows for value in (row.value if isinstance(row.value, tuple) else (row.value,))}
    texts = [value for value in named if isinstance(value, str)]
    numbers = sorted(value for value in named if not isinstance(value, str))
    between = [(low + high) / 2 for low, high in pairwise(numbers)]
    outside = [numbers[0] - 1, numbers[-1] + 1] if numbers else ["".join(texts) + "?"]
    return all(first_failed(rows, {rows[0].fact: value}) for value in (*texts, *numbers, *between, *outside))


def features_of(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Names of the features asked for, each once, in order."""
    names = (one.fact.removeprefix(FEATURE) for one in conditions if one.fact.startswith(FEATURE))
    return tuple(dict.fromkeys(names))
