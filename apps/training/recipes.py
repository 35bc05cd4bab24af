"""The recipe of a model: everything needed to make it again from the same data. TOML file, JSON body, stored JSON.

name = "first"
features = "all"            # or a list of names
seed = 7
[label]                     # what is asked: see label_rules.LabelRule
kind = "path"
change_pct = 20
horizon_seconds = 300
[data]                      # of which rows: see recipe_parts.Data
from = 2025-09-05T00:00:00Z
to = 2025-09-07T00:00:00Z
phases = [1]
[costs]                     # of one trade: see evaluation.costs.Costs
stake_sol = 0.1
"""

from __future__ import annotations

import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, field_validator, model_validator

from apps.core.errors import PlatformError, problem_of
from apps.training import features
from apps.training.evaluation.costs import Costs
from apps.training.recipe_parts import Data, Label, Part, Split

_NAME = r"[\w .:+-]*[\w.:+-][\w .:+-]*"
_NAMES = "a name has 1 to 100 letters, digits, spaces and . : + - _, and not only spaces"


def _nameable(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError(_NAMES)
    return value


ModelName = Annotated[
    str,
    Field(min_length=1, max_length=100, json_schema_extra={"pattern": f"^{_NAME}$"}),
    AfterValidator(_nameable),
]


class Booster(Part):
    """XGBoost's own parameters (tree method `hist`)."""

    n_estimators: int = Field(default=400, ge=1, le=5000)
    early_stopping_rounds: int = Field(default=40, ge=1, le=1000)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    max_depth: int = Field(default=5, ge=1, le=16)
    min_child_weight: float = Field(default=5.0, ge=0, le=1e9)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.8, gt=0, le=1)
    reg_lambda: float = Field(default=1.0, ge=0, le=1e9)
    gamma: float = Field(default=0.0, ge=0, le=1e9)
    max_bin: int = Field(default=256, ge=2, le=1024)
    scale_pos_weight: Annotated[float, Field(gt=0, le=1e9)] | Literal["balanced"] = 1.0


# What a study varies unless the recipe says otherwise: least and most, both included.
SPACE: dict[str, tuple[float, float]] = {
    "learning_rate": (0.02, 0.3),
    "max_depth": (3, 9),
    "min_child_weight": (1, 100),
    "subsample": (0.5, 1),
    "colsample_bytree": (0.3, 1),
    "reg_lambda": (0.1, 100),
    "gamma": (0, 5),
}


class Tune(Part):
    """A study: how many fits, by which measure of the validation part, and which parameters vary between what."""

    trials: int = Field(default=30, ge=1, le=500)
    seconds: int | None = Field(default=None, ge=1, le=604_800, description="no trial begins after so long")
    measure: Literal["pr_auc", "log_loss", "expected_value"] = "pr_auc"
    space: dict[str, tuple[float, float]] = Field(default=SPACE, min_length=1)

    @field_validator("space")
    @classmethod
    def _possible(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (low, high) in value.items():
            if name not in SPACE:
                raise ValueError(f"`{name}` cannot be varied; choose of {', '.join(SPACE)}")
            if low >= high or (name == "max_depth" and (low % 1 or high % 1)):
                raise ValueError(
                    f"`{name}` needs two {'whole ' if name == 'max_depth' else ''}numbers, the lower first"
                )
            for edge in (low, high):
                try:
                    Booster.model_validate({name: edge})
                except ValidationError as error:
                    raise ValueError(f"`{name}`: {error.errors()[0]['msg']}") from None
        return value


class TradeCosts(Part):
    """What an alert is traded with and what that costs, see `evaluation.costs.Costs`; defaults as on paper."""

    stake_sol: float = Field(default=0.1, gt=0, le=1000)
    venue_fee_bps: int = Field(default=50, ge=0, le=1000)
    network_fee_sol: float = Field(default=0.000105, ge=0, le=1)
    tip_sol: float = Field(default=0.0, ge=0, le=1)
    failure_rate: float = Field(default=0.02, ge=0, lt=1)
    max_slippage_bps: int = Field(default=500, ge=0, le=10_000)
    flat_pct: float | None = Field(default=None, ge=0, le=100)

    def rule(self) -> Costs:
        """The same for the pure module."""
        return Costs(**self.model_dump())


class Recipe(Part):
    """A whole recipe. `costs` and `min_alerts` choose the threshold on validation."""

    name: ModelName
    description: str = Field(default="", max_length=2000)
    features: Literal["all"] | list[str] = "all"
    label: Label = Label()
    data: Data = Data()
    split: Split = Split()
    xgboost: Booster = Booster()
    tune: Tune | None = None
    seed: int = Field(default=7, ge=0, le=2**31 - 1)
    costs: TradeCosts = TradeCosts()
    min_alerts: int = Field(default=30, ge=1, le=1_000_000_000)

    @model_validator(mode="before")
    @classmethod
    def _older(cls, source: Any) -> Any:
        """Recipes of before the curve was counted have `costs_pct`, a flat share of the stake: it means the same."""
        if not isinstance(source, dict) or "costs_pct" not in source:
            return source
        if "costs" in source:
            raise ValueError("give `costs` or the older `costs_pct`, not both")
        return {name: value for name, value in source.items() if name != "costs_pct"} | {
            "costs": {"flat_pct": source["costs_pct"]}
        }

    @field_validator("features")
    @classmethod
    def _known(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list):
            unknown = [name for name in value if name not in features.NAMES]
            if unknown or not value or len(set(value)) != len(value):
                raise ValueError(f"unknown features {unknown}" if unknown else "name each feature once, at least one")
        return value

    def feature_names(self) -> tuple[str, ...]:
        """The matrix's columns, in order."""
        return features.NAMES if isinstance(self.features, str) else tuple(self.features)

    def as_json(self) -> dict[str, Any]:
        """For a JSONField, an API answer or a file."""
        return self.model_dump(mode="json", by_alias=True)


def recipe_parse(source: dict[str, Any]) -> Recipe:
    """A checked recipe. Raises PlatformError RECIPE_INVALID that names the field."""
    try:
        return Recipe.model_validate(source)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise PlatformError("RECIPE_INVALID", f"{where}: {problem_of(first)}.", field=where) from None


def name_possible(name: str) -> bool:
    """Whether a model may have this name."""
    try:
        TypeAdapter(ModelName).validate_python(name)
    except ValidationError:
        return False
    return True


def recipe_load(path: Path) -> Recipe:
    """A recipe from a TOML file. Raises PlatformError RECIPE_UNREADABLE or RECIPE_INVALID."""
    try:
        return recipe_parse(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlatformError("RECIPE_UNREADABLE", f"{path}: {error}") from None


def range_parse(start: str | datetime, end: str | datetime) -> tuple[datetime, datetime]:
    """A checked time range from ISO 8601 text with a time zone, or dates. Raises PlatformError RANGE_INVALID."""
    try:
        data = Data.model_validate({"from": start, "to": end})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"`{part}`: " for part in first["loc"])
        raise PlatformError("RANGE_INVALID", f"{where}{problem_of(first)}.") from None
    if data.from_ is None or data.to is None:
        raise PlatformError("RANGE_INVALID", "Both `from` and `to` are needed.")
    return data.from_, data.to
