"""Models at work as the admin changes them."""

from typing import Any

import pytest
from django.test import Client

from apps.predictions.models import ActiveModel
from apps.predictions.tests.matches import Match, plain_model
from apps.predictions.tests.matches import match as match

pytestmark = pytest.mark.django_db

FORM: dict[str, Any] = {
    "custom_name": "place", "is_active": "on", "threshold": "0.4", "phases": "[1]", "coin_filter": "all",
    "whitelist": "[]", "ignore_bad_seconds": 7, "ignore_positive_seconds": 9, "ignore_alert_seconds": 0,
    "min_scan_interval_seconds": 0, "max_log_entries": "{}", "send_mode": "alerts_only", "webhook_url": "",
}  # fmt: skip
ADMIN = "/admin/predictions/activemodel/"


def test_a_shadow_follows_what_the_admin_changes_and_the_model_stays(admin_client: Client, match: Match) -> None:
    sent = {**FORM, "phases": "", "model": match.shadow.model_id}
    assert admin_client.post(f"{ADMIN}{match.place.pk}/change/", sent).status_code == 302
    place, shadow = ActiveModel.objects.order_by("id")
    assert (place.threshold, place.phases, place.model_id) == (0.4, [], match.place.model_id)
    assert (shadow.threshold, shadow.phases, shadow.ignore_positive_seconds) == (0.7, [], 9)


@pytest.mark.parametrize(
    ("field", "text"),
    [("phases", "5"), ("phases", '["a"]'), ("whitelist", "7"), ("max_log_entries", "4"), ("threshold", ""),
     ("threshold", "nan")],
)  # fmt: skip
def test_values_of_another_kind_are_refused_at_their_field(admin_client: Client, field: str, text: str) -> None:
    model = plain_model("other")
    answer = admin_client.post(f"{ADMIN}add/", {**FORM, "model": model.pk, field: text})
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field]
    assert not ActiveModel.objects.exists()


def test_the_admin_puts_a_model_to_work(admin_client: Client) -> None:
    model = plain_model("other")
    assert admin_client.post(f"{ADMIN}add/", {**FORM, "model": model.pk}).status_code == 302
    assert ActiveModel.objects.values_list("model_id", "threshold", "phases").get() == (model.pk, 0.4, [1])
