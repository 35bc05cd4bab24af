"""Champion and challenger with judged alerts of each, for the tests of promotion. All in the real tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from apps.core.errors import PlatformError
from apps.predictions import champions, retraining, services
from apps.predictions.models import ActiveModel, AlertEvaluation, ChampionEvent, ModelPrediction
from apps.predictions.tests.feed import LABEL, Feed, at, mint_of
from apps.training.models import Model


def plain_model(name: str, *, threshold: float = 0.5, **fields: Any) -> Model:
    """A trained model that nobody lets score."""
    recipe = {"name": name, "label": fields.pop("label", LABEL), "costs": {"flat_pct": 2.0}}
    given = {"label_name": "path", "train_from": at(-7200), "train_to": at(0), **fields}
    return Model.objects.create(
        name=name, recipe=recipe, feature_names=["price_close"], horizon_seconds=60, data_hash="", rows_train=1,
        rows_validation=1, rows_test=1, scores={}, threshold=threshold, artifact=b"", artifact_sha256="",
        xgboost_version="", **given,
    )  # fmt: skip


@dataclass
class Match:
    """A champion at work and its challenger, and alerts that each of them has had."""

    place: ActiveModel
    shadow: ActiveModel

    def play(
        self, champion: list[float], challenger: list[float], *, after: float = 0.0, coins: int = 50, both: bool = True
    ) -> None:
        """Judged alerts worth so much after costs, one an instant; the other one scored the same instant unless not
        `both`."""
        outcomes, alerts = list[ModelPrediction](), list[AlertEvaluation]()
        sides = [(self.place, self.shadow, champion), (self.shadow, self.place, challenger)]
        for number, (place, other, values) in enumerate(sides):
            for turn, value in enumerate(values):
                told = (turn % coins, after + 10 + 2 * turn + number, value)
                alerts.append(self._alert(place, *told[:2]))
                outcomes.append(self._outcome(place, *told, alert=True))
                if both:
                    outcomes.append(self._outcome(other, *told, alert=False))
        ModelPrediction.objects.bulk_create(outcomes)
        AlertEvaluation.objects.bulk_create(alerts)

    @staticmethod
    def _outcome(place: ActiveModel, coin: int, seconds: float, value: float, *, alert: bool) -> ModelPrediction:
        return ModelPrediction(
            active_model_id=place.pk, mint=mint_of(coin), as_of=at(seconds), horizon_at=at(seconds + 62),
            probability=0.9, tag="alert" if alert else "negative", status="success", model_id=place.model_id,
            entry_price_sol=1e-8, exit_price_sol=1e-8 * (1.02 + value), exit_at=at(seconds + 64), quoted_price_sol=1e-8,
        )  # fmt: skip

    @staticmethod
    def _alert(place: ActiveModel, coin: int, seconds: float) -> AlertEvaluation:
        return AlertEvaluation(
            active_model_id=place.pk, mint=mint_of(coin), as_of=at(seconds), fired_at=at(seconds), probability=0.9,
            price_sol=1e-8, phase_id=1, horizon_at=at(seconds + 62), status="success", alert_id=None,
        )  # fmt: skip


@pytest.fixture
def match() -> Match:
    Feed().run_to(0)
    place = services.model_import(
        model=plain_model("old", threshold=0.6), custom_name="place", fields={"phases": [1], "ignore_bad_seconds": 7}
    )
    retraining.plan_set(place=place, fields={"min_alerts": 30, "shadow_hours": 2})
    shadow = champions.challenge_start(place=place, model=plain_model("new", threshold=0.7), by="ann")
    return Match(place, shadow)


def values(mean: float, count: int = 30, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).normal(mean, 0.05, count).tolist()


def kinds() -> list[str]:
    return list(ChampionEvent.objects.order_by("id").values_list("kind", flat=True))


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(PlatformError) as caught:
        call(**arguments)
    return caught.value.code


def fresh(active: ActiveModel) -> ActiveModel:
    return ActiveModel.objects.select_related("model").get(pk=active.pk)
