"""The webhooks of predictions: who is told of what a model says, and what is sent.

A model at work names an endpoint of its own and what it is told there (`send_mode`); other endpoints may be told of all
models, or of some. The scorer and the judge write the messages in the transaction of what they tell (`core.outbox`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from apps.core import outbox
from apps.core.models import WebhookEndpoint, WebhookKind
from apps.core.outbox import Message, body_text
from apps.core.webhook_urls import url_check
from apps.core.webhooks import endpoint_at, endpoint_of_setting
from apps.predictions.models import ActiveModel, AlertEvaluation

__all__ = ["Hook", "alert_messages", "hooks_read", "outcomes_tell", "predictions_messages", "url_check", "url_of"]

MOST_IN_ONE = 100


@dataclass(frozen=True, slots=True)
class Hook:
    """An endpoint of a model: whether it is told of each alert, and of the scores that the send mode lets through."""

    endpoint_id: int
    alerts: bool
    scores: bool


def url_of(active: ActiveModel) -> str:
    """Where a model at work sends what it says; empty where it sends nothing by itself."""
    return (active.webhook_url or settings.N8N_SERVER_WEBHOOK_URL) if active.webhook_enabled else ""


def endpoint_own(active: ActiveModel) -> WebhookEndpoint | None:
    """The endpoint of a model's own webhook, made where it is named for the first time."""
    if not active.webhook_enabled:
        return None
    return endpoint_at(active.webhook_url) if active.webhook_url else endpoint_of_setting("N8N_SERVER_WEBHOOK_URL")


def hooks_read(actives: Iterable[ActiveModel]) -> dict[int, list[Hook]]:
    """The hooks of models at work, by id; a shadow has none."""
    told = WebhookEndpoint.objects.filter(enabled=True).order_by("id").values_list("id", "kinds", "model_ids")
    subscribed = [(pk, set(kinds), models) for pk, kinds, models in told]
    return {one.pk: [] if one.shadow_of_id else _hooks(one, subscribed) for one in actives}


def _hooks(active: ActiveModel, subscribed: Sequence[tuple[int, set[str], list[int]]]) -> list[Hook]:
    wanted: dict[int, tuple[bool, bool]] = {}
    for pk, kinds, models in subscribed:
        if not models or active.pk in models:
            wanted[pk] = WebhookKind.ALERTS in kinds, WebhookKind.PREDICTIONS in kinds
    if (own := endpoint_own(active)) is not None:
        alerts, scores = wanted.get(own.pk, (False, False))
        only_alerts = active.send_mode == ActiveModel.SendMode.ALERTS
        wanted[own.pk] = alerts or only_alerts, scores or not only_alerts
    return [Hook(pk, alerts, scores) for pk, (alerts, scores) in sorted(wanted.items()) if alerts or scores]


def alert_messages(
    hooks: Sequence[Hook], active_model_id: int, name: str, at: datetime, alerts: Sequence[dict[str, Any]]
) -> list[Message]:
    """A message for each alert and endpoint that is told of alerts."""
    to = [hook.endpoint_id for hook in hooks if hook.alerts]
    bodies = [body_text("alert", at, alert, model=name) for alert in alerts] if to else []
    return [Message(pk, WebhookKind.ALERTS, body, active_model_id) for body in bodies for pk in to]


def predictions_messages(
    hooks: Sequence[Hook], active_model_id: int, name: str, at: datetime, scores: Sequence[dict[str, Any]]
) -> list[Message]:
    """The scores of a step for each endpoint that is told of scores, at most 100 in a message."""
    to = [hook.endpoint_id for hook in hooks if hook.scores]
    parts = [scores[first : first + MOST_IN_ONE] for first in range(0, len(scores), MOST_IN_ONE)] if to else []
    bodies = [body_text("predictions", at, part, model=name, count=len(part)) for part in parts]
    return [Message(pk, WebhookKind.PREDICTIONS, body, active_model_id) for body in bodies for pk in to]


OUTCOME_FIELDS = (
    "alert_id", "mint", "as_of", "fired_at", "horizon_at", "probability", "price_sol", "status", "reason", "judged_at",
    "judged_price_sol", "change_pct", "highest_pct", "lowest_pct",
)  # fmt: skip


def outcomes_tell(alert_ids: Sequence[int], *, at: datetime) -> None:
    """Tell what became of alerts, in the caller's transaction: messages of at most 100 alerts of one model."""
    wanted = WebhookEndpoint.objects.filter(enabled=True, kinds__contains=[WebhookKind.OUTCOMES])
    if not alert_ids or not wanted.exists():
        return
    names = dict(ActiveModel.objects.values_list("id", "custom_name"))
    rows = AlertEvaluation.objects.filter(alert_id__in=alert_ids).order_by("active_model_id", "alert_id")
    by_model: dict[int, list[dict[str, Any]]] = {}
    for row in rows.values("active_model_id", *OUTCOME_FIELDS):
        by_model.setdefault(row.pop("active_model_id"), []).append(row)
    for model_id, told in by_model.items():
        to = outbox.subscribers(WebhookKind.OUTCOMES, model_id)
        parts = [told[first : first + MOST_IN_ONE] for first in range(0, len(told), MOST_IN_ONE)] if to else []
        for part in parts:
            body = body_text("outcomes", at, part, model=names.get(model_id, ""), count=len(part))
            outbox.messages_write([Message(pk, WebhookKind.OUTCOMES, body, model_id) for pk in to])
