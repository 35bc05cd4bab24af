"""What the pages of webhooks show."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.core.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from apps.core.outbound import endpoint_of
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.predictions.endpoints import models_of
from apps.predictions.webhook_forms import KINDS

Title = str | Promise
OFF: dict[str, Title] = {
    WebhookEndpoint.Off.GONE: gettext_lazy("It answered 410: it wants no more messages."),
    WebhookEndpoint.Off.FAILING: gettext_lazy("It failed for days."),
    WebhookEndpoint.Off.PERSON: gettext_lazy("Switched off by hand."),
    WebhookEndpoint.Off.SETTING: gettext_lazy("The setting that names it is empty."),
}
STATUS: dict[str, tuple[str, Title]] = {
    WebhookMessage.Status.PENDING: ("wait", gettext_lazy("waiting")),
    WebhookMessage.Status.SENT: ("good", gettext_lazy("delivered")),
    WebhookMessage.Status.FAILED: ("bad", gettext_lazy("given up")),
}
BODY_SHOWN = 20_000


def endpoints_table() -> Table:
    """Every endpoint with its state."""
    waiting = Count("messages", filter=Q(messages__status=WebhookMessage.Status.PENDING))
    rows = [_endpoint_row(one) for one in WebhookEndpoint.objects.annotate(waiting=waiting).order_by("id")]
    columns = [
        Column(_("Name")), Column(_("State")), Column(_("Is told of"), WIDE), Column(_("Waiting"), NUMBER),
        Column(_("Last delivered"), WIDE_NUMBER),
    ]  # fmt: skip
    hint = _("Add one, or let a model at work send to its own address.")
    return Table(columns, rows, empty=_("No endpoint yet."), hint=hint, icon="bell")


def _endpoint_row(endpoint: Any) -> Row:
    told = [str(KINDS[kind]) for kind in KINDS if kind in endpoint.kinds]
    told += [active.custom_name for active in models_of(endpoint)]
    return Row([
        Cell(endpoint.name, href=reverse("predictions:webhook", args=[endpoint.pk]), below=host_of(endpoint)),
        Cell(pills=[state_of(endpoint)]),
        Cell(", ".join(told) or _("nothing")),
        Cell(display.count(endpoint.waiting)),
        Cell(display.clock(endpoint.last_success_at)),
    ])  # fmt: skip


def host_of(endpoint: WebhookEndpoint) -> str:
    """Host and port: an address may hold a secret in its path."""
    target = endpoint_of(endpoint.url)
    return f"{target[0]}:{target[1]}" if target else ""


def state_of(endpoint: WebhookEndpoint) -> tuple[str, Title]:
    """A tone and a word or two."""
    if not endpoint.enabled:
        return ("" if endpoint.off_reason in ("person", "setting") else "bad"), _("off")
    if endpoint.failures:
        return "wait", _("fails")
    return ("good", _("well")) if endpoint.last_success_at else ("info", _("nothing sent yet"))


def lost() -> list[dict[str, Any]]:
    """Endpoints that nobody switched off: what the dashboard says of them."""
    reasons = (WebhookEndpoint.Off.GONE, WebhookEndpoint.Off.FAILING)
    rows = WebhookEndpoint.objects.filter(enabled=False, off_reason__in=reasons).order_by("-off_at", "id")[:3]
    return [{"id": one.pk, "name": one.name, "why": OFF[one.off_reason]} for one in rows]


def endpoint_facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """The head of an endpoint's page."""
    paused = endpoint.paused_until and endpoint.paused_until > timezone.now()
    return {
        "id": endpoint.pk,
        "name": endpoint.name,
        "url": endpoint.url,
        "setting": endpoint.setting,
        "on": endpoint.enabled,
        "state": state_of(endpoint),
        "off": OFF.get(endpoint.off_reason, ""),
        "off_at": display.moment(endpoint.off_at),
        "models": models_of(endpoint),
        "header": endpoint.header_name,
        "success": display.moment(endpoint.last_success_at),
        "failures": endpoint.failures,
        "failing_since": display.moment(endpoint.failing_since),
        "paused": display.clock(endpoint.paused_until) if paused else "",
        "error": endpoint.last_error,
        "old_secret": display.moment(endpoint.old_secret_until) if endpoint.old_secret_until else "",
        "failed": endpoint.messages.filter(status=WebhookMessage.Status.FAILED).exclude(kind="test").count(),
    }


def messages_page(request: HttpRequest, endpoint: WebhookEndpoint) -> tuple[Page, Table]:
    """The log of an endpoint, newest first, filtered by status."""
    rows = WebhookMessage.objects.filter(endpoint=endpoint).defer("body").order_by("-id")
    if (status := request.GET.get("status")) in STATUS:
        rows = rows.filter(status=status)
    page = page_of(request, rows)
    columns = [
        Column(_("Time")), Column(_("Kind")), Column(_("State")), Column(_("Answer")), Column(_("Attempts"), NUMBER),
        Column(_("Next attempt"), WIDE_NUMBER),
    ]  # fmt: skip
    empty, hint = _("No message here."), _("Send a test, or wait for something to be told.")
    return page, Table(columns, [_message_row(one) for one in page.items], empty=empty, hint=hint, icon="list")


def _message_row(message: WebhookMessage) -> Row:
    return Row([
        Cell(display.clock(message.created_at), href=reverse("predictions:webhook_message", args=[message.pk])),
        Cell(kind_title(message.kind)),
        Cell(pills=[STATUS[message.status]]),
        Cell(str(message.response_status or ""), note=message.error[:80]),
        Cell(display.count(message.attempts)),
        Cell(display.clock(message.next_attempt_at)),
    ])  # fmt: skip


def kind_title(kind: str) -> Title:
    """What a message tells of."""
    return _("Test") if kind == WebhookMessage.TEST else dict(KINDS).get(kind, kind)  # type: ignore[call-overload]


def message_facts(message: WebhookMessage) -> dict[str, Any]:
    """A message's page."""
    return {
        "id": message.pk,
        "endpoint": message.endpoint,
        "kind": kind_title(message.kind),
        "webhook_id": message.webhook_id,
        "status": STATUS[message.status],
        "created": display.moment(message.created_at),
        "sent": display.moment(message.sent_at),
        "next": display.moment(message.next_attempt_at),
        "error": message.error,
        "replayable": message.kind != WebhookMessage.TEST and message.endpoint.enabled,
        "body": json.dumps(json.loads(message.body), indent=2, ensure_ascii=False)[:BODY_SHOWN],
        "body_is_cut": len(message.body) > BODY_SHOWN,
        "tries": [attempt_facts(one) for one in message.tries.order_by("-number")],
    }


def attempt_facts(attempt: WebhookAttempt) -> dict[str, Any]:
    """One attempt and its answer."""
    arrived = attempt.response_status is not None and not attempt.error
    return {
        "number": attempt.number,
        "at": display.moment(attempt.at),
        "took": _("%(n)s ms") % {"n": display.number(attempt.duration_ms, 0)},
        "tone": "good" if arrived else "bad",
        "status": str(attempt.response_status) if attempt.response_status else _("no answer"),
        "error": attempt.error,
        "answer": attempt.answer,
    }
