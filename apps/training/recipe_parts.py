"""The parts of a recipe that say what is asked, of which rows, and how these are parted."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from apps.training.columns import METRICS
from apps.training.label_rules import PRICE, Kind, LabelRule, Operator, When
from apps.training.sampling import Creators, Filter, Sample

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _midnight(value: Any) -> Any:
    """A date alone, as TOML or as text, is its midnight UTC."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return f"{value}T00:00:00Z"
    alone = isinstance(value, date) and not isinstance(value, datetime)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if alone else value


Moment = Annotated[AwareDatetime, BeforeValidator(_midnight)]


class Part(BaseModel):
    """A part of a recipe: no field that is not known, no number that is none."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)


class Label(Part):
    """What the model is asked about a row: see `label_rules.LabelRule`. Fields that a kind does not have are null."""

    kind: Kind = "path"
    change_pct: float | None = Field(default=20.0, gt=-100, le=10_000)
    horizon_seconds: int = Field(default=300, ge=1, le=86_400)
    stop_pct: float | None = Field(default=None, gt=0, lt=100)
    latency_seconds: float = Field(default=2.0, ge=0, le=600)
    metric: str = PRICE
    operator: Operator = ">="
    value: float | None = None
    when: When = "within"
    costs_pct: float = Field(default=0.0, ge=0, lt=100, description="taken off each change before it is compared")

    @field_validator("change_pct")
    @classmethod
    def _moves(cls, value: float | None) -> float | None:
        if value == 0:
            raise ValueError("must not be 0")
        return value

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (PRICE, *METRICS):
            raise ValueError(f"must be {PRICE} or a metric column such as market_cap_close")
        return value

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Label:
        changes = self.kind in ("path", "close")
        if changes and self.change_pct is None:
            raise ValueError(f"`change_pct` must be given for kind {self.kind}")
        if (self.kind == "rule") != (self.value is not None):
            raise ValueError("`value` belongs to kind rule, which needs it")
        if not changes and "change_pct" in self.model_fields_set and self.change_pct is not None:
            raise ValueError(f"`change_pct` does not belong to kind {self.kind}")
        if self.kind == "graduates" and self.metric != PRICE:
            raise ValueError("`metric` does not belong to kind graduates")
        if self.costs_pct and not (changes and self.metric == PRICE):
            raise ValueError("`costs_pct` can only be taken off changes of the price")
        self._clear(changes)
        return self._levels_apart()

    def _clear(self, changes: bool) -> None:
        # Set without marking them as given, so that the recipe reads the same when it is parsed again.
        self.__dict__["change_pct"] = self.change_pct if changes else None
        self.__dict__["stop_pct"] = self.stop_pct if self.kind == "path" else None

    def _levels_apart(self) -> Label:
        rule = self.rule()
        if rule.stop_pct is not None and rule.rises and self.costs_pct >= rule.stop_pct:
            raise ValueError("`costs_pct` must be less than `stop_pct`: else every row is stopped at its entry")
        if not rule.rises and self.change_pct is not None and -self.change_pct <= self.costs_pct:
            raise ValueError("`costs_pct` must be less than the fall that is asked for")
        return self

    def rule(self) -> LabelRule:
        """The same for the pure module."""
        return LabelRule(**self.model_dump())


class Data(Part):
    """Which rows: windows that end in (from, to], in these phases; open ends mean all there is, a date its midnight.

    The filters below look only at what was known at the row. `max_rows_per_coin` and `every_seconds` thin out the
    coins that train; validation and test keep all their rows.
    """

    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None
    phases: Annotated[list[Annotated[int, Field(ge=0, le=32_767)]], Field(min_length=1)] = [1, 2, 3]
    creators: Creators = "all"
    min_trades: int = Field(default=0, ge=0, le=1_000_000, description="in the half hour until the row")
    mints: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=10_000)] = []
    max_rows_per_coin: int | None = Field(default=None, ge=1)
    every_seconds: int | None = Field(default=None, ge=1, le=86_400)

    @model_validator(mode="after")
    def _in_order(self) -> Data:
        if self.from_ and self.to and self.from_ >= self.to:
            raise ValueError("`from` must be before `to`")
        if any(moment and not 2000 <= moment.year < 2100 for moment in (self.from_, self.to)):
            raise ValueError("`from` and `to` must lie between the years 2000 and 2100")
        return self

    def filter(self) -> Filter:
        """Which rows count, for the pure module."""
        return Filter(self.creators, self.min_trades, tuple(sorted(set(self.mints))))

    def sample(self, seed: int) -> Sample | None:
        """How training coins are thinned out; None where they are not."""
        if self.max_rows_per_coin is None and self.every_seconds is None:
            return None
        return Sample(self.max_rows_per_coin, self.every_seconds, seed)


class Split(Part):
    """Shares of the rows that come last in time; the rest trains. `folds`: as many walks forward through what is not
    test, each fitted anew on what was before."""

    validation: float = Field(default=0.2, ge=0.05, le=0.5)
    test: float = Field(default=0.2, ge=0, le=0.5)
    folds: int = Field(default=0, ge=0, le=10)

    @model_validator(mode="after")
    def _leaves_some(self) -> Split:
        if self.validation + self.test > 0.9:
            raise ValueError("`validation` and `test` together must leave a tenth to train on")
        return self
