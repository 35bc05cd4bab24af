"""The form of a backtest. Amounts are typed in SOL and percent; the rules are in `backtest_runs`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from apps.core.units import sol_to_lamports
from apps.trading import backtest_runs
from apps.trading.backtest_runs import ALERT_DELAY_MS, LONGEST_LATENCY_MS, MOST_SEED, Wish
from apps.trading.models import Backtest, Strategy
from apps.training import queries
from apps.training.forms import RangeForm


class BacktestForm(RangeForm):
    """What is to be tried; empty fields are as the settings, the strategy or its wallet say."""

    strategy = forms.ModelChoiceField(label=_("Strategy"), queryset=Strategy.objects.select_related("wallet"))
    scores = forms.ChoiceField(
        label=_("Alerts"),
        choices=[
            (Backtest.Scores.STORED, _("as they were stored")),
            (Backtest.Scores.RECOMPUTED, _("recomputed with the models at work now")),
        ],
    )
    balance = forms.DecimalField(
        label=_("SOL to begin with"), required=False, min_value=Decimal("0.000000001"), max_digits=18,
        decimal_places=9, help_text=_("Empty: what the wallet was given"),
    )  # fmt: skip
    slippage_percent = forms.FloatField(
        label=_("Most slippage, percent"),
        required=False,
        min_value=0,
        max_value=100,
        help_text=_("Empty: the strategy's"),
    )
    latency_ms = forms.IntegerField(
        label=_("Latency, ms, least"), required=False, min_value=0, max_value=LONGEST_LATENCY_MS
    )
    latency_max_ms = forms.IntegerField(label=_("most"), required=False, min_value=0, max_value=LONGEST_LATENCY_MS)
    failure_percent = forms.FloatField(label=_("Orders that fail, percent"), required=False, min_value=0, max_value=100)
    alert_delay_ms = forms.IntegerField(
        label=_("Delay of recomputed alerts, ms"), initial=ALERT_DELAY_MS, min_value=0, max_value=LONGEST_LATENCY_MS
    )
    seed = forms.IntegerField(
        label=_("Seed"), initial=1, min_value=0, max_value=MOST_SEED, help_text=_("Of what is drawn by chance")
    )
    note = forms.CharField(label=_("Note"), required=False, max_length=200)
    sensitivity = forms.BooleanField(label=_("Also with other latencies and slippage limits"), required=False)
    allow_overlap = forms.BooleanField(
        label=_("Also in the training data of a model: the result is marked, it promises nothing"), required=False
    )
    field_order = ["strategy", "scores", "time_from", "time_to"]

    def __init__(self, data: Any = None, *, strategy: Strategy | None = None) -> None:
        span = queries.metrics_span()
        initial = {
            "strategy": strategy, "time_from": span[0] if span else None, "time_to": queries.data_end(),
            "latency_ms": settings.TRADING_LATENCY_MS, "latency_max_ms": settings.TRADING_LATENCY_MAX_MS,
            "failure_percent": settings.PAPER_FAILURE_RATE * 100,
        }  # fmt: skip
        super().__init__(data, initial=initial)

    def wish(self) -> Wish:
        """What a valid form asks for."""
        values = self.cleaned_data
        percent = values["slippage_percent"]
        failing = values["failure_percent"]
        same = (
            "scores",
            "latency_ms",
            "latency_max_ms",
            "alert_delay_ms",
            "seed",
            "note",
            "sensitivity",
            "allow_overlap",
        )
        return Wish(
            strategy=values["strategy"],
            since=values["time_from"],
            until=values["time_to"],
            balance_lamports=None if values["balance"] is None else sol_to_lamports(values["balance"]),
            slippage_bps=None if percent is None else round(percent * 100),
            failure_rate=None if failing is None else failing / 100,
            **{name: values[name] for name in same},
        )

    def save(self) -> Backtest:
        return backtest_runs.run_request(wish=self.wish())

    def groups(self) -> dict[str, list[Any]]:
        """The fields as the page shows them."""
        parts = {
            "what": ["strategy", "scores", "time_from", "time_to", "balance", "note"],
            "terms": ["slippage_percent", "latency_ms", "latency_max_ms", "failure_percent", "alert_delay_ms", "seed"],
            "flags": ["sensitivity", "allow_overlap"],
        }
        return {part: [self[name] for name in names] for part, names in parts.items()}
