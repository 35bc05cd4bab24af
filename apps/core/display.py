"""Numbers and times as people read them, in the reader's language. Formatted here, in Python, not in templates."""

import re
from datetime import datetime
from functools import cache, lru_cache

from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import catalog

from apps.core.sentences import Reader, Sentence
from apps.core.units import BASE_UNITS_PER_TOKEN, LAMPORTS_PER_SOL

NONE = "–"
LONGEST_SENTENCE = 1_000
_GERMAN = str.maketrans(",.", ".,")
_UNSEEN = re.compile(
    "[\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0]"
)
_JOINERS = " \t\r\n\u200c\u200d\ufe0e\ufe0f"  # they belong into words and emoji and show nothing alone
_NUMBER = re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?|[+-]?\d+\.\d+")


def localised(text: str) -> str:
    """Digits as Python writes them (1,234.5) as the reader writes them (German: 1.234,5)."""
    return text.translate(_GERMAN) if (get_language() or "").startswith("de") else text


def error_text(message: str) -> str:
    """The message of a PlatformError, fresh or stored, in the reader's language where the catalogue has it."""
    if not message:
        return ""
    sentence = message if isinstance(message, Sentence) else read_back(get_language() or "", message)
    if sentence is None:
        return gettext(message)
    return gettext(sentence.template) % {name: _said(name, value) for name, value in sentence.values.items()}


def _said(name: str, value: object) -> object:
    """A value as its reader writes it, where it is a number; one that is named `what` is a sentence itself."""
    if not isinstance(value, str):
        return value
    if name == "what":
        return error_text(value)
    return localised(value) if _NUMBER.fullmatch(value) else value


@lru_cache(maxsize=1_000)
def read_back(language: str, message: str) -> Sentence | None:
    """Which sentence with values a stored text is; None for others, and for what is too long to be one."""
    return _reader(language).read(message) if len(message) <= LONGEST_SENTENCE else None


@cache
def _reader(language: str) -> Reader:
    texts = catalog()._catalog  # type: ignore[attr-defined] # Django's JavaScriptCatalog reads it too
    return Reader(text for text, _said in texts.items() if isinstance(text, str))


def visible(text: str) -> str:
    """What a stranger wrote, without characters that show nothing or turn round what stands beside them."""
    seen = _UNSEEN.sub("", text).strip()
    return seen if seen.strip(_JOINERS) else ""


def count(value: int | None) -> str:
    """How many there are."""
    return NONE if value is None else localised(f"{value:,}")


def sol(lamports: int | float | None, digits: int = 4) -> str:
    """Lamports as SOL."""
    return NONE if lamports is None else localised(f"{lamports / LAMPORTS_PER_SOL:z,.{digits}f}")


def signed_sol(lamports: int | None, digits: int = 4) -> str:
    """Lamports as SOL with their sign."""
    return NONE if lamports is None else localised(f"{lamports / LAMPORTS_PER_SOL:+z,.{digits}f}")


def tokens(base_units: int | None) -> str:
    """Base units as whole tokens, shortened."""
    return NONE if base_units is None else short(base_units / BASE_UNITS_PER_TOKEN)


def number(value: float | None, digits: int = 2) -> str:
    return NONE if value is None else localised(f"{value:z,.{digits}f}")


def short(value: float | None) -> str:
    """1,234 -> 1.2K, 5,000,000 -> 5.0M."""
    if value is None:
        return NONE
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "K")):
        if abs(value) >= limit:
            return localised(f"{value / (1e3 if unit == 'K' else limit):,.1f}") + unit
    return localised(f"{value:z,.0f}")


def pct(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else localised(f"{value:z,.{digits}f} %")


def signed_pct(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else localised(f"{value:+z,.{digits}f} %")


def ratio_pct(value: float | None, digits: int = 1) -> str:
    """A ratio 0..1 as percent."""
    return NONE if value is None else pct(value * 100, digits)


def price(sol_per_token: float | None) -> str:
    """SOL per million tokens: 0.028 SOL reads better than 0.000000028."""
    return NONE if sol_per_token is None else localised(f"{sol_per_token * 1e6:,.4f}")


def tone(value: float | int | None) -> str:
    """The CSS class of a gain or a loss."""
    return "" if not value else "up" if value > 0 else "down"


def clock(moment: datetime | None) -> str:
    """Time of day, with the date when it is another day."""
    if moment is None:
        return NONE
    local, today = timezone.localtime(moment), timezone.localdate()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def moment(value: datetime | None) -> str:
    return NONE if value is None else timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S")


def seconds(value: float | None) -> str:
    """A span: 4 s, 3 min, 2 h 5 min, 3 d."""
    if value is None:
        return NONE
    if value < 120:
        return _("%(n)d s") % {"n": value}
    if value < 7200:
        return _("%(n)d min") % {"n": value // 60}
    if value < 172800:
        return _("%(h)d h %(m)d min") % {"h": value // 3600, "m": value % 3600 // 60}
    return _("%(n)d d") % {"n": value // 86400}


def mint_short(mint: str) -> str:
    return mint if len(mint) <= 12 else f"{mint[:5]}…{mint[-4:]}"
