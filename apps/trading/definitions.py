"""What a strategy is: entry, sizing, exits. One checked shape for forms, API, TOML files and stored versions. Pure.

Amounts are lamports, shares basis points (10,000 are all of it). Gains and losses of exits are net: the value of the
position if all of it were sold now, after every cost, against the cost of what is held.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from apps.core.errors import PlatformError
from apps.trading.conditions import Condition, condition_check

MOST_LAMPORTS = 10**18
Bps = Annotated[int, Field(ge=1, le=10_000)]
Ids = Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]], Field(max_length=100)]
Probability = Annotated[float, Field(ge=0, le=1)]
Stake = Annotated[int, Field(gt=0, le=MOST_LAMPORTS)]


class Part(BaseModel):
    """A part of a definition: no field that is not known, no number that is none (true is not 1)."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth(cls, source: Any) -> Any:
        for name, value in source.items() if isinstance(source, dict) else ():
            if any(isinstance(one, bool) for one in (value if isinstance(value, list) else [value])):
                raise ValueError(f"{name} is no true or false")
        return source


class ConditionIn(Part):
    """One thing that must hold when an alert is decided on: see `conditions.FACTS`, and `feature.NAME`."""

    fact: str = Field(max_length=100)
    operator: Literal[">=", ">", "<=", "<", "=", "!=", "in", "not_in"] = ">="
    value: float | str | Annotated[list[float | str], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _fits(self) -> ConditionIn:
        condition_check(self.condition())
        return self

    def condition(self) -> Condition:
        """The same for the pure module."""
        return Condition(self.fact, self.operator, tuple(self.value) if isinstance(self.value, list) else self.value)


class Entry(Part):
    """Alerts of these models (none: of all) from this probability on, where every condition holds."""

    models: Ids = []
    min_probability: Probability = 0.0
    conditions: Annotated[list[ConditionIn], Field(max_length=50)] = []


class Fixed(Part):
    """The same every time."""

    kind: Literal["fixed"] = "fixed"
    stake_lamports: Stake


class Share(Part):
    """A share of the equity, at most so much."""

    kind: Literal["share"]
    share_bps: Bps
    most_lamports: Stake


class Kelly(Part):
    """A fraction of what Kelly's formula gives for the calibrated probability, capped twice.

    `gain_bps` and `loss_bps` are what a won and a lost entry make of the stake after all costs; left out, they are the
    strategy's own take-profit (or the mean of its ladder) and stop-loss (without one: all of it).
    """

    kind: Literal["kelly"]
    fraction_bps: Bps = 2_500
    most_bps: Bps = 500
    most_lamports: Stake
    gain_bps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    loss_bps: Bps | None = None


Sizing = Annotated[Fixed | Share | Kelly, Field(discriminator="kind")]


class RungIn(Part):
    """From this gain on, sell this share of all that was bought."""

    gain_bps: int = Field(ge=1, le=1_000_000)
    share_bps: Bps


class Rules(Part):
    """The exits of a position beside stop-loss, take-profit and time-out."""

    ladder: Annotated[list[RungIn], Field(max_length=10)] = []
    trailing_bps: Annotated[int, Field(ge=1, le=9_999)] | None = None
    trailing_from_bps: int = Field(default=0, ge=0, le=1_000_000, description="above the entry; 0: from the start")
    model_below: Probability | None = Field(default=None, description="leave when a score falls below it")
    model_below_ids: Ids = Field(default=[], description="whose scores; none: of all models")
    exit_model_ids: Ids = Field(default=[], description="an alert of these is a reason to leave")
    creator_sold_bps: Bps | None = Field(default=None, description="of the creator's first buy, since our entry")
    creator_sold_lamports: Stake | None = Field(default=None, description="sold by the creator since our entry")
    graduation_bps: int = Field(
        default=10_000, ge=0, le=10_000, description="leave when so much of the curve is sold; 0: never for that"
    )

    @field_validator("ladder")
    @classmethod
    def _climbs(cls, value: list[RungIn]) -> list[RungIn]:
        if any(below.gain_bps >= above.gain_bps for below, above in pairwise(value)):
            raise ValueError("every rung must lie above the one before")
        if sum(rung.share_bps for rung in value) > 10_000:
            raise ValueError("the rungs' shares must not add up to more than 10000")
        return value


class Exits(Rules):
    """All exits; what is left out never happens."""

    stop_loss_bps: Bps | None = None
    take_profit_bps: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="sells all that is left"
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=10**9)] | None = None

    @model_validator(mode="after")
    def _above_the_ladder(self) -> Exits:
        if self.ladder and self.take_profit_bps is not None and self.take_profit_bps <= self.ladder[-1].gain_bps:
            raise ValueError("take_profit_bps sells all that is left: it must lie above the last rung")
        if self.model_below_ids and self.model_below is None:
            raise ValueError("model_below_ids needs model_below")
        return self


class Definition(Part):
    """All of a strategy but its name, its wallet and whether it is switched on."""

    entry: Entry = Entry()
    sizing: Sizing
    exits: Exits = Exits()
    slippage_bps: int = Field(default=500, ge=0, le=10_000)

    @model_validator(mode="after")
    def _kelly_knows_its_gain(self) -> Definition:
        if isinstance(self.sizing, Kelly) and self.gain_bps() is None:
            raise ValueError("a Kelly stake needs sizing.gain_bps, exits.take_profit_bps or a ladder")
        return self

    def gain_bps(self) -> int | None:
        """What a won entry makes of its stake: as the sizing says, else by the take-profit and the ladder."""
        if isinstance(self.sizing, Kelly) and self.sizing.gain_bps is not None:
            return self.sizing.gain_bps
        rungs, rest = self.exits.ladder, 10_000 - sum(rung.share_bps for rung in self.exits.ladder)
        last = self.exits.take_profit_bps or (rungs[-1].gain_bps if rungs else None)
        if last is None:
            return None
        return (sum(rung.gain_bps * rung.share_bps for rung in rungs) + last * rest) // 10_000

    def loss_bps(self) -> int:
        """What a lost entry loses of its stake: as the sizing says, else by the stop-loss; all of it without one."""
        if isinstance(self.sizing, Kelly) and self.sizing.loss_bps is not None:
            return self.sizing.loss_bps
        return self.exits.stop_loss_bps or 10_000

    def as_json(self) -> dict[str, Any]:
        """For a JSONField, an API answer or a file; what is not set is left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def sha256(self) -> str:
        """Of the canonical JSON: the same for the same definition, however it was written down."""
        return digest(self.as_json())


def digest(definition: dict[str, Any]) -> str:
    """sha256 (hex) of a definition as canonical JSON."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def definition_parse(source: dict[str, Any]) -> Definition:
    """A checked definition. Raises PlatformError STRATEGY_INVALID that names the field."""
    try:
        return Definition.model_validate(source)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "strategy"
        message = first["msg"].removeprefix("Value error, ")
        raise PlatformError("STRATEGY_INVALID", f"{where}: {message}.", field=where) from None
