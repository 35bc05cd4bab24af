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
from apps.discovery.models import StreamState
from apps.discovery.pumpportal.client import LOST, SILENT, banned_until
from apps.discovery.receiver import BEHIND, FOREIGN, NO_DISK, OLDER
from apps.discovery.state import NO_TRADES

SILENT_AFTER = timedelta(seconds=30)
FEWEST_CHECKED = 50  # below so many checks of an hour their share says nothing
STATES = {
    "starting": gettext_lazy("starting"),
    "running": gettext_lazy("running"),
    "creates_only": gettext_lazy("new coins only"),
}
REASONS = {  # of `client.reason_of`, and `state.NO_TRADES`
    "its name cannot be resolved": gettext_lazy("its name cannot be resolved"),
    "nothing listens there": gettext_lazy("nothing listens there"),
    "it does not answer": gettext_lazy("it does not answer"),
    "no trusted TLS connection": gettext_lazy("no trusted TLS connection"),
    LOST: gettext_lazy("connection lost"),
    "the feed broke the protocol": gettext_lazy("the feed broke the protocol"),
    "a frame was no text": gettext_lazy("a frame was no text"),
    "a frame was too large": gettext_lazy("a frame was too large"),
    SILENT: gettext_lazy("nothing came any more"),
    OLDER: gettext_lazy("the recording is older than what is stored"),
    BEHIND: gettext_lazy("the clock is behind what is stored"),
    NO_TRADES: gettext_lazy("the feed sends no trades without a funded API key"),
}


def feed_badge(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the state of the feed for the header of every page, read only where it is shown."""
    return {"feed_badge": SimpleLazyObject(badge)}


def badge() -> dict[str, str]:
    """`{"tone", "text", "title", "trouble"}` of the feed."""
    state = StreamState.objects.filter(pk=1).first()
    mode = {"simulator": _("Simulated"), "replay": _("Replay")}.get(state.mode if state else "", _("Live"))
    trouble = feed_trouble(state) or "".join(feed_warnings(state)[:1] if state else [])
    if state is None or _is_silent(state):
        tone, text = "bad", _("Feed stopped")
    elif state.detail.startswith(NO_DISK):
        tone, text = "bad", _("%(mode)s: disk full") % {"mode": mode}
    elif not state.connected:
        banned = banned_until(state.detail) is not None
        tone, text = "bad", (_("%(mode)s: banned") if banned else _("%(mode)s: no connection")) % {"mode": mode}
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
        return _(
            "The stream process has not written for 30 s. If it does not run, start it (make run, make demo, or with "
            "Docker: docker compose up -d stream); if it runs, its log says what it waits for."
        )
    if state.detail.startswith(NO_DISK):
        return _(
            "The disk does not take the journal (%(reason)s). What the feed sends waits in memory; when that is full, "
            "it is lost, and a gap will say so. Make room on the disk of JOURNAL_DIR, or keep less of the journal "
            "(JOURNAL_KEEP_GB). It goes on by itself."
        ) % {"reason": state.detail.removeprefix(f"{NO_DISK}: ")}
    if state.detail == FOREIGN:
        return _(
            "The journal in JOURNAL_DIR belongs to another database, so nothing is taken. Set JOURNAL_DIR in .env to "
            "the folder of this database's journal, or to an empty folder to begin a new one, and restart."
        )
    if not state.connected:
        return disconnected_text(state)
    if state.mode == "replay" and state.detail == OLDER:
        return _(
            "The replayed recording is older than what is stored already, so its times cannot be kept and its windows "
            "are worthless. Replay it into a database of its own, for instance in a second clone."
        )
    if state.detail == BEHIND:
        return _(
            "The clock of this machine is behind the times that are stored already: until it has caught up, times "
            "stand still and no window closes. Set the clock right."
        )
    return creates_only_text() if state.state == "creates_only" else ""


def feed_warnings(state: StreamState) -> list[str]:
    """What comes, but not as it should: coins left out, and a feed that no longer speaks as it did."""
    warnings = []
    left_out = (state.health or {}).get("left_out", 0)
    if left_out:
        warnings.append(
            _(
                "The trades of %(n)s tracked coins are not asked for, because there are more coins than the cap allows "
                "(SUBSCRIPTION_CAP): of these nothing is known from now on."
            )
            % {"n": display.count(left_out)}
        )
    judged, exact = (state.health or {}).get("judged", 0), (state.health or {}).get("exact", 0)
    if judged >= FEWEST_CHECKED and exact / judged < settings.FEED_EXACT_SHARE:
        warnings.append(
            _(
                "Only %(share)s of the creates and trades of the last hour follow from the formulas of the bonding "
                "curve: PumpPortal's frames or the program have probably changed. Look at the odd frames on the page "
                "of the feed, and do not trade on what is computed from them."
            )
            % {"share": display.ratio_pct(exact / judged)}
        )
    return warnings


def disconnected_text(state: StreamState) -> str:
    """Why there is no connection, as far as it is known, and what to do."""
    until = banned_until(state.detail)
    if state.mode == "simulator":
        if until is not None:
            return _("The built-in simulator bans this client, as it was told to. It is tried again at %(time)s.") % {
                "time": display.moment(until)
            }
        return _("The built-in simulator does not answer. It is tried again by itself.")
    address = settings.WS_URI.split("?")[0]
    if state.mode == "replay":
        return _("The replay is over. Another one may be served at %(address)s.") % {"address": address}
    if until is not None:
        return _(
            "PumpPortal has banned this client. It is left alone until %(time)s and then tried again by itself; every "
            "try before would prolong the ban. Nothing is to be restarted. Make sure that nothing else connects to the "
            "feed from this address or with this key: only one connection is allowed."
        ) % {"time": display.moment(until)}
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
