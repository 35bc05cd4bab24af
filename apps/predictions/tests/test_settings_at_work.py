"""The settings of a model at work against a plain reading of them, also across restarts and changes while it runs."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from apps.discovery.models import Phase
from apps.discovery.windows import METRIC_COLUMNS
from apps.predictions import services
from apps.predictions.models import AlertEvaluation, Prediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at, at_work, mint_of

pytestmark = pytest.mark.django_db
PHASE = METRIC_COLUMNS.index("phase_id_at_time")
WAITS = {"negative": "ignore_bad_seconds", "positive": "ignore_positive_seconds", "alert": "ignore_alert_seconds"}
COINS = range(1, 5)
Said = dict[str, list[tuple[datetime, str]]]


def tag_of(one: dict[str, Any], said: Said, mint: str, as_of: datetime, probability: float, phase: int) -> str:
    """What a model with these settings says of a score, with all in mind that it has said; empty: nothing."""
    tag = "alert" if probability >= one["threshold"] else "positive" if probability >= 0.5 else "negative"
    before = said.setdefault(mint, [])
    wait = max(one[WAITS[before[-1][1]]], one["min_scan_interval_seconds"]) if before else 0
    limit = one["max_log_entries"][tag]
    looks = (not one["phases"] or phase in one["phases"]) and (one["coin_filter"] == "all" or mint in one["whitelist"])
    quiet = bool(before) and as_of < before[-1][0] + timedelta(seconds=wait)
    full = limit > 0 and sum(kind == tag for _, kind in before) >= limit
    if not looks or quiet or full:
        return ""
    before.append((as_of, tag))
    return tag


def drawn(rng: random.Random) -> dict[str, Any]:
    """Settings as chance has them."""
    return {
        "threshold": rng.choice([0.45, 0.5, 0.55]), "phases": rng.choice([[], [1], [1, 2]]),
        "coin_filter": rng.choice(["all", "all", "whitelist"]), "whitelist": [mint_of(n) for n in rng.sample(COINS, 3)],
        "ignore_bad_seconds": rng.choice([0, 7, 30]), "ignore_positive_seconds": rng.choice([0, 10, 45]),
        "ignore_alert_seconds": rng.choice([0, 20, 90]), "min_scan_interval_seconds": rng.choice([0, 0, 15]),
        "max_log_entries": {tag: rng.choice([0, 0, 3, 8]) for tag in WAITS},
    }  # fmt: skip


def scorer_of_now() -> Scorer:
    scorer = Scorer()
    scorer.warm_up()
    scorer.refresh()
    return scorer


@pytest.mark.parametrize("seed", [1, 2])
def test_a_model_says_what_its_settings_let_it_say(seed: int) -> None:
    rng = random.Random(seed)
    feed = Feed()
    Phase.objects.get_or_create(id=2, defaults={"name": "Survival Zone", "interval_seconds": 5})
    for number in COINS:
        feed.coin(number, born=rng.choice([0, 30]), seconds=300)
    feed.rows = [(*row[:PHASE], rng.choice([1, 1, 2]), *row[PHASE + 1 :]) for row in feed.rows]
    free = at_work("free", threshold=1.0)
    held = drawn(rng)
    mine = services.model_import(model=free.model, custom_name="mine", fields=held)
    scorer, now, said = scorer_of_now(), 0, Said()
    expected: list[tuple[datetime, str, str]] = []
    while now < 300:
        start, now = now, now + rng.choice([5, 10, 40])
        feed.run_to(now)
        if rng.random() < 0.3:
            held = drawn(rng)
            services.model_configure(active=mine, fields=held)
            scorer.refresh()
        if rng.random() < 0.3:
            scorer = scorer_of_now()
        scorer.step()
        rows = Prediction.objects.filter(active_model_id=free.pk, as_of__gt=at(start)).order_by("as_of")
        for as_of, mint, probability, phase in rows.values_list("as_of", "mint", "probability", "phase_id"):
            if tag := tag_of(held, said, mint, as_of, probability, phase):
                expected.append((as_of, mint, tag))
    found = Prediction.objects.filter(active_model_id=mine.pk)
    assert sorted(found.values_list("as_of", "mint", "tag")) == sorted(expected)
    alerts = found.filter(tag="alert", is_late=False).values_list("as_of", "mint")
    told = AlertEvaluation.objects.filter(active_model_id=mine.pk).values_list("as_of", "mint")
    assert sorted(told) == sorted(alerts) != []
