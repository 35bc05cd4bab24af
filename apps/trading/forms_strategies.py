"""The form of a strategy: percent and SOL as people type them, a definition as it is stored."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.display import error_text
from apps.core.errors import PlatformError
from apps.core.htmx import StyledForm
from apps.core.units import lamports_to_sol, sol_to_lamports
from apps.predictions.models import ActiveModel
from apps.trading import strategies
from apps.trading.conditions import TEXTS
from apps.trading.definitions import Definition, definition_parse
from apps.trading.forms import sol_field, wallet_choices
from apps.trading.models import Strategy

SIZINGS = [
    ("fixed", _("fixed")),
    ("share", _("equity share")),
    ("kelly", _("Kelly")),
]
# Fields in percent and where they stand in a definition, as basis points.
PERCENTS: dict[str, tuple[str, str]] = {
    "stop_loss": ("exits", "stop_loss_bps"),
    "take_profit": ("exits", "take_profit_bps"),
    "trailing": ("exits", "trailing_bps"),
    "trailing_from": ("exits", "trailing_from_bps"),
    "creator_sold": ("exits", "creator_sold_bps"),
    "graduation": ("exits", "graduation_bps"),
    "share": ("sizing", "share_bps"),
    "kelly_fraction": ("sizing", "fraction_bps"),
    "kelly_most": ("sizing", "most_bps"),
    "kelly_gain": ("sizing", "gain_bps"),
    "kelly_loss": ("sizing", "loss_bps"),
}
SIZING_FIELDS = {
    "fixed": (),
    "share": ("share",),
    "kelly": ("kelly_fraction", "kelly_most", "kelly_gain", "kelly_loss"),
}
EXIT_FIELDS = ("stop_loss", "take_profit", "trailing", "trailing_from", "creator_sold", "graduation")
ROWS = {"condition": ("fact", "operator", "value"), "rung": ("gain", "share")}


def percent_field(label: Any, *, required: bool = False, **kwargs: Any) -> forms.DecimalField:
    """A share in percent, to the basis point."""
    places = kwargs.pop("decimal_places", 2)
    bounds = {"min_value": Decimal(0), "max_value": Decimal(10_000), **kwargs}
    return forms.DecimalField(label=label, required=required, decimal_places=places, **bounds)


def model_choices() -> list[tuple[int, str]]:
    """Models at work whose alerts can be traded on."""
    found = ActiveModel.objects.filter(shadow_of=None, model__is_deleted=False).order_by("custom_name")
    return [(pk, name) for pk, name in found.values_list("pk", "custom_name")]


class StrategyForm(StyledForm):
    """A definition; rows of conditions and rungs come beside it (`condition_fact`, `rung_gain`, ... once a row)."""

    models = forms.TypedMultipleChoiceField(
        label=_("Alerts of"), coerce=int, required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: of every model."),
    )  # fmt: skip
    min_probability = percent_field(
        _("From this probability on, %"), required=True, initial=0, max_value=100, decimal_places=6
    )
    sizing = forms.ChoiceField(label=_("Stake"), choices=SIZINGS, initial="fixed")
    stake = sol_field(_("SOL an entry"), initial=Decimal("0.1"), help_text=_("With a share: the most of it."))
    share = percent_field(_("Share of the equity, %"), max_value=100)
    kelly_fraction = percent_field(_("Fraction of Kelly's share, %"), initial=25, max_value=100)
    kelly_most = percent_field(_("Most of the equity, %"), initial=5, max_value=100)
    kelly_gain = percent_field(_("A won entry gains, %"), help_text=_("After costs. Empty: take-profit or ladder."))
    kelly_loss = percent_field(_("A lost entry loses, %"), max_value=100, help_text=_("Empty: the stop-loss."))
    slippage = percent_field(_("Most slippage, %"), required=True, initial=5, max_value=100)
    stop_loss = percent_field(_("Stop-loss, %"), initial=20, max_value=100)
    take_profit = percent_field(_("Take-profit, %"), help_text=_("Sells all that is left."))
    timeout_seconds = forms.IntegerField(label=_("Time-out, seconds"), required=False, min_value=1, initial=180)
    trailing = percent_field(_("Trailing stop, %"), max_value=Decimal("99.99"), help_text=_("Below the highest price."))
    trailing_from = percent_field(_("Trailing from, %"), initial=0, help_text=_("Above the entry price."))
    creator_sold = percent_field(
        _("Creator has sold, %"), max_value=100, help_text=_("Of their first buy, since our entry.")
    )
    creator_sold_sol = sol_field(_("Creator has sold, SOL"), required=False)
    graduation = percent_field(
        _("Curve is sold to, %"), initial=100, max_value=100, help_text=_("100: it graduates. 0: never for that.")
    )
    model_below = percent_field(_("A score falls below, %"), max_value=100, decimal_places=6)
    model_below_ids = forms.TypedMultipleChoiceField(
        label=_("Scores of"), coerce=int, required=False, widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen: of every model."),
    )  # fmt: skip
    exit_model_ids = forms.TypedMultipleChoiceField(
        label=_("Leave on an alert of"), coerce=int, required=False, widget=forms.CheckboxSelectMultiple
    )
    note = forms.CharField(label=_("Note on this version"), max_length=200, required=False)

    def __init__(self, data: Any = None, *, definition: Definition | None = None) -> None:
        super().__init__(data, initial=shown(definition) if definition else None)
        choices = model_choices()
        for name in ("models", "model_below_ids", "exit_model_ids"):
            gone = sorted(set(self.initial.get(name, [])) - {number for number, _name in choices})
            self.fields[name].choices = choices + [  # type: ignore[attr-defined]
                (number, _("#%d, no longer at work") % number) for number in gone
            ]  # never left out unseen: an empty choice means every model
        rows = rows_posted(data) if data is not None else rows_shown(definition)
        self.conditions, self.rungs = rows["condition"], rows["rung"]

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        if not self.errors:
            try:
                values["definition"] = definition_parse(source_of(values, self.conditions, self.rungs))
                strategies.require_known(values["definition"])
            except PlatformError as error:
                self.add_error(None, error_text(error.message))
        return values

    @property
    def groups(self) -> dict[str, list[Any]]:
        """The fields as the page lays them out."""
        names = {
            "sizing": ("sizing", "stake", "slippage"),
            "share": ("share",),
            "kelly": SIZING_FIELDS["kelly"],
            "price": ("stop_loss", "take_profit", "timeout_seconds", "trailing", "trailing_from"),
            "coin": ("creator_sold", "creator_sold_sol", "graduation"),
        }
        return {group: [self[name] for name in fields] for group, fields in names.items()}


class NewStrategyForm(StrategyForm):
    """A strategy that is not there yet."""

    name = forms.SlugField(label=_("Name"), max_length=50, help_text=_("Letters, digits, hyphens."))
    wallet = forms.ChoiceField(label=_("Wallet"))

    def __init__(self, data: Any = None, *, definition: Definition | None = None) -> None:
        super().__init__(data, definition=definition)
        self.fields["wallet"].choices = wallet_choices()  # type: ignore[attr-defined]

    def save(self) -> Strategy:
        values = self.cleaned_data
        return strategies.strategy_make(
            name=values["name"], wallet_alias=values["wallet"], definition=values["definition"], note=values["note"]
        )


class FileForm(StyledForm):
    """A strategy as TOML."""

    toml = forms.CharField(label=_("TOML"), widget=forms.Textarea(attrs={"rows": 8}), max_length=200_000)
    name = forms.SlugField(label=_("Name"), max_length=50, required=False, help_text=_("Empty: as in the file."))
    wallet = forms.ChoiceField(label=_("Wallet"), required=False)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["wallet"].choices = [("", _("as in the file")), *wallet_choices()]  # type: ignore[attr-defined]

    def save(self) -> Strategy:
        values = self.cleaned_data
        return strategies.strategy_take(
            file=strategies.strategy_parse(values["toml"]), name=values["name"], wallet_alias=values["wallet"]
        )


def rows_posted(data: Any) -> dict[str, list[dict[str, str]]]:
    """The rows of conditions and rungs as they were typed; empty ones are left out."""
    found = {}
    for kind, names in ROWS.items():
        columns = [data.getlist(f"{kind}_{name}") for name in names]
        rows = [dict(zip(names, (value.strip() for value in row), strict=True)) for row in zip(*columns, strict=False)]
        found[kind] = [row for row in rows if row[names[0]]]
    return found


def rows_shown(definition: Definition | None) -> dict[str, list[dict[str, str]]]:
    """The rows of a definition as people type them."""
    if definition is None:
        return {"condition": [], "rung": []}
    conditions = [
        {"fact": row.fact, "operator": row.operator, "value": value_shown(row.value)}
        for row in definition.entry.conditions
    ]
    rungs = [
        {"gain": f"{rung.gain_bps / 100:g}", "share": f"{rung.share_bps / 100:g}"} for rung in definition.exits.ladder
    ]
    return {"condition": conditions, "rung": rungs}


def value_shown(value: Any) -> str:
    """A condition's value as it is typed; a list has commas, and quotes around what has a comma itself."""
    if isinstance(value, list):
        return ", ".join(_quoted(value_shown(one)) for one in value)
    return value if isinstance(value, str) else f"{value:.12g}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def value_typed(fact: str, sign: str, text: str) -> Any:
    """What was typed as the fact's kind; what is no number stays a text, which the definition refuses."""
    is_list = sign in ("in", "not_in")
    typed = [value if fact in TEXTS else _number(value) for value in (_listed(text) if is_list else [text]) if value]
    return typed if is_list else (typed[0] if typed else text)


def _listed(text: str) -> list[str]:
    """The parts between commas; a comma within quotes parts nothing."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    except csv.Error:  # longer than anything that could be meant
        return [text]
    return [value.strip() for row in rows for value in row]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def source_of(
    values: Mapping[str, Any], conditions: list[dict[str, str]], rungs: list[dict[str, str]]
) -> dict[str, Any]:
    """The definition that a valid form says, not yet checked."""
    kind, stake = values["sizing"], sol_to_lamports(values["stake"])
    exits: dict[str, Any] = _bps(values, EXIT_FIELDS)
    exits |= {
        "ladder": [{"gain_bps": _rung(row["gain"]), "share_bps": _rung(row["share"])} for row in rungs],
        "timeout_seconds": values["timeout_seconds"],
        "exit_model_ids": values["exit_model_ids"],
    }
    if values["model_below"] is not None:
        exits |= {"model_below": float(values["model_below"] / 100), "model_below_ids": values["model_below_ids"]}
    if values["creator_sold_sol"]:
        exits["creator_sold_lamports"] = sol_to_lamports(values["creator_sold_sol"])
    rows = [{**row, "value": value_typed(row["fact"], row["operator"], row["value"])} for row in conditions]
    return {
        "entry": {
            "models": values["models"],
            "min_probability": float(values["min_probability"] / 100),
            "conditions": rows,
        },
        "sizing": {
            "kind": kind,
            ("stake_lamports" if kind == "fixed" else "most_lamports"): stake,
            **_bps(values, SIZING_FIELDS[kind]),
        },
        "exits": exits,
        "slippage_bps": round(values["slippage"] * 100),
    }


def _bps(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    """Basis points of the percent fields that were filled in, by their names in the definition."""
    return {PERCENTS[name][1]: round(values[name] * 100) for name in names if values[name] is not None}


def _rung(text: str) -> int | str:
    number = _number(text.replace(",", "."))
    return round(number * 100) if isinstance(number, float) and math.isfinite(number * 100) else text


def shown(definition: Definition) -> dict[str, Any]:
    """A definition as the fields of the form."""
    source = definition.as_json()
    entry, sizing, exits = source["entry"], source["sizing"], source["exits"]
    lamports = sizing.get("stake_lamports") or sizing.get("most_lamports")
    percents = {
        name: Decimal(source[part][field]) / 100 if field in source[part] else None
        for name, (part, field) in PERCENTS.items()
    }
    sold = exits.get("creator_sold_lamports")
    below = exits.get("model_below")
    return percents | {
        "models": entry["models"],
        "min_probability": _percent(entry["min_probability"]),
        "sizing": sizing["kind"],
        "stake": lamports_to_sol(lamports),
        "slippage": Decimal(source["slippage_bps"]) / 100,
        "timeout_seconds": exits.get("timeout_seconds"),
        "creator_sold_sol": lamports_to_sol(sold) if sold else None,
        "model_below": None if below is None else _percent(below),
        "model_below_ids": exits["model_below_ids"],
        "exit_model_ids": exits["exit_model_ids"],
    }


def _percent(ratio: float) -> Decimal:
    return Decimal(f"{(Decimal(str(ratio)) * 100).normalize():f}")
