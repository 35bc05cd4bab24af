"""The scorer in this process, on the real tables."""

import json
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.core.models import WebhookMessage
from apps.discovery.models import CoinMetric, ExchangeRate, Phase, StreamGap, StreamState
from apps.discovery.windows import METRIC_COLUMNS
from apps.predictions import inference, scorer_queries, services
from apps.predictions.models import ActiveModel, AlertEvaluation, Prediction, ScorerState
from apps.predictions.reasons import probability_of
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at, at_work, mint_of, set_feed, write_rows
from apps.training import features, queries
from apps.training.columns import load_columns
from apps.training.market_queries import MarketReader
from apps.training.queries import to_us

pytestmark = pytest.mark.django_db


def run(scorer: Scorer) -> int:
    """Step until nothing is left; how many rows there were."""
    scorer.refresh()
    total = 0
    while count := scorer.step():
        total += count
    while scorer.explain():
        pass
    return total


def metric_count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM coin_metrics")
        return cursor.fetchone()[0]


def test_every_window_is_scored_once_by_every_model() -> None:
    feed = Feed()
    for number in range(8):
        feed.coin(number, born=number * 7)
    first, second = at_work("first"), at_work("second", seed=2)
    scorer = Scorer()
    for seconds in range(5, 150, 5):
        feed.run_to(seconds)
        run(scorer)
    assert Prediction.objects.filter(active_model_id=first.pk).count() == metric_count() > 150
    assert Prediction.objects.filter(active_model_id=second.pk).count() == metric_count()
    assert Prediction.objects.filter(is_late=True).count() == 0


def test_feature_rows_equal_those_of_training_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed()
    for number in range(6):
        feed.coin(number, born=number * 31, seconds=4000, creator="one", market_cap_sol=28.0 + number, pool="pump")
    for seconds in (-90_000, -3700, 5, 900, 901, 2000):
        ExchangeRate.objects.create(currency="USD", rate=150 + seconds / 7000, source="test", at=at(seconds))
    at_work()
    seen: dict[tuple[str, int], np.ndarray] = {}
    real = inference.score

    def spy(workers, history):
        matrix = features.of(history)
        mints = scorer.memory.mints_of(history.now("coin"))
        for mint, us, values in zip(mints, history.now("as_of_us"), matrix, strict=True):
            seen[mint, int(us)] = values
        return real(workers, history)

    monkeypatch.setattr("apps.predictions.scorer.score", spy)
    scorer = Scorer()
    for seconds in range(120, 4000, 120):
        feed.run_to(seconds)
        run(scorer)
        if seconds % 1200 == 0:
            scorer = Scorer()  # a restart, with or without warming up
            if seconds % 2400 == 0:
                scorer.warm_up()
    mints = [mint_of(number) for number in range(6)]
    records = queries.metric_records(mints, at(-1), at(4000))
    columns = load_columns(records)
    matrix = features.compute(columns, MarketReader().between(to_us(at(0)), to_us(at(4000))))
    assert len(seen) == len(columns)
    for place in range(len(columns)):
        ours = seen[mints[columns.coin[place]], int(columns.as_of_us[place])]
        assert ours.tobytes() == matrix[place].tobytes()
    assert set(matrix[:, features.NAMES.index("creator_coins")]) == set(range(6))
    assert matrix[-1, features.NAMES.index("creator_top_market_cap_sol")] == 30.0
    of_market = [name for name in features.NAMES if name.startswith(("market_", "sol_usd"))]
    known = ~np.isnan(matrix[:, features.positions(of_market)])
    assert len(of_market) > 20 and known.any(axis=0).all()


def test_late_rows_are_scored_and_never_alert() -> None:
    feed = Feed()
    feed.coin(1)
    at_work(threshold=0.0)
    scorer = Scorer()
    feed.run_to(100)
    run(scorer)
    assert Prediction.objects.filter(is_late=True, tag="alert", as_of__lt=at(90)).exists()
    assert AlertEvaluation.objects.count() == Prediction.objects.filter(is_late=False).count() >= 1
    assert AlertEvaluation.objects.filter(as_of__lt=at(90)).count() == 0


@pytest.mark.parametrize(("mode", "age", "alerts"), [("live", 60, 0), ("live", 1, 1), ("replay", 60, 1)])
def test_a_stream_that_catches_up_raises_no_alert_on_stale_prices(
    mode: str, age: float, alerts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed()
    feed.coin(1)
    at_work(threshold=0.0)
    feed.run_to(5)
    StreamState.objects.update(mode=mode)
    wall = f"timestamptz '{at(5 + age).isoformat()}'"
    monkeypatch.setattr(scorer_queries, "MARKET_CLOCK", scorer_queries.MARKET_CLOCK.replace("clock_timestamp()", wall))
    run(Scorer())
    assert (Prediction.objects.filter(is_late=True).count(), AlertEvaluation.objects.count()) == (1 - alerts, alerts)


def test_windows_of_an_imported_past_neither_move_the_cursor_nor_are_looked_for() -> None:
    feed = Feed()
    feed.coin(1)
    at_work()
    scorer = Scorer()
    feed.run_to(60)
    assert run(scorer) > 0
    before = ScorerState.objects.get(pk=1)
    with connection.cursor() as cursor:
        cursor.execute("""INSERT INTO coin_metrics SELECT (jsonb_populate_record(m, jsonb_build_object(
                              'timestamp', m.timestamp - day * INTERVAL '1 day', 'row_id', m.row_id + 1000000))).*
                          FROM coin_metrics m, generate_series(3, 9) day""")
    assert run(scorer) == 0
    with CaptureQueriesContext(connection) as queries_run:
        scorer.step()
    (look,) = [one["sql"] for one in queries_run if "coin_metrics" in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {look}")
        plan = "".join(line for (line,) in cursor.fetchall())
    assert len(set(re.findall(r" on (_hyper\w+)", plan))) <= 3, plan  # of ten days
    feed.run_to(90)
    assert run(scorer) > 0
    after = ScorerState.objects.get(pk=1)
    assert after.last_row_id > before.last_row_id
    assert after.skipped_total == before.skipped_total


def test_rows_older_than_ten_minutes_are_skipped_and_counted() -> None:
    feed = Feed()
    feed.coin(1, seconds=600)
    at_work()
    feed.run_to(600)
    with connection.cursor() as cursor:
        set_feed(cursor, at(900))
    assert run(Scorer()) == metric_count()
    state = ScorerState.objects.get()
    assert state.skipped_total == Prediction.objects.count() * 0 + metric_count() - Prediction.objects.count() > 0
    assert not Prediction.objects.filter(as_of__lte=at(300)).exists()


def test_coins_that_cannot_be_traded_are_counted_and_not_scored() -> None:
    feed = Feed()
    standard, other, finished = feed.coin(1), feed.coin(2, curve="nonstandard"), feed.coin(3)
    feed.rows = [(*row[:2], Phase.FINISHED, *row[3:]) if row[0] == finished else row for row in feed.rows]
    at_work(threshold=0.0)
    scorer = Scorer()
    for seconds in (5, 10, 15):
        feed.run_to(seconds)
        run(scorer)
    assert METRIC_COLUMNS[2] == "phase_id_at_time"
    assert set(Prediction.objects.values_list("mint", flat=True)) == {standard}
    assert set(AlertEvaluation.objects.values_list("mint", flat=True)) == {standard}
    state = ScorerState.objects.get()
    written = {mint: CoinMetric.objects.filter(mint=mint).count() for mint in (other, finished)}
    assert (state.skipped_curve, state.skipped_untraded, state.skipped_total) == (written[other], written[finished], 0)
    assert min(written.values()) > 0


@pytest.mark.parametrize(
    ("gap", "touches"),
    [((-100, -20), False), ((-100, 2), True), ((12, 14), True), ((20.5, 22), False)],
    ids=["before the coin", "at its birth", "within its life", "after the window"],
)
def test_an_alert_knows_that_the_feed_was_away(gap: tuple[float, float], touches: bool) -> None:
    feed = Feed()
    feed.coin(1)
    at_work(threshold=0.0)
    StreamGap.objects.create(started_at=at(gap[0]), ended_at=at(gap[1]), reason="test")
    feed.run_to(20)
    run(Scorer())
    assert AlertEvaluation.objects.latest("as_of").as_of == at(20)
    assert AlertEvaluation.objects.latest("as_of").touches_gap == touches


def test_reasons_add_up_to_the_score_and_name_the_features_values() -> None:
    feed = Feed()
    mint = feed.coin(1)
    at_work(threshold=0.0)
    scorer = Scorer()
    for seconds in range(5, 65, 5):
        feed.run_to(seconds)
        run(scorer)
    alerts = list(AlertEvaluation.objects.order_by("as_of"))
    assert len(alerts) > 3
    columns = load_columns(queries.metric_records([mint], at(-1), at(60)))
    matrix = features.compute(columns, MarketReader().between(to_us(at(0)), to_us(at(60))))
    for row, alert in enumerate(alerts):
        assert probability_of(alert.reasons) == pytest.approx(alert.probability, abs=1e-6)
        for one in alert.reasons["top"]:
            value = matrix[row, features.NAMES.index(one["feature"])]
            assert one["value"] == (None if np.isnan(value) else value)


def test_alerts_that_a_dying_scorer_left_without_reasons_get_them_from_the_next_one() -> None:
    feed = Feed()
    feed.coin(1)
    active = at_work(threshold=0.0)
    feed.run_to(10)
    run(Scorer())
    wanted = list(AlertEvaluation.objects.order_by("as_of").values_list("reasons", flat=True))
    AlertEvaluation.objects.update(reasons=None)
    scorer = Scorer()
    scorer.warm_up()
    assert run(scorer) == 0 and len(wanted) > 0
    assert list(AlertEvaluation.objects.order_by("as_of").values_list("reasons", flat=True)) == wanted
    AlertEvaluation.objects.update(reasons=None)
    Prediction.objects.update(model_id=active.model_id + 1)  # another model holds the place now
    assert run(Scorer()) == 0 and not AlertEvaluation.objects.exclude(reasons=None).exists()


def test_alerts_carry_their_horizon_and_the_order_of_their_commit() -> None:
    feed = Feed()
    for number in range(5):
        feed.coin(number)
    at_work(threshold=0.0)
    scorer = Scorer()
    for seconds in (5, 10, 15):
        feed.run_to(seconds)
        run(scorer)
    alerts = list(AlertEvaluation.objects.order_by("alert_id"))
    assert [alert.as_of for alert in alerts] == sorted(alert.as_of for alert in alerts)
    assert all((alert.horizon_at - alert.as_of).total_seconds() == 62 for alert in alerts)
    assert {alert.fired_at for alert in alerts} == {at(5), at(10), at(15)}


def test_a_coin_is_left_alone_after_an_alert_also_across_a_restart() -> None:
    feed = Feed()
    feed.coin(1)
    at_work(threshold=0.0, ignore_alert_seconds=30)
    for seconds in range(5, 100, 5):
        feed.run_to(seconds)
        run(Scorer())
    times = sorted(Prediction.objects.values_list("as_of", flat=True))
    assert len(times) >= 3
    assert min((b - a).total_seconds() for a, b in pairwise(times)) >= 30


def test_no_more_scores_are_logged_than_the_limit_says() -> None:
    feed = Feed()
    feed.coin(1)
    feed.coin(2)
    at_work(threshold=0.0, max_log_entries={"alert": 2})
    scorer = Scorer()
    for seconds in range(5, 60, 5):
        feed.run_to(seconds)
        run(scorer)
    assert Prediction.objects.count() == AlertEvaluation.objects.count() == 4


def test_whitelist_and_phases_filter_coins() -> None:
    feed = Feed()
    chosen, _ = feed.coin(1), feed.coin(2)
    listed = at_work("listed", coin_filter="whitelist", whitelist=[chosen])
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO ref_coin_phases VALUES (2, 'two', 30, 10, 60) ON CONFLICT DO NOTHING")
    elsewhere = at_work("elsewhere", phases=[2])
    feed.run_to(30)
    run(Scorer())
    assert set(Prediction.objects.filter(active_model_id=listed.pk).values_list("mint", flat=True)) == {chosen}
    assert not Prediction.objects.filter(active_model_id=elsewhere.pk).exists()


def test_a_model_scores_only_such_rows_as_it_was_trained_on() -> None:
    feed = Feed()
    quiet, busy = feed.coin(1), feed.coin(2)
    filters = {"min_trades": {"min_trades": 1_000_000}, "mints": {"mints": [busy]}, "open": {}}
    for name, chosen in filters.items():
        model = at_work(name).model
        model.recipe["data"] = chosen
        model.save(update_fields=["recipe"])
    feed.run_to(30)
    run(Scorer())
    scored = {
        name: set(Prediction.objects.filter(active_model_id__in=places(name)).values_list("mint", flat=True))
        for name in filters
    }
    assert scored == {"min_trades": set(), "mints": {busy}, "open": {quiet, busy}}


def places(name: str) -> list[int]:
    return list(ActiveModel.objects.filter(custom_name=name).values_list("pk", flat=True))


def test_a_changed_model_is_followed_without_a_restart() -> None:
    feed = Feed()
    feed.coin(1)
    active = at_work(threshold=1.0)
    scorer = Scorer()
    feed.run_to(10)
    run(scorer)
    assert AlertEvaluation.objects.count() == 0
    active.threshold = 0.0
    active.save()
    feed.run_to(20)
    run(scorer)
    assert AlertEvaluation.objects.count() > 0
    active.is_active = False
    active.save()
    before = Prediction.objects.count()
    feed.run_to(30)
    run(scorer)
    assert Prediction.objects.count() == before
    assert ScorerState.objects.get().last_row_id > 0


def test_a_change_of_settings_asks_neither_for_artifacts_nor_for_what_is_known() -> None:
    feed = Feed()
    feed.coin(1)
    one, other = at_work("one", ignore_alert_seconds=60), at_work("other")
    feed.run_to(60)
    scorer = Scorer()
    scorer.refresh()
    scorer.step()

    def asked(**fields: Any) -> tuple[bool, bool]:
        services.model_configure(active=one, fields=fields)
        with CaptureQueriesContext(connection) as queries:
            scorer.refresh()
        said = [query["sql"] for query in queries]
        return any('"artifact"' in sql for sql in said), any("FROM predictions" in sql for sql in said)

    assert asked(threshold=0.7, ignore_alert_seconds=30) == (False, False)
    assert asked(ignore_alert_seconds=90) == (False, True), "more is remembered than before"
    services.model_deactivate(active=other)
    assert asked(threshold=0.6) == (False, False)
    services.model_activate(active=other)
    assert asked(threshold=0.5) == (True, True), "one that comes"


def test_rows_that_come_out_of_order_are_scored_on_the_history_of_their_time() -> None:
    feed = Feed()
    mint = feed.coin(1)
    at_work()
    scorer = Scorer()
    held_back = next(row for row in feed.rows if row[1] >= feed.rows[3][1])
    feed.rows.remove(held_back)
    feed.run_to(60)
    run(scorer)
    with transaction.atomic(), connection.cursor() as cursor:
        write_rows(cursor, [held_back])
    assert run(scorer) == 1
    assert Prediction.objects.filter(mint=mint).count() == metric_count()


def test_webhooks_are_written_with_the_alerts_they_tell_of(settings) -> None:
    settings.N8N_SERVER_WEBHOOK_URL = "http://127.0.0.1:9/hook"
    feed = Feed()
    feed.coin(1)
    at_work("quiet", threshold=0.0)
    told = at_work("told", threshold=0.0, webhook_enabled=True)
    everything = at_work("everything", threshold=1.0, webhook_enabled=True, send_mode="all")
    feed.run_to(5)
    run(Scorer())
    alerts = WebhookMessage.objects.filter(active_model_id=told.pk)
    assert [one.kind for one in alerts] == ["alerts"] * AlertEvaluation.objects.filter(active_model_id=told.pk).count()
    body = json.loads(alerts[0].body)
    assert (body["type"], body["model"], body["data"]["mint"]) == ("alert", "told", mint_of(1))
    batch = WebhookMessage.objects.get(active_model_id=everything.pk)
    assert batch.kind == "predictions" and len(json.loads(batch.body)["data"]) == Prediction.objects.count() / 3
    assert set(WebhookMessage.objects.values_list("active_model_id", flat=True)) == {told.pk, everything.pk}


def test_a_model_whose_artifact_was_changed_is_left_out_and_the_others_score() -> None:
    feed = Feed()
    feed.coin(1)
    good, bad = at_work("good"), at_work("bad", seed=2)
    bad.model.artifact = bytes(bad.model.artifact) + b"x"
    bad.model.save()
    feed.run_to(10)
    run(Scorer())
    assert set(Prediction.objects.values_list("active_model_id", flat=True)) == {good.pk}


def test_a_second_scorer_cannot_write_what_the_first_has_written() -> None:
    Feed()
    batch = scorer_queries.Batch(5, 9)
    with pytest.raises(scorer_queries.CursorMovedError):
        scorer_queries.batch_write(batch)
    assert ScorerState.objects.get().last_row_id == 0


def test_a_window_that_comes_again_is_not_scored_twice() -> None:
    feed = Feed()
    feed.coin(1)
    at_work(threshold=0.0)
    scorer = Scorer()
    feed.run_to(10)
    run(scorer)
    before = list(Prediction.objects.values()), list(AlertEvaluation.objects.values())
    ScorerState.objects.update(last_row_id=0)
    assert run(Scorer()) == metric_count()
    assert (list(Prediction.objects.values()), list(AlertEvaluation.objects.values())) == before


def test_odd_mints_are_written_as_they_are() -> None:
    assert scorer_queries.copy_text("a\tb\\c\nd", None, 1.5) == "a\\tb\\\\c\\nd\t\\N\t1.5"
