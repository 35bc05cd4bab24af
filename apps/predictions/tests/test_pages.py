"""The prediction pages, empty and full, in both languages, and what their forms do."""

from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.html import escape
from pytest_django.plugin import DjangoDbBlocker

from apps.predictions import pages_alerts, services, urls, wording
from apps.predictions.models import ActiveModel, AlertEvaluation, Prediction
from apps.predictions.scorer import Scorer
from apps.predictions.tests.feed import Feed, at_work, mint_of, trained
from apps.training import containers
from apps.training.models import Model
from apps.training.queries import to_us
from tests import emptying

NAMES = ("overview", "alerts", "log", "statistics", "import")
MOST_QUERIES = 25


@pytest.fixture
def page(client, db):
    """Opens a page as a signed-in user: `page("overview")`, `page("model", 3)`."""
    client.force_login(get_user_model().objects.create_user("person", is_staff=True))
    return lambda name, *args, **options: client.get(reverse(f"predictions:{name}", args=args), **options)


@pytest.fixture
def send(page, client):
    """Posts a form."""
    return lambda address, *args, **fields: client.post(reverse(f"predictions:{address}", args=args), fields)


@pytest.fixture(scope="module")
def scored_once(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ActiveModel]:
    """A model at work that has scored and alerted for ten minutes, and whose alerts were judged. It is there from the
    first test that asks for it to the last: those that want an empty database stand before."""
    with django_db_blocker.unblock():
        active = _scored()
    yield active
    with django_db_blocker.unblock():
        emptying.restore()


@pytest.fixture
def scored(scored_once: ActiveModel, db: None) -> ActiveModel:
    """The same; what a test changes is undone by its own transaction."""
    return ActiveModel.objects.get(pk=scored_once.pk)


def _scored() -> ActiveModel:
    feed = Feed()
    for number in range(6):
        feed.coin(number, born=number * 7)
    active, _second = at_work("model", threshold=0.55), at_work("other", threshold=0.99, seed=2)
    scorer = Scorer()
    scorer.refresh()
    for seconds in range(60, 661, 30):
        feed.run_to(seconds)
        while scorer.step() or scorer.explain():
            pass
    assert services.outcomes_judge().predictions > 0
    return active


def work_fields(**fields):
    """What the forms send."""
    return {
        "custom_name": "mine", "threshold": "0.7", "coin_filter": "all", "whitelist": "", "ignore_bad_seconds": "0",
        "ignore_positive_seconds": "0", "ignore_alert_seconds": "30", "min_scan_interval_seconds": "0",
        "webhook_url": "", "send_mode": "alerts_only", **fields,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_page_answers_in_both_languages(page, name):
    assert page(name).status_code == 200
    assert page(name, headers={"accept-language": "de"}).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_a_page_needs_a_login(client, db, name):
    response = client.get(reverse(f"predictions:{name}"))
    assert response.status_code == 302 and "/accounts/login/" in response.url


def test_a_model_is_put_to_work_with_its_own_threshold(send, page, db):
    Feed()
    model = trained("fresh", threshold=0.61)
    assert "0.6100" in page("import", data={"model": model.pk}).content.decode()
    send("import", **work_fields(model=model.pk, custom_name="", threshold="", phases=["1"]))
    active = ActiveModel.objects.get()
    assert (active.custom_name, active.threshold, active.phases) == ("fresh", 0.61, [1])
    assert active.is_active and active.ignore_alert_seconds == 30
    taken = send("import", **work_fields(model=model.pk, custom_name="fresh")).content.decode()
    assert "choose another name" in taken and ActiveModel.objects.count() == 1


def test_settings_of_a_model_are_changed(send, db):
    Feed()
    active = at_work("model")
    fields = work_fields(phases=["1"], coin_filter="whitelist", whitelist=f"{mint_of(1)}\n{mint_of(2)} {mint_of(1)}")
    assert send("model", active.pk, **fields, log_positive="", log_alert="3").status_code == 302
    active.refresh_from_db()
    assert (active.custom_name, active.threshold) == ("mine", 0.7)
    assert active.max_log_entries == {"negative": 0, "positive": 0, "alert": 3}
    assert active.whitelist == [mint_of(1), mint_of(2)]
    refused = send("model", active.pk, **work_fields(webhook_enabled="on", webhook_url="http://127.0.0.1:9/x"))
    assert "refused" in refused.content.decode()
    active.refresh_from_db()
    assert active.threshold == 0.7 and not active.webhook_enabled


def test_a_model_whose_phase_is_gone_does_not_turn_to_all_phases(send, page, db):
    Feed()
    active = at_work("model", phases=[1])
    ActiveModel.objects.update(phases=[77])
    assert "No. 77, which is gone" in page("model", active.pk).content.decode()
    assert send("model", active.pk, **work_fields(phases=["77"])).status_code == 302
    active.refresh_from_db()
    assert (active.phases, active.threshold) == ([77], 0.7)


def test_a_model_is_switched_off_and_deleted(send, page, db):
    Feed()
    active = at_work("model")
    send("model_delete", active.pk)
    assert ActiveModel.objects.filter(pk=active.pk).exists()
    send("model_switch", active.pk)
    active.refresh_from_db()
    assert not active.is_active
    send("model_switch", active.pk)
    active.refresh_from_db()
    assert active.is_active
    send("model_switch", active.pk)
    send("model_delete", active.pk)
    assert page("model", active.pk).status_code == 404


def test_a_missing_scorer_is_said(page, db):
    Feed()
    assert b"scorer is not running" not in page("overview").content
    at_work("model")
    assert b"scorer is not running" in page("overview").content


def test_a_model_file_is_stored_and_a_foreign_one_refused_with_the_reason(send, db):
    model = trained("carried")
    data = containers.pack(model)
    taken = send("import_file", file=SimpleUploadedFile("model.zip", data), name="")
    assert taken.status_code == 200 and Model.objects.count() == 1
    stored = send("import_file", file=SimpleUploadedFile("model.zip", data), name="second")
    copy = Model.objects.get(name="second")
    assert stored.url == f"{reverse('predictions:import')}?model={copy.pk}#work"
    refused = send("import_file", file=SimpleUploadedFile("model.zip", b"no zip"), name="")
    assert "not a model file" in refused.content.decode()
    assert Model.objects.count() == 2


def test_full_pages_answer_with_few_queries(page, scored, django_assert_max_num_queries):
    for address in [*((name,) for name in NAMES), ("model", scored.pk)]:
        with django_assert_max_num_queries(MOST_QUERIES):
            assert page(*address).status_code == 200
        assert page(*address, headers={"accept-language": "de"}).status_code == 200


def test_a_card_counts_scores_alerts_and_what_came_true(page, scored):
    text = page("overview").content.decode()
    alerts = AlertEvaluation.objects.filter(active_model_id=scored.pk)
    won, lost = alerts.filter(status="success").count(), alerts.filter(status="failed").count()
    assert f">{Prediction.objects.filter(active_model_id=scored.pk).count():,}</strong>" in text
    assert won + lost > 0 and f"{won:,} of {won + lost:,} judged" in text


def test_alerts_are_chosen_by_status_model_and_coin(page, scored):
    lost = AlertEvaluation.objects.filter(status="failed").first()
    text = page("alerts", data={"status": "failed", "model": scored.pk, "mint": lost.mint}).content.decode()
    assert lost.mint in text and "came true</span>" not in text
    assert "No alert here." in page("alerts", data={"mint": mint_of(99)}).content.decode()


def test_the_log_shows_tags_and_outcomes(page, scored):
    text = page("log", data={"tag": "alert"}).content.decode()
    assert 'class="pill good">alert<' in text and ">negative<" not in text.partition("<tbody>")[2]
    newest = page("log", data={"mint": mint_of(1)}).content.decode()
    assert mint_of(1) in newest and mint_of(2) not in newest
    assert page("log", data={"page": "2", "model": "x", "tag": "y"}).status_code == 200


def test_the_log_is_a_fragment_for_htmx(page, scored):
    response = page("log", headers={"hx-request": "true"})
    assert response.content.lstrip().startswith(b'<div class="card" id="log"')


def test_statistics_put_success_beside_the_base_rate(page, scored):
    for hours in ("1", "24", "168", "7"):
        assert page("statistics", data={"hours": hours}).status_code == 200
    text = page("statistics").content.decode()
    assert "Base rate" in text and "model" in text


def test_the_page_of_an_alert_says_why_and_what_became_of_it(page, scored, django_assert_max_num_queries):
    alert = AlertEvaluation.objects.filter(active_model_id=scored.pk, status="success").latest("as_of")
    first = wording.reason_lines(alert.reasons)[0]
    address = pages_alerts.alert_address(alert)
    assert address in page("alerts").content.decode()
    us = to_us(alert.as_of)
    with django_assert_max_num_queries(MOST_QUERIES):
        text = page("alert", scored.pk, alert.mint, us).content.decode()
    assert escape(first["title"]) in text and first["effect"] in text and "came true" in text
    assert page("alert", scored.pk, alert.mint, us + 1).status_code == 404
    assert page("alert", scored.pk, alert.mint, 10**30).status_code == 404
    assert escape(first["title"]) in page("coin", alert.mint).content.decode()


@pytest.mark.parametrize(
    ("path", "status"),
    [("coins/%00/", 404), ("coins/a%00b/marks/", 404), ("alerts/1/a%00b/1/", 404), ("log/?mint=a%00b", 200),
     ("alerts/?mint=%00", 200), (f"alerts/1/a/{10**25}/", 404)],
)  # fmt: skip
def test_what_no_table_can_hold_is_not_found(client, page, db, path, status):
    assert client.get(f"/predictions/{path}").status_code == status


def test_only_staff_changes_anything(client, db):
    client.force_login(get_user_model().objects.create_user("reader"))
    found = {}
    for pattern in urls.urlpatterns:
        values = {name: 1 for name in pattern.pattern.converters}
        found[pattern.name] = client.post(reverse(f"predictions:{pattern.name}", kwargs=values)).status_code
    assert set(found.values()) == {403, 405}
    assert [found[name] for name in ("model_switch", "promote", "import", "webhook_secret")] == [403] * 4
