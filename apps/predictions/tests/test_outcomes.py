"""Outcomes by SQL against the labels of training."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.discovery.models import Coin, CoinStream, StreamGap
from apps.predictions import services
from apps.predictions.models import ActiveModel, ModelPrediction, Prediction
from apps.predictions.tests.feed import Feed, at, mint_of, trained
from apps.predictions.tests.judged import predict, trade
from apps.training import labels, queries
from apps.training.models import Model
from apps.training.queries import to_us
from apps.training.recipes import Label

pytestmark = pytest.mark.django_db

PRICES = (1.0, 1.1, 1.2, 1.25, 0.9, 0.8, 0.5)


class _UndoError(Exception):
    """Leaves the tables as they were."""


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
@example(seed=347)  # a coin that nobody trades
def test_outcomes_agree_with_the_labels_of_training(db: None, seed: int) -> None:
    with pytest.raises(_UndoError), transaction.atomic():
        _compare(np.random.default_rng(seed))
        raise _UndoError


def _compare(rng: np.random.Generator) -> None:
    """Several models on the same coins, each with a label of its own."""
    feed = Feed()
    quiet = sorted(rng.integers(0, 900, 2).tolist())
    for number in range(4):
        moments = np.sort(rng.integers(0, 900, rng.integers(1, 60)) * 0.5).tolist()
        kept = [moment for moment in moments if not quiet[0] <= moment <= quiet[0] + 90]
        feed.coin(number, trades=[trade(moment, float(rng.choice(PRICES))) for moment in kept])
        if rng.random() < 0.5:
            end = float(rng.integers(0, 500))
            CoinStream.objects.filter(pk=mint_of(number)).update(ended_at=at(end))
            if rng.random() < 0.6:
                Coin.objects.filter(pk=mint_of(number)).update(graduated_at=at(end))
    for _ in range(rng.integers(0, 3)):
        begin = float(rng.integers(0, 450))
        StreamGap.objects.get_or_create(
            started_at=at(begin), ended_at=at(begin + float(rng.integers(1, 40))), defaults={"reason": "test"}
        )
    labels_asked = [_a_label(rng) for _ in range(4)]
    model = trained("model")
    places = [services.model_import(model=model, custom_name=str(number)) for number in range(len(labels_asked))]
    for active, label in zip(places, labels_asked, strict=True):
        twin = Model.objects.get(pk=model.pk)
        twin.pk, twin.name, twin.recipe = None, active.custom_name, {"name": "m", "label": label}
        twin.save()
        ActiveModel.objects.filter(pk=active.pk).update(model=twin)
        for number in range(4):
            for second in sorted(set(rng.integers(1, 100, 10).tolist())):
                predict(active, mint_of(number), second * 5, tag="negative")
    feed.run_to(1200)
    services.outcomes_judge()
    for active, label in zip(places, labels_asked, strict=True):
        _check(active, Label.model_validate(label).rule())


def _a_label(rng: np.random.Generator) -> dict:
    """Any question that a recipe may ask."""
    kind = str(rng.choice(["path", "path", "close", "graduates", "rule"]))
    common = {
        "kind": kind,
        "change_pct": None,
        "horizon_seconds": int(rng.choice([30, 60, 100])),
        "latency_seconds": float(rng.choice([0, 1.5, 2])),
    }
    if kind == "graduates":
        return common
    metric = str(rng.choice(["price", "price", "volume_sol", "num_buys", "is_koth"]))
    if kind == "rule":
        levels = {"price": PRICES, "volume_sol": (1.0, 2.0), "num_buys": (1.0, 2.0), "is_koth": (0.0, 1.0)}[metric]
        value = float(rng.choice(levels)) * (1e-8 if metric == "price" else 1)
        operator, when = str(rng.choice([">=", ">", "<=", "<"])), str(rng.choice(["within", "after"]))
        return {**common, "metric": metric, "value": value, "operator": operator, "when": when}
    rises = bool(rng.random() < 0.6)
    return {
        **common,
        "metric": metric,
        "change_pct": float(rng.choice([10, 20, 25])) * (1 if rises else -1),
        "stop_pct": float(rng.choice([10, 20])) if kind == "path" and rng.random() < 0.6 else None,
        "costs_pct": 3.0 if metric == "price" and rng.random() < 0.4 else 0.0,
    }


def _check(active: ActiveModel, rule: labels.LabelRule) -> None:
    predictions = list(Prediction.objects.filter(active_model_id=active.pk).order_by("mint", "as_of"))
    mints = [mint_of(number) for number in range(4)]
    coin = np.array([mints.index(one.mint) for one in predictions])
    as_of = np.array([to_us(one.as_of) for one in predictions])
    expected = _by_training(mints, coin, as_of, rule)
    found = {(one.mint, one.as_of): one for one in ModelPrediction.objects.filter(active_model_id=active.pk)}
    for place, one in enumerate(predictions):
        outcome, unknown = found.get((one.mint, one.as_of)), labels.UNKNOWN[expected.unknown[place]]
        if outcome is None:  # not yet hopeless: its first trade might still come
            assert unknown == "no_entry"
            continue
        why = (rule, one.mint, one.as_of, outcome.status, outcome.reason)
        assert outcome.horizon_at - outcome.as_of == timedelta(seconds=rule.latency_seconds + rule.horizon_seconds)
        if not expected.complete[place]:
            assert outcome.status not in ("success", "failed"), why
            assert outcome.reason == {"no_entry": "no_trades"}.get(unknown, unknown), why
            continue
        assert outcome.status == ("success" if expected.label[place] else "failed"), why
        assert outcome.entry_price_sol == expected.entry_price[place], why
        leave = expected.exit_price[place]
        assert outcome.exit_price_sol == (None if math.isnan(leave) else leave), why


def _by_training(mints: list[str], coin: np.ndarray, as_of: np.ndarray, rule: labels.LabelRule) -> labels.Outcomes:
    """What training makes of the same rows."""
    known = labels.Knowledge(
        queries.tracking_ends(mints), *queries.unknown_times(at(-60), at(1200)), to_us(at(1200)),
        queries.graduations(mints),
    )  # fmt: skip
    metric = None
    if rule.metric != "price":
        metric = _series(queries.metric_series(mints, rule.metric, at(-100), at(1200)))
    return labels.outcomes(coin, as_of, rule, _series(queries.trade_records(mints, at(-100), at(1200))), known, metric)


def _series(records: np.ndarray) -> labels.Trades:
    return labels.Trades(records["coin"].copy(), records["at_us"].copy(), records["price"].copy())
