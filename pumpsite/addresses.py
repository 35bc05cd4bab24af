"""Every page a person can open, with one example of each kind of detail page: for pictures and for browser tests."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from apps.core.models import WebhookEndpoint, WebhookMessage
from apps.core.navigation import SECTIONS
from apps.discovery.models import CoinStream
from apps.predictions.models import ActiveModel
from apps.trading.models import Backtest, Strategy, Wallet
from apps.training.models import Comparison, Job, Model, TestResult
from pumpsite.pages import INFO_PARTS

EXAMPLES: dict[str, tuple[QuerySet[Any], str]] = {
    "discovery:coin": (CoinStream.objects.order_by("-trades_total", "coin_id"), "coin_id"),
    "training:model": (Model.objects.order_by("id"), "pk"),
    "training:job": (Job.objects.order_by("id"), "pk"),
    "training:test": (TestResult.objects.order_by("id"), "pk"),
    "training:comparison": (Comparison.objects.order_by("id"), "pk"),
    "predictions:model": (ActiveModel.objects.order_by("id"), "pk"),
    "predictions:life": (ActiveModel.objects.order_by("id"), "pk"),
    "predictions:drift": (ActiveModel.objects.order_by("id"), "pk"),
    "predictions:champion": (ActiveModel.objects.filter(shadow_of=None).order_by("id"), "pk"),
    "predictions:webhook": (WebhookEndpoint.objects.order_by("id"), "pk"),
    "predictions:webhook_message": (WebhookMessage.objects.order_by("-id"), "pk"),
    "trading:wallet": (Wallet.objects.order_by("id"), "alias"),
    "trading:strategy": (Strategy.objects.order_by("id"), "name"),
    "trading:strategy_change": (Strategy.objects.order_by("id"), "name"),
    "trading:real_unlock": (Wallet.objects.filter(wallet_type="REAL").order_by("id"), "alias"),
    "trading:backtest": (Backtest.objects.order_by("-id"), "pk"),
}
PLAIN = (
    "core:dashboard",
    "training:data",
    "core:tokens",
    "mfa_index",
    "account_change_password",
    "trading:backtest_new",
    "trading:strategy_new",
)


def pages() -> Iterator[tuple[str, str]]:
    """`(name, path)` of every page; a detail page only where there is something to show on it."""
    for name in (*PLAIN, *(url for section in SECTIONS for url, _ in section.pages)):
        yield name.replace(":", "-"), reverse(name)
    for part in INFO_PARTS:
        yield f"info-{part}", reverse("core:info", args=[part])
    for name, (rows, field) in EXAMPLES.items():
        for value in rows.values_list(field, flat=True)[:1]:
            yield name.replace(":", "-"), reverse(name, args=[value])
