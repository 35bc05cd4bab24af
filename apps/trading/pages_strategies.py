"""What the pages of strategies show: rows of the database turned into ready texts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.predictions.models import ActiveModel
from apps.trading import strategies, strategy_queries, wording
from apps.trading.conditions import FACTS, FEATURE, OPERATORS
from apps.trading.definitions import Definition, Exits, Fixed, Kelly, Share
from apps.trading.models import Order, Position, Strategy, StrategyVersion
from apps.trading.strategy_queries import strategies_listed
from apps.training import features


def percent(bps: int | None) -> str:
    """Basis points as people read them."""
    return display.NONE if bps is None else f"{bps / 100:g} %"


def strategies_table() -> Table:
    """Every strategy with what it does and holds."""
    columns = [
        Column(_("Name")),
        Column(_("Wallet")),
        Column(_("Entry"), WIDE),
        Column(_("Stake"), WIDE),
        Column(_("Exits"), WIDE),
        Column(_("Version"), NUMBER),
        Column(_("Open"), NUMBER),
    ]
    return Table(
        columns,
        [_row(strategy) for strategy in strategies_listed()],
        empty=_("No strategy yet"),
        hint=_("A strategy says on which alerts to buy, how much, and when to leave."),
        icon="wallet",
    )


def _row(strategy: Strategy) -> Row:
    definition = strategies.definition_of(strategy)
    state = ("good", _("active")) if strategy.is_active else ("wait", _("paused"))
    cells = [
        Cell(strategy.name, href=reverse("trading:strategy", args=[strategy.name]), pills=[state]),
        Cell(strategy.wallet.alias, href=reverse("trading:wallet", args=[strategy.wallet.alias])),
        Cell(entry_text(definition)),
        Cell(sizing_text(definition)),
        Cell(", ".join(text for _name, text in exit_lines(definition.exits)) or display.NONE),
        Cell(str(strategy.version)),
        Cell(display.count(strategy.held)),  # type: ignore[attr-defined]
    ]
    return Row(cells, id=f"strategy-{strategy.pk}")


def entry_text(definition: Definition) -> str:
    """On what it enters, in a line."""
    entry = definition.entry
    conditions = len(entry.conditions)
    parts = [_("from %s %%") % f"{entry.min_probability * 100:g}"]
    if conditions:
        parts.append(ngettext("%d condition", "%d conditions", conditions) % conditions)
    return ", ".join(parts)


def sizing_text(definition: Definition) -> str:
    """How much it puts on an entry, in a line."""
    sizing = definition.sizing
    if isinstance(sizing, Fixed):
        return _("%s SOL") % display.sol(sizing.stake_lamports)
    most = display.sol(sizing.most_lamports)
    if isinstance(sizing, Share):
        return _("%(share)s of the equity, at most %(most)s SOL") % {"share": percent(sizing.share_bps), "most": most}
    return _kelly_text(definition, sizing, most)


def _kelly_text(definition: Definition, sizing: Kelly, most: str) -> str:
    return _("%(part)s of Kelly (won %(gain)s, lost %(loss)s), at most %(share)s of the equity and %(most)s SOL") % {
        "part": percent(sizing.fraction_bps),
        "gain": percent(definition.gain_bps()),
        "loss": percent(definition.loss_bps()),
        "share": percent(sizing.most_bps),
        "most": most,
    }


def exit_lines(exits: Exits) -> list[tuple[str, str]]:
    """Every exit that can happen: its reason and what it is in words."""
    lines = [
        ("STOP_LOSS", exits.stop_loss_bps and _("loss of %s") % percent(exits.stop_loss_bps)),
        ("TRAILING_STOP", exits.trailing_bps and _trailing_text(exits)),
        *(
            ("TAKE_PROFIT", _("sell %(share)s at +%(gain)s") % _rung(rung.share_bps, rung.gain_bps))
            for rung in exits.ladder
        ),
        ("TAKE_PROFIT", exits.take_profit_bps and _("sell the rest at +%s") % percent(exits.take_profit_bps)),
        ("TIMEOUT", exits.timeout_seconds and _("after %s") % display.seconds(float(exits.timeout_seconds))),
        ("MODEL", exits.model_below is not None and _("a score below %s") % percent(round(exits.model_below * 10_000))),
        ("MODEL", exits.exit_model_ids and _("an alert of %s") % ", ".join(models_named(exits.exit_model_ids))),
        ("CREATOR", exits.creator_sold_bps and _("creator sold %s") % percent(exits.creator_sold_bps)),
        (
            "CREATOR",
            exits.creator_sold_lamports and _("creator sold %s SOL") % display.sol(exits.creator_sold_lamports),
        ),
        ("GRADUATED", exits.graduation_bps and _("curve sold to %s") % percent(exits.graduation_bps)),
    ]
    return [(reason, text) for reason, text in lines if text]


def _rung(share_bps: int, gain_bps: int) -> dict[str, str]:
    return {"share": percent(share_bps), "gain": percent(gain_bps)}


def _trailing_text(exits: Exits) -> str:
    if not exits.trailing_from_bps:
        return _("%s below the highest price") % percent(exits.trailing_bps)
    return _("%(fall)s below the highest price, once +%(rise)s was seen") % {
        "fall": percent(exits.trailing_bps),
        "rise": percent(exits.trailing_from_bps),
    }


def models_named(ids: list[int]) -> list[str]:
    """Models at work by name; the number where there is none of it any more."""
    names = dict(ActiveModel.objects.filter(pk__in=ids).values_list("pk", "custom_name"))
    return [names.get(number, f"#{number}") for number in ids]


def labels_of(definition: Definition) -> list[str]:
    """What the models that a strategy enters on ask, each question once."""
    places = ActiveModel.objects.scoring().filter(shadow_of=None)
    if chosen := definition.entry.models:
        places = ActiveModel.objects.filter(pk__in=chosen)
    return sorted(set(places.values_list("model__label_name", flat=True)))


def strategy_page(strategy: Strategy) -> dict[str, Any]:
    """One strategy: what it is, what it holds, what it has let pass."""
    definition = strategies.definition_of(strategy)
    held = Position.objects.filter(strategy=strategy, status="OPEN")
    return {
        "name": strategy.name,
        "wallet": strategy.wallet.alias,
        "is_active": strategy.is_active,
        "version": strategy.version,
        "models": models_named(definition.entry.models) or [_("every model")],
        "probability": f"{definition.entry.min_probability * 100:g} %",
        "conditions": [row.condition().text for row in definition.entry.conditions],
        "stake": sizing_text(definition),
        "asks": labels_of(definition) if isinstance(definition.sizing, Kelly) else [],
        "slippage": percent(definition.slippage_bps),
        "exits": [(wording.sentence(reason), text) for reason, text in exit_lines(definition.exits)],
        "held": held.count(),
        "outdated": held.exclude(strategy_version=strategy.version).count(),
        "passed": passed_table(strategy),
        "can_delete": not Order.objects.filter(strategy=strategy).exists(),
    }


def passed_table(strategy: Strategy) -> Table:
    """How many alerts it let pass, by condition, in the last day of feed time."""
    rows = [
        Row([Cell(reason), Cell(display.count(alerts))])
        for reason, alerts in strategy_queries.filtered_by_reason(strategy.pk, hours=24)
    ]
    return Table(
        [Column(_("Condition that failed")), Column(_("Alerts"), NUMBER)],
        rows,
        title=_("Filtered out in the last 24 hours"),
        empty=_("No alert was filtered out."),
        icon="list",
    )


def versions_page(request: HttpRequest, strategy: Strategy) -> Page:
    """Every version, newest first."""
    return page_of(request, StrategyVersion.objects.filter(strategy=strategy))


def versions_table(page: Page, strategy: Strategy) -> Table:
    """The versions of a page."""
    columns = [
        Column(_("Version")),
        Column(_("Made")),
        Column(_("Note")),
        Column("sha256", WIDE),
        Column(_("Orders"), WIDE_NUMBER),
    ]
    counts = strategy_queries.orders_by_version(strategy.pk)
    rows = [_version_row(version, strategy, counts.get(version.number, 0)) for version in page.items]
    return Table(columns, rows, title=_("Versions"))


def _version_row(version: StrategyVersion, strategy: Strategy, orders: int) -> Row:
    href = reverse("trading:strategy_version", args=[strategy.name, version.number])
    pills = [("good", _("newest"))] if version.number == strategy.version else []
    return Row(
        [
            Cell(str(version.number), href=href, pills=pills),
            Cell(display.moment(version.created_at)),
            Cell(version.note or display.NONE),
            Cell(version.sha256[:12], css="mono"),
            Cell(display.count(orders)),
        ]
    )


def fact_options() -> list[tuple[str, str]]:
    """What a condition can ask, with its meaning: suggestions for the form."""
    told = [*FACTS.items(), *((FEATURE + one["name"], one["formula"]) for one in features.describe())]
    return [(fact, display.error_text(meaning)) for fact, meaning in told]


def form_page(form: Any) -> dict[str, Any]:
    """The form with its rows; one more row of each kind is empty."""
    empty = {"fact": "", "operator": ">=", "value": ""}
    return {
        "form": form,
        "groups": form.groups,
        "conditions": [*form.conditions, empty],
        "rungs": [*form.rungs, {"gain": "", "share": ""}],
        "operators": OPERATORS,
        "facts": fact_options(),
    }
