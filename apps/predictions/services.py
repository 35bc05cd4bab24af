"""Putting models to work and changing their settings, judging outcomes, delivering webhooks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from psycopg.errors import UniqueViolation

from apps.core import live, outbox
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.models import WebhookEndpoint, WebhookKind, WebhookMessage
from apps.core.sentences import worded
from apps.core.webhooks import settings_follow
from apps.discovery.metrics import N8N_BATCHES
from apps.discovery.models import Phase
from apps.predictions import metrics, outcome_queries, queries, rules, webhooks
from apps.predictions.models import ActiveModel, ScorerState
from apps.predictions.outcomes import Target, target_of
from apps.training import queries as training_queries
from apps.training.models import Job, Model
from apps.training.recipes import Label

DEMO_PREFIX = "demo "
JUDGE_ROWS = 20_000
JUDGE_AGAIN = timedelta(minutes=15)
JUDGE_BACK = timedelta(days=2)
HOPELESS_AFTER = timedelta(minutes=10)
EXPIRE_AFTER = timedelta(days=1)
DELETED_BACK = JUDGE_BACK + EXPIRE_AFTER  # longer than the longest horizon
MOST_LISTED = 10_000
MOST_LOGGED = 10**9
# What a challenger in the shadow has in common with the model it challenges.
FOLLOWED = (
    "phases", "coin_filter", "whitelist", "ignore_bad_seconds", "ignore_positive_seconds", "ignore_alert_seconds",
    "min_scan_interval_seconds", "max_log_entries",
)  # fmt: skip


# --- Models at work ------------------------------------------------------------------------------------
def model_import(
    *, model: Model, custom_name: str = "", threshold: float | None = None, fields: Mapping[str, Any] | None = None
) -> ActiveModel:
    """Put a trained model to work; the threshold is the model's own unless given. Raises PlatformError."""
    name = custom_name.strip() or model.name
    active = ActiveModel(model=model, custom_name=name, threshold=model.threshold if threshold is None else threshold)
    return _change(active, {"custom_name": name, **(fields or {})})


def model_activate(*, active: ActiveModel) -> ActiveModel:
    """Let the scorer use the model again. Raises NotFoundError where the trained model was deleted."""
    return _change(active, {"is_active": True})


def model_deactivate(*, active: ActiveModel) -> ActiveModel:
    """Stop scoring with the model; what it has said is still judged."""
    return _change(active, {"is_active": False})


def model_rename(*, active: ActiveModel, custom_name: str) -> ActiveModel:
    """Give it another name. Raises NAME_MISSING, NAME_TAKEN."""
    return _change(active, {"custom_name": custom_name.strip()})


def model_configure(*, active: ActiveModel, fields: Mapping[str, Any]) -> ActiveModel:
    """Change settings (fields of ActiveModel). Raises PlatformError for values that cannot be."""
    return _change(active, fields)


def log_limits_change(*, active: ActiveModel, limits: Mapping[str, int]) -> ActiveModel:
    """Change some limits of the log, by tag; the others stay, also those that somebody changes meanwhile."""
    with transaction.atomic():
        _hold(active)
        return _change(active, {"max_log_entries": {**active.max_log_entries, **limits}})


def place_check(active: ActiveModel) -> None:
    """Raise PLACE_IS_SHADOW for a shadow: it follows the model it challenges and has no settings of its own."""
    if active.shadow_of_id:
        raise ConflictError(
            "PLACE_IS_SHADOW",
            worded(
                "This is the shadow of the model %(shadow_of_id)s at work: ask for that one.",
                shadow_of_id=active.shadow_of_id,
            ),
        )


def _change(active: ActiveModel, fields: Mapping[str, Any]) -> ActiveModel:
    if fields.get("webhook_url") and (not active.pk or fields["webhook_url"] != active.webhook_url):
        webhooks.url_check(fields["webhook_url"])  # asks for the host's addresses, which may take its time
    with transaction.atomic():
        _hold(active)
        place_check(active)
        changed = {name for name, value in fields.items() if not active.pk or getattr(active, name) != value}
        for name, value in fields.items():
            setattr(active, name, value)
        if active.is_active:
            _trained_hold(active)
        model_check(active=active, changed=changed if active.pk else None)
        _save(active, list(fields) if active.pk else None)  # its model may change meanwhile (champions)
        followed = {name: getattr(active, name) for name in FOLLOWED}
        ActiveModel.objects.filter(shadow_of=active).update(**followed)
        webhooks.endpoint_own(active)
        scorer_notify()
    return active


def _hold(active: ActiveModel) -> None:
    """Read its settings anew and keep others from changing it until the end of the transaction."""
    if active.pk is None:
        return
    rows = ActiveModel.objects.select_for_update(no_key=True)
    settings_of = [field.name for field in ActiveModel._meta.concrete_fields if field.name != "model"]
    try:
        active.refresh_from_db(fields=settings_of, from_queryset=rows)
    except ActiveModel.DoesNotExist:
        raise NotFoundError("ACTIVE_MODEL_NOT_FOUND", "This model was taken from work meanwhile.") from None


def _trained_hold(active: ActiveModel) -> None:
    """Keep others from deleting the trained model until the end of the transaction. Raises NotFoundError where it is
    deleted already."""
    held = ActiveModel.objects.filter(pk=active.pk).values_list("model_id", flat=True).first() if active.pk else None
    trained = Model.objects.filter(pk=held or active.model_id, is_deleted=False)
    if not trained.select_for_update(no_key=True).values_list("pk", flat=True):
        raise NotFoundError("MODEL_NOT_FOUND", "The trained model behind it was deleted: import another one.")


def _save(active: ActiveModel, fields: Sequence[str] | None) -> None:
    try:
        with transaction.atomic():
            active.save(update_fields=fields)
    except IntegrityError as error:
        raise (_name_taken(active) if isinstance(error.__cause__, UniqueViolation) else error) from None


def _name_taken(active: ActiveModel) -> ConflictError:
    return ConflictError(
        "NAME_TAKEN",
        worded("Another model at work is named %(custom_name)r: choose another name.", custom_name=active.custom_name),
    )


def scorer_notify() -> None:
    """Tell the scorer (with the commit) and the pages (after it)."""
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY active_models")
    transaction.on_commit(_tell_pages)


def _tell_pages() -> None:
    live.publish("predictions")
    live.publish("dashboard")


def model_check(*, active: ActiveModel, changed: Collection[str] | None = None) -> None:
    """Raise PlatformError where settings cannot be as they are; of those that lean on something else (a phase, a
    setting) only where they are among the `changed` ones: what was taken away under a model must not keep it from
    being stopped."""
    if not active.custom_name or len(active.custom_name) > 100:
        raise PlatformError("NAME_MISSING", "Give the model a name of 1 to 100 characters.")
    if ActiveModel.objects.filter(custom_name=active.custom_name).exclude(pk=active.pk).exists():
        raise _name_taken(active)
    if not 0 <= active.threshold <= 1:
        raise PlatformError("THRESHOLD_OUT_OF_RANGE", "The threshold is a probability between 0 and 1.")
    told = {"phases", "webhook_url", "webhook_enabled"} if changed is None else set(changed)
    if "phases" in told and (unknown := set(active.phases) - set(Phase.objects.values_list("id", flat=True))):
        raise PlatformError(
            "PHASE_UNKNOWN", worded("There is no phase %(unknown)s: see GET find/phases.", unknown=sorted(unknown)[0])
        )
    if len(active.whitelist) > MOST_LISTED:
        raise PlatformError(
            "WHITELIST_TOO_LONG",
            worded("A whitelist holds at most %(most_listed)s coins.", most_listed=f"{MOST_LISTED:,}"),
        )
    if unknown_tags := set(active.max_log_entries) - set(rules.TAGS):
        raise PlatformError(
            "TAG_UNKNOWN",
            worded(
                "%(unknown_tags)r is none of %(tags)s.",
                unknown_tags=sorted(unknown_tags)[0],
                tags=", ".join(rules.TAGS),
            ),
        )
    limits = active.max_log_entries.values()
    if not all(isinstance(limit, int) and 0 <= limit <= MOST_LOGGED for limit in limits):
        raise PlatformError(
            "LIMIT_OUT_OF_RANGE",
            worded("Keep between 0 (no limit) and %(most_logged)s scores of a tag.", most_logged=f"{MOST_LOGGED:,}"),
        )
    if told & {"webhook_url", "webhook_enabled"} and active.webhook_enabled and not webhooks.url_of(active):
        raise PlatformError("WEBHOOK_URL_MISSING", "Give the address to send to, or set N8N_SERVER_WEBHOOK_URL.")


def n8n_status(*, active: ActiveModel) -> dict[str, Any]:
    """Whether and how well the model's webhook works."""
    messages = WebhookMessage.objects.filter(active_model_id=active.pk)
    newest = messages.exclude(attempts=0).order_by("-id").first()
    counts = dict(messages.order_by().values_list("status").annotate(Count("id")))
    url = webhooks.url_of(active)
    endpoint = webhooks.endpoint_own(active)
    return {
        "enabled": active.webhook_enabled,
        "url": url or active.webhook_url,
        "send_mode": active.send_mode,
        "status": _webhook_state(url, newest, endpoint),
        "pending": counts.get(WebhookMessage.Status.PENDING, 0),
        "sent": counts.get(WebhookMessage.Status.SENT, 0),
        "failed": counts.get(WebhookMessage.Status.FAILED, 0),
        "last_sent_at": newest.sent_at if newest else None,
        "last_response_status": newest.response_status if newest else None,
        "last_error": newest.error if newest else "",
        "endpoint_id": endpoint.pk if endpoint else None,
    }


def _webhook_state(url: str, newest: WebhookMessage | None, endpoint: WebhookEndpoint | None) -> str:
    if not url:
        return "disabled"
    if endpoint is not None and not endpoint.enabled:
        return "switched_off"
    if newest is None:
        return "never_sent"
    return "ok" if newest.status == WebhookMessage.Status.SENT else "failing"


def demo_activate() -> ActiveModel | None:
    """Demo only: put the newest trained model to work in place of the one this put there before; one that was tested
    stays, and is challenged by newer ones (`demo.challenge`)."""
    place = demo_place() if settings.DEMO else None
    if not settings.DEMO or (place and is_tested(place.model)):
        return None
    trained = Job.objects.filter(job_type=Job.Type.TRAIN, status=Job.Status.COMPLETED, model__is_deleted=False)
    job = trained.select_related("model").order_by("-finished_at", "-id").first()
    if job is None or job.model is None or ActiveModel.objects.filter(model=job.model).exists():
        return None
    with transaction.atomic():
        for before in ActiveModel.objects.select_for_update().filter(
            custom_name__startswith=DEMO_PREFIX, is_active=True, shadow_of=None
        ):
            model_deactivate(active=before)
        return model_import(model=job.model, custom_name=(DEMO_PREFIX + job.model.name)[:100])


def demo_place() -> ActiveModel | None:
    """The place at work that the demo made."""
    mine = ActiveModel.objects.filter(custom_name__startswith=DEMO_PREFIX, is_active=True, shadow_of=None)
    return mine.select_related("model").defer("model__artifact").order_by("-id").first()


def is_tested(model: Model) -> bool:
    """Whether a test part says what the model promises."""
    return bool(model.scores.get("test"))


# --- Outcomes ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Judged:
    """What one run of the judge did; `complete` where nothing that is due is left."""

    predictions: int = 0
    alerts: int = 0
    complete: bool = True


def outcomes_judge(*, limit: int = JUDGE_ROWS) -> Judged:
    """Judge predictions whose horizon has passed in feed time, newest first, at most `limit` a run."""
    now, until = queries.feed_time(), outcome_queries.settled_to()
    if now is None or until is None:
        return Judged()
    with outcome_queries.judge_alone() as alone:
        if not alone:
            return Judged(complete=False)
        looked_at, judged, verdicts, alert_ids = _judge(now, until, limit)
        if looked_at < limit:
            ScorerState.objects.filter(pk=1).update(judged_to=until)
        expired = outcome_queries.alerts_expire(before=now - EXPIRE_AFTER, now=now)
        verdicts += ["expired"] * len(expired)
        webhooks.outcomes_tell([*alert_ids, *(one for one in expired if one is not None)], at=now)
    for verdict in verdicts:
        metrics.ALERTS.labels(verdict).inc()
    metrics.ALERTS_EVALUATED.inc(len(verdicts))
    if judged:
        _tell_pages()
    return Judged(judged, len(verdicts), looked_at < limit)


def _judge(now: datetime, until: datetime, limit: int) -> tuple[int, int, list[str], list[int]]:
    targets = model_targets(now)
    if not targets:
        return 0, 0, [], []
    judged_to = ScorerState.objects.filter(pk=1).values_list("judged_to", flat=True).first()
    after = min(judged_to or until - JUDGE_BACK, until) - JUDGE_AGAIN
    since = after - max(target.settles for target in targets)
    return outcome_queries.predictions_judge(
        targets=targets,
        gaps=_gaps(since, now),
        since=since,
        judged_to=after,
        until=until,
        hopeless=until - HOPELESS_AFTER,
        now=now,
        limit=limit,
    )


def model_targets(now: datetime) -> list[Target]:
    """What each model at work is measured by, also a stopped one, and a deleted one while an outcome of it may come."""
    found = dict(ActiveModel.objects.values_list("id", "model__recipe"))
    found |= dict(queries.recipes_of_deleted(now - DELETED_BACK))
    return [target_of(pk, Label.model_validate(found[pk]["label"]).rule()) for pk in sorted(found)]


def _gaps(since: datetime, now: datetime) -> tuple[list[datetime], list[datetime]]:
    """Times without data, as the labels know them."""
    margin = timedelta(seconds=2 * training_queries.SILENCE_SECONDS)
    starts, ends = training_queries.unknown_times(since - margin, now)
    return ([training_queries.to_datetime(us) for us in starts], [training_queries.to_datetime(us) for us in ends])


def webhooks_deliver(*, seconds: float = 20.0) -> int:
    """Send what is due, for at most about so long; how many attempts were made."""
    settings_follow()
    settled = outbox.deliver(seconds=seconds)
    sent = [one.kind for one in settled if one.status == WebhookMessage.Status.SENT]
    N8N_BATCHES.inc(sent.count(WebhookKind.COINS))
    return len(settled)
