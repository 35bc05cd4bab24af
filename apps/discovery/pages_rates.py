"""What amounts of SOL are worth in money, where a rate is known."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from apps.core import display
from apps.discovery.models import ExchangeRate
from apps.discovery.rates import CURRENCIES, rate_at, value_of

OLD_AFTER = timedelta(days=1)


def worth(lamports: int, at: datetime) -> dict[str, str]:
    """`text` such as `1,234.50 USD · 1,100.00 EUR` and `origin`, where the rates are from, when, and how old
    they are when that is much; empty without a rate."""
    rates = [rate for currency in CURRENCIES if (rate := rate_at(currency, at))]
    texts = [display.localised(f"{value_of(lamports, rate.rate):,.2f}") + f" {rate.currency}" for rate in rates]
    return {"text": " · ".join(texts), "origin": "; ".join(_origin(rate, at) for rate in rates)}


def _origin(rate: ExchangeRate, at: datetime) -> str:
    origin = _("%(currency)s from %(source)s, %(at)s") % {
        "currency": rate.currency,
        "source": rate.source,
        "at": display.moment(rate.at),
    }
    if (age := at - rate.at) <= OLD_AFTER:
        return origin
    return _("%(origin)s: %(age)s old") % {"origin": origin, "age": display.seconds(age.total_seconds())}
