"""Codes of orders and transfers as sentences, for pages: the code stands below them in small print."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.trading.denials import DENIALS
from apps.trading.fills import RejectCode

_AT_THE_VENUE = {
    RejectCode.TOO_MUCH_SOL_REQUIRED: _("The price had risen beyond the slippage limit."),
    RejectCode.TOO_LITTLE_SOL_RECEIVED: _("The price had fallen beyond the slippage limit."),
    RejectCode.TRANSACTION_FAILED: _("The transaction failed on the chain; its network fee is gone."),
    "FILL_UNREADABLE": _("It was executed, but the node does not tell what it did: look at its signature."),
    "HISTORY_MISSING": _("The node no longer has the blocks: set a node with history, or settle it by hand."),
    "BLOCKHASH_EXPIRED": _("It was in no block in time and never will be; nothing was paid."),
    "SETTLED_BY_HAND": _("Somebody has settled it by hand."),
    "SENDING_STOPPED": _("It was stopped before it was sent."),
    "SIMULATION_FAILED": _("The node says that it would fail: nothing was sent."),
    "RPC_NO_ANSWER": _("The node gave no answer."),
    "RPC_BUSY": _("The node asks for patience."),
    "RPC_BEHIND": _("The node is behind the others."),
    "RPC_FAILED": _("The node failed inside."),
    "RPC_REFUSED": _("The node refuses the request: check its address and key."),
    "RPC_GARBAGE": _("The node's answer makes no sense."),
    "RPC_OTHER_SIGNATURE": _("The node answered with another signature."),
    "VENUE_NO_ANSWER": _("PumpPortal gave no answer; nothing was sent."),
    "VENUE_BUSY": _("PumpPortal is busy; nothing was sent."),
    "VENUE_REFUSED": _("PumpPortal refused; nothing was sent."),
    "VENUE_FAILED": _("The venue failed without an answer; the log has the cause."),
    "VENUE_FEE_ACCOUNT_OTHER": _("PumpPortal's fee would have gone to another account; nothing was sent."),
}
_BEFORE_SENDING = {
    "FEED_NOT_LIVE": _("Real orders are sent only while the feed is live."),
    "FEED_WENT_BACK": _("The feed went back to a time before it."),
    "ORDER_TOO_OLD": _("It came too late to be sent."),
    "NEVER_SENT": _("The process that was to send it ended before; nothing was sent."),
    "KEY_MISSING": _("The wallet has no key."),
    "KEY_SEALED": _("The wallet's key does not open: check ENCRYPTION_KEY."),
    "KEY_WRONG": _("The key does not belong to the wallet."),
    "ADDRESS_INVALID": _("An address is no Solana address."),
    "TIP_ABOVE_CAP": _("The tip is above its cap."),
    "PRIORITY_FEE_ABOVE_CAP": _("The network fee is above its cap."),
}
_TRANSACTION = _("PumpPortal's transaction is not what was ordered: it was not signed.")
_SIMULATED = _("Tried out, it did something else than ordered: it was not signed.")
_EXITS = {
    "TAKE_PROFIT": _("Profit taken"),
    "STOP_LOSS": _("Stop-loss"),
    "TRAILING_STOP": _("Trailing stop"),
    "TIMEOUT": _("Time-out"),
    "MODEL": _("A model said sell"),
    "MANUAL": _("By hand"),
    "GRADUATED": _("Graduated"),
    "CREATOR": _("The creator sold"),
}
_ENDS: dict[str, str] = {str(code): text for code, text in {**_AT_THE_VENUE, **_BEFORE_SENDING}.items()}
_DENIED: dict[str, str] = {str(code): text for code, text in DENIALS.items()}


def sentence(code: str) -> str:
    """What a code says, in the reader's language; the code itself where there is no sentence, empty for none."""
    known = _DENIED.get(code) or _ENDS.get(code) or _EXITS.get(code)
    if known is None and code.startswith("TRANSACTION_"):
        known = _TRANSACTION
    if known is None and code.startswith("SIMULATED_"):
        known = _SIMULATED
    return gettext(known) if known else code


def refusal(error: PlatformError) -> str:
    """An expected failure as a sentence, with its code in brackets."""
    known = sentence(error.code)
    text = known if known != error.code else error_text(error.message)
    return f"{text} ({error.code})"


def small_print(code: str) -> str:
    """The code to stand below its sentence; empty where it is the sentence itself."""
    return code if code and sentence(code) != code else ""
