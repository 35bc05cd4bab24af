"""What the pages say of the feed: the badge of the header, what is wrong and what to do, and the page of its health."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.discovery.models import StreamGap, StreamState
from apps.discovery.receiver import NO_DISK, OLDER

SILENT_AFTER = timedelta(seconds=30)
REASONS = {  # of `client.reason_of`, and `stream.NO_TRADES`
    "its name cannot be resolved": gettext_lazy("its name cannot be resolved"),
    "nothing listens there": gettext_lazy("nothing listens there"),
    "it does not answer": gettext_lazy("it does not answer"),
    "no trusted TLS connection": gettext_lazy("no trusted TLS connection"),
    "connection lost": gettext_lazy("connection lost"),
    OLDER: gettext_lazy("the recording is older than what is stored"),
    "the feed sends no trades without a funded API key": gettext_lazy(
        "the feed sends no trades without a funded API key"
    ),
}


def feed_badge(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the state of the feed for the header of every page, read only where it is shown."""
    return {"feed_badge": SimpleLazyObject(badge)}


def badge() -> dict[str, str]:
    """`{"tone", "text", "title", "trouble"}` of the feed."""
    state = StreamState.objects.filter(pk=1).first()
    mode = {"simulator": _("Simulated"), "replay": _("Replay")}.get(state.mode if state else "", _("Live"))
    trouble = feed_trouble(state)
    if state is None or _is_silent(state):
        tone, text = "bad", _("Feed stopped")
    elif state.detail.startswith(NO_DISK):
        tone, text = "bad", _("%(mode)s: disk full") % {"mode": mode}
    elif not state.connected:
        tone, text = "bad", _("%(mode)s: no connection") % {"mode": mode}
    elif trouble and state.state == "creates_only":
        tone, text = "wait", _("%(mode)s: new coins only") % {"mode": mode}
    else:
        tone, text = "wait" if trouble else "info" if state.mode != "live" else "good", mode
    return {"tone": tone, "text": text, "title": trouble or (state.detail if state else ""), "trouble": trouble}


def _is_silent(state: StreamState) -> bool:
    return state.updated_at is None or timezone.now() - state.updated_at > SILENT_AFTER


def feed_trouble(state: StreamState | None) -> str:
    """What keeps the feed from bringing all it could, and what to do about it; empty when nothing does."""
    if state is None or _is_silent(state):
        return _("The stream process has not written for 30 s.")
    if state.detail.startswith(NO_DISK):
        return _(
            "The disk does not take the journal (%(reason)s). What the feed sends waits in memory; when that is full, "
            "it is lost, and a gap will say so. Make room on the disk of JOURNAL_DIR, or keep less of the journal "
            "(JOURNAL_KEEP_GB). It goes on by itself."
        ) % {"reason": state.detail.removeprefix(f"{NO_DISK}: ")}
    if not state.connected:
        return disconnected_text(state)
    if state.mode == "replay" and state.detail == OLDER:
        return _(
            "The replayed recording is older than what is stored already, so its times cannot be kept and its windows "
            "are worthless. Replay it into a database of its own, for instance in a second clone."
        )
    return creates_only_text() if state.state == "creates_only" else ""


def disconnected_text(state: StreamState) -> str:
    """Why there is no connection, as far as it is known, and what to do."""
    if state.mode == "simulator":
        return _("The built-in simulator does not answer. It is tried again by itself.")
    address = settings.WS_URI.split("?")[0]
    if state.mode == "replay":
        return _("The replay is over. Another one may be served at %(address)s.") % {"address": address}
    reason = REASONS.get(state.detail, state.detail)
    return _(
        "No connection to %(address)s%(reason)s. It is tried again by itself, at least once a minute; nothing is to be "
        "restarted. If it lasts: check this machine's internet connection, and WS_URI in .env."
    ) % {"address": address, "reason": f" ({reason})" if reason else ""}


def creates_only_text() -> str:
    """Why there are no trades, and how to get them."""
    return _(
        "Without an API key PumpPortal sends only new coins and graduations, no trades. "
        "Fund the wallet of a PumpPortal API key with at least 0.02 SOL, put the key into .env as "
        "PUMPPORTAL_API_KEY and restart. "
        "10,000 trades cost 0.01 SOL."
    )


def feed_facts() -> dict[str, Any]:
    """Cursor, lag, frames and oddities of the stream, for the settings page."""
    state = StreamState.objects.filter(pk=1).first() or StreamState()
    lag = (timezone.now() - state.feed_at).total_seconds() if state.feed_at else None
    return {
        "badge": badge(),
        "address": _("built-in simulator") if state.mode == "simulator" else settings.WS_URI.split("?")[0],
        "state": state.state,
        "detail": REASONS.get(state.detail, state.detail),
        "trouble": feed_trouble(state),
        "feed_at": display.moment(state.feed_at),
        "lag": display.seconds(lag) if state.mode != "replay" else display.NONE,
        "frames": f"{state.frames_total:,}",
        "cursor": f"{state.segment or display.NONE} : {state.offset:,}",
        "next_seq": f"{state.next_seq:,}",
        "oddities": sorted(((kind, f"{count:,}") for kind, count in state.oddities.items()), key=lambda pair: pair[0]),
        "gaps": [gap_row(gap) for gap in StreamGap.objects.all()[:20]],
    }


def gap_row(gap: StreamGap) -> dict[str, str]:
    return {
        "from": display.moment(gap.started_at),
        "to": display.moment(gap.ended_at),
        "length": display.seconds((gap.ended_at - gap.started_at).total_seconds()),
        "reason": gap.reason,
    }
