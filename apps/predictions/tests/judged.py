"""Scores as the scorer writes them, and what the judge says of them, for the tests of outcomes."""

from __future__ import annotations

from django.db import connection

from apps.predictions import services
from apps.predictions.models import ActiveModel, AlertEvaluation, ModelPrediction, Prediction
from apps.predictions.tests.feed import Feed, at, set_feed, trained
from apps.training.queries import to_us
from apps.training.tests.market import FakeTrade


def trade(seconds: float, price: float) -> FakeTrade:
    return FakeTrade(to_us(at(seconds)), True, 10**9, price * 1e-8)


def model_with(label: dict, name: str = "model") -> ActiveModel:
    return services.model_import(model=trained(name, label={"latency_seconds": 2.0, "stop_pct": None, **label}))


def predict(active: ActiveModel, mint: str, seconds: float, tag: str = "alert") -> None:
    """A score (and its alert) as the scorer writes them."""
    Prediction.objects.create(
        active_model_id=active.pk, mint=mint, as_of=at(seconds), scored_at=at(seconds), probability=0.9, tag=tag,
        price_sol=1e-8, phase_id=1, duration_ms=1.0, model_id=active.model_id,
    )  # fmt: skip
    if tag == "alert":
        AlertEvaluation.objects.create(
            active_model_id=active.pk, mint=mint, as_of=at(seconds), alert_id=int(seconds * 10), fired_at=at(seconds),
            probability=0.9, price_sol=1e-8, phase_id=1, horizon_at=at(seconds + 62),
        )  # fmt: skip


def feed_at(seconds: float) -> None:
    with connection.cursor() as cursor:
        set_feed(cursor, at(seconds))


def the_outcome() -> ModelPrediction:
    return ModelPrediction.objects.get()


RISE = {"kind": "path", "change_pct": 20.0, "horizon_seconds": 60}


def beating_heart(feed: Feed, seconds: int) -> None:
    """Another coin that keeps the market from falling silent."""
    feed.coin(99, trades=[trade(second, 1.0) for second in range(0, seconds, 20)])
