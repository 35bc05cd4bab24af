"""What a model file says of its model besides the artifact: every part by schema, so that nothing else gets in.

Who edits a file can write right sums below it; what is believed of a file is therefore only what could be true, and
nothing that would break a page, a later test or a comparison. Knows no database.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from apps.training import features
from apps.training.evaluation import baselines
from apps.training.recipes import ModelName

FORMAT: Final = "pump-platform-model"
VERSION: Final = 1
MOST_POINTS, MOST_ROWS = 20_000, 10_000

Ratio = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Text = Annotated[str, Field(max_length=300)]
Pair = tuple[float, float]
Points = Annotated[list[Pair], Field(max_length=MOST_POINTS)]


class Strict(BaseModel):
    """No field that is not known, no number that is none."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Measures(BaseModel):
    """The measures of some rows. What a later release measures, too, comes along if it is a plain value."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, bool | int | float | Text | None]

    rows: Count
    positives: Count
    alerts: Count
    base_rate: Ratio | None
    pr_auc: Ratio | None
    roc_auc: Ratio | None
    precision: Ratio | None
    recall: Ratio | None
    expected_value: float | None
    coins: Count = 0
    coins_alerted: Count = 0
    log_loss: float | None = None
    brier: Ratio | None = None
    mcc: Annotated[float, Field(ge=-1, le=1)] | None = None
    expected_value_first: float | None = None
    intervals: dict[Text, Pair] = {}


class SliceScores(Measures):
    """The measures of a slice: of a phase, a day, a state of the market."""

    key: Text


class BaselineScores(Measures):
    """The measures of a baseline on the same rows, and the model's lead."""

    name: Literal["always_no", "always_yes", "momentum", "curve_position", "logistic"]
    threshold: float
    lead: float | None
    lead_interval: Pair | None


class Calibration(Strict):
    predicted: Ratio
    observed: Ratio
    rows: Count


class ValuePoint(Strict):
    """Expected value at a threshold."""

    threshold: float
    alerts: Count
    coins: Count
    expected_value: float | None
    low: float | None
    high: float | None


class Curves(Strict):
    pr: Points = []
    roc: Points = []


class Slices(Strict):
    phase: Annotated[list[SliceScores], Field(max_length=MOST_ROWS)] = []
    day: Annotated[list[SliceScores], Field(max_length=MOST_ROWS)] = []
    market: Annotated[list[SliceScores], Field(max_length=MOST_ROWS)] = []


class Bootstrap(Strict):
    resamples: Count
    level: Ratio
    seed: int = Field(ge=0, lt=2**63)


class PartScores(Measures):
    """The whole judgement of one part (`evaluation.report`)."""

    threshold: Ratio = 0.5
    suspicious: bool = False
    expected_value_of_all: float | None = None
    bootstrap: Bootstrap | None = None
    calibration: Annotated[list[Calibration], Field(max_length=MOST_ROWS)] = []
    curves: Curves = Curves()
    ev_curve: Annotated[list[ValuePoint], Field(max_length=MOST_ROWS)] = []
    slices: Slices = Slices()
    baselines: Annotated[list[BaselineScores], Field(max_length=10)] = []


class Fold(Measures):
    """One fold of a walk forward that could be fitted."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    rows_train: Count
    bootstrap: Bootstrap | None = None


class FailedFold(Strict):
    """One that could not."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    rows_train: Count
    rows: Count
    error_code: Text
    error: Text


class Scores(Strict):
    """The judged parts, and the folds of a walk forward."""

    validation: PartScores | None = None
    test: PartScores | None = None
    walk_forward: Annotated[list[Fold | FailedFold], Field(max_length=10)] = []


class ConstantBaseline(Strict):
    kind: Literal["constant"]
    value: Ratio
    threshold: float


class RuleBaseline(Strict):
    kind: Literal["rule"]
    feature: str
    sign: Literal[-1, 1]
    threshold: float

    @model_validator(mode="after")
    def _loaded(self) -> RuleBaseline:
        if self.feature not in baselines.CONTEXT:
            raise ValueError(f"no baseline looks at {self.feature!r}")
        return self


class LogisticBaseline(Strict):
    kind: Literal["logistic"]
    features: list[str]
    mean: list[float]
    scale: list[Annotated[float, Field(gt=0)]]
    weights: list[float]
    intercept: float
    threshold: float

    @model_validator(mode="after")
    def _whole(self) -> LogisticBaseline:
        if tuple(self.features) != baselines.REGRESSORS:
            raise ValueError(f"its features are {', '.join(baselines.REGRESSORS)}")
        if {len(self.mean), len(self.scale), len(self.weights)} != {len(self.features)}:
            raise ValueError("mean, scale and weights need a number for each feature")
        return self


class Baselines(Strict):
    """What later judging holds the model against (`evaluation.baselines`)."""

    always_no: ConstantBaseline | None = None
    always_yes: ConstantBaseline | None = None
    momentum: RuleBaseline | None = None
    curve_position: RuleBaseline | None = None
    logistic: LogisticBaseline | None = None

    @model_validator(mode="after")
    def _named(self) -> Baselines:
        if empty := [name for name in self.model_fields_set if getattr(self, name) is None]:
            raise ValueError(f"{empty[0]} is empty")
        return self


class Regime(Strict):
    """The terciles of the market in the training part; {} where they are not known."""

    feature: Literal["market_volume_sol_300s"] = "market_volume_sol_300s"
    edges: list[float] = Field(default=[], max_length=2)

    @model_validator(mode="after")
    def _in_order(self) -> Regime:
        if len(self.edges) == 1 or sorted(self.edges) != self.edges:
            raise ValueError("two edges are needed, the lower first")
        return self


class Judging(Strict):
    """What a model keeps so that it can be judged on a later day (`judging.keep`)."""

    baselines: Baselines = Baselines()
    regime: Regime = Regime()
    permutation: dict[str, float] = {}


class SpreadJson(Strict):
    """A `profiles.Spread`."""

    cuts: list[float] = Field(max_length=100)
    shares: list[Ratio] = Field(max_length=102)
    rows: Count

    @model_validator(mode="after")
    def _whole(self) -> SpreadJson:
        if any(low >= high for low, high in zip(self.cuts, self.cuts[1:], strict=False)):
            raise ValueError("the cuts must rise")
        if len(self.shares) != len(self.cuts) + 2:
            raise ValueError("there are two more shares than cuts")
        if self.rows and abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("the shares must add up to 1")
        return self


class Profile(Strict):
    """How the values were spread that the model learned from; {} for models of before."""

    features: dict[str, SpreadJson] = {}
    score: SpreadJson | None = None

    @model_validator(mode="after")
    def _whole(self) -> Profile:
        if bool(self.features) != (self.score is not None):
            raise ValueError("the spreads of the features and of the score belong together")
        return self


class Scaling(Strict):
    slope: float
    intercept: float


class MadeWith(Strict):
    """How the model was made; `imported` says from which file, once it was."""

    seed: Count | None = None
    rounds: Count | None = None
    threads: Count | None = None
    cluster_workers: Count | None = None
    calibration: Scaling | None = None
    imported: dict[str, Text] = {}

    @model_validator(mode="after")
    def _named(self) -> MadeWith:
        if empty := [name for name in self.model_fields_set if getattr(self, name) is None]:
            raise ValueError(f"{empty[0]} is empty")
        return self


class Manifest(Strict):
    """The file model.json. Fields of a later version are refused, not dropped."""

    format: Literal["pump-platform-model"] = FORMAT
    version: Literal[1] = VERSION
    name: ModelName
    description: str = Field(default="", max_length=2000)
    recipe: dict[str, Any]  # read by `recipes.recipe_parse`
    feature_names: list[str] = Field(min_length=1, max_length=5000)
    label_name: str = Field(max_length=100)
    horizon_seconds: int = Field(ge=1)
    train_from: AwareDatetime
    train_to: AwareDatetime
    data_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows_train: int = Field(ge=0, lt=2**31)
    rows_validation: int = Field(ge=0, lt=2**31)
    rows_test: int = Field(ge=0, lt=2**31)
    scores: Scores
    judging: Judging
    profile: Profile
    threshold: Ratio
    importances: dict[str, Annotated[float, Field(ge=0)]]
    made_with: MadeWith
    artifact_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    xgboost_version: str = Field(max_length=20)
    origin: str = Field(max_length=10)
    parent_name: str = Field(default="", max_length=100)
    created_at: AwareDatetime

    @model_validator(mode="after")
    def _of_its_features(self) -> Manifest:
        features.positions(self.feature_names)  # raises FEATURE_UNKNOWN
        own = set(self.feature_names)
        for part, names in (
            ("importances", set(self.importances)),
            ("judging.permutation", set(self.judging.permutation)),
            ("profile.features", set(self.profile.features)),
        ):
            if strange := names - own:
                raise ValueError(f"{part} names {min(strange)!r}, which is none of its features")
        if self.profile.features and set(self.profile.features) != own:
            raise ValueError("profile.features must hold every feature")
        return self
