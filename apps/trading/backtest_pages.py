"""What the pages of backtests show: stored figures turned into ready texts, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.trading import backtest_compare, backtest_plots, wording
from apps.trading.backtest_coverage import WHY
from apps.trading.models import Backtest, BacktestTrade
from apps.trading.pages import ORDER_TONES, bps, cost_labels
from apps.training.models import Job
from apps.training.pages import ENDED, OPEN, STATUS

Title = str | Promise
SCORES: dict[str, Title] = {"stored": gettext_lazy("stored alerts"), "recomputed": gettext_lazy("recomputed")}
DIFFER: dict[str, Title] = {
    "strategy_name": gettext_lazy("strategy"),
    "strategy_version": gettext_lazy("version"),
    "definition": gettext_lazy("what exactly was tried"),
    "balance_lamports": gettext_lazy("SOL to begin with"),
    "terms": gettext_lazy("terms"),
    "scores": gettext_lazy("where alerts come from"),
}
COVERAGE: dict[str, Title] = {
    "trades_in_range": gettext_lazy("Trades recorded"),
    "trades_of_coins": gettext_lazy("of the coins that were looked at"),
    "trades_without_reserves": gettext_lazy("without reserves: not on a curve that can be priced"),
    "alerts_in_range": gettext_lazy("Alerts stored"),
    "alerts_of_models": gettext_lazy("of the strategy's models"),
    "alerts_wanted": gettext_lazy("from its least probability on"),
    "signals": gettext_lazy("Alerts played"),
    "coins": gettext_lazy("Coins"),
    "coins_unknown": gettext_lazy("unknown coins"),
    "coins_off_curve": gettext_lazy("coins off the standard curve"),
    "signals_touching_gaps": gettext_lazy("alerts with a gap in what they know"),
    "gaps": gettext_lazy("Times without data"),
}
RECOMPUTED: dict[str, Title] = {
    "rows_scored": gettext_lazy("Windows scored"),
    "rows_off_curve": gettext_lazy("left out: off the standard curve"),
    "scores": gettext_lazy("Scores that count"),
    "scores_stored": gettext_lazy("stored by the same models"),
    "scores_both": gettext_lazy("in both"),
    "scores_equal": gettext_lazy("of them exactly the same"),
    "alerts": gettext_lazy("Alerts"),
    "alerts_stored": gettext_lazy("stored alerts"),
    "alerts_both": gettext_lazy("alerts in both"),
}


# --- Lists ----------------------------------------------------------------------------------------------
def run_row(run: Backtest) -> dict[str, Any]:
    """A run in a list."""
    tone, status = STATUS[run.job.status]
    figures = run.figures or {}
    return {
        "id": run.pk,
        "strategy": run.strategy_name,
        "version": run.strategy_version,
        "note": run.note,
        "span": f"{display.moment(run.since)} – {display.moment(run.until)}",
        "scores": SCORES[run.scores],
        "tone": tone,
        "status": _("stopping") if run.job.cancel_requested and run.job.status == Job.Status.RUNNING else status,
        "progress": f"{run.job.progress * 100:.0f}",
        "message": "" if run.job.message in ENDED else display.error_text(run.job.message),
        "is_open": run.job.status in OPEN,
        "is_done": run.job.status == Job.Status.COMPLETED,
        "is_seen": bool(figures.get("overlaps_training")),
        "result": display.signed_sol(figures.get("pnl_lamports")),
        "result_tone": display.tone(figures.get("pnl_lamports")),
        "return": _signed(figures.get("return_ratio")),
        "drawdown": display.ratio_pct(figures.get("drawdown_ratio"), 2),
        "positions": display.count(figures.get("closed_positions")),
        "created": display.clock(run.created_at),
    }


def _signed(ratio: float | None) -> str:
    return display.signed_pct(None if ratio is None else ratio * 100, 2)


def trades_table(trades: Sequence[BacktestTrade]) -> Table:
    """Fills and failures with their parts."""
    columns = [
        Column(_("Time")),
        Column(_("Coin")),
        Column(_("Order")),
        Column(_("Wallet, SOL"), NUMBER),
        Column(_("Fees, SOL"), WIDE_NUMBER),
        Column(_("Price"), WIDE_NUMBER),
        Column(_("Impact"), WIDE_NUMBER),
        Column(_("Slippage"), WIDE_NUMBER),
        Column(_("Why"), WIDE),
    ]
    return Table(columns, [_trade_cells(one) for one in trades], "", _("Nothing was traded."), "", "send")


def _side(side: str) -> str:
    return _("buy") if side == "buy" else _("sell")


def _trade_cells(one: BacktestTrade) -> Row:
    fees = (
        one.protocol_fee_lamports + one.creator_fee_lamports + one.venue_fee_lamports + one.network_fee_lamports
        + one.tip_lamports + one.virtual_loss_lamports
    )  # fmt: skip
    failed = one.status != "SUCCESS"
    return Row([
        Cell(display.clock(one.at)),
        Cell(display.mint_short(one.mint), href=reverse("discovery:coin", args=[one.mint])),
        Cell(
            _side(one.action),
            note=wording.sentence(one.code),
            below=wording.small_print(one.code),
            pills=[("bad", _("failed"))] if failed else (),
        ),
        Cell(display.signed_sol(one.balance_change_lamports, 5), css=display.tone(one.balance_change_lamports)),
        Cell(display.sol(fees, 5)),
        Cell(display.price(one.price_sol)),
        Cell(bps(one.price_impact_bps)),
        Cell(bps(one.slippage_bps)),
        Cell(wording.sentence(one.exit_reason)),
    ])  # fmt: skip


# --- One run --------------------------------------------------------------------------------------------
def run_facts(run: Backtest) -> dict[str, Any]:
    """Everything on a run's page."""
    facts = {
        **run_row(run),
        "job_id": run.job_id,
        "can_cancel": run.job.status in OPEN and not run.job.cancel_requested,
        "error": display.error_text(run.job.error),
        "error_code": run.job.error_code,
        "log": run.job.log,
        "balance": display.sol(run.balance_lamports),
        "terms": _terms(run),
        "definition": _definition(run),
    }
    return facts | (_results(run, run.figures) if run.figures else {})


def _results(run: Backtest, figures: dict[str, Any]) -> dict[str, Any]:
    closed, speed = figures["closed_positions"], run.trades_per_second
    return {
        "end": display.sol(figures["end_equity_lamports"]),
        "booked": display.ratio_pct(figures["booked_drawdown_ratio"], 2),
        "won": display.ratio_pct(figures["winners"] / closed if closed else None),
        "held": display.count(figures["open_positions"]),
        "unrealized": display.signed_sol(figures["unrealized_pnl_lamports"]),
        "seconds": display.number(run.seconds, 1),
        "speed": display.count(None if speed is None else round(speed)),
        "why": [WHY[code] for code in figures["why"]],
        "seen": [_seen(one) for one in figures["overlaps_training"]],
        "traded": bool(figures["fills"]),
        "equity_plot": backtest_plots.equity(run),
        "drawdown_plot": backtest_plots.drawdown(run),
        "exits": exits_table(figures["exits"]),
        "orders": orders_table(figures["orders"]),
        "filtered": filtered_table(figures.get("filtered", {})),
        "costs": [(label, display.sol(lamports, 5)) for label, lamports in cost_labels(figures["costs_lamports"])],
        "ledger": [(name, display.signed_sol(lamports, 9)) for name, lamports in figures["ledger"].items()],
        "ledger_sum": display.signed_sol(sum(figures["ledger"].values()), 9),
        "chance": chance_rows(figures["monte_carlo"], run.balance_lamports),
        "draws": (figures["monte_carlo"] or {}).get("runs"),
        "seed": run.seed,
        "coverage": coverage_rows(figures["coverage"]),
        "recomputed": recomputed_rows(figures["recomputed"] or {}),
        "sensitivity": sensitivity_table(figures["sensitivity"]) if "sensitivity" in figures else None,
    }


def _seen(one: dict[str, Any]) -> dict[str, str]:
    return {
        "name": one["name"],
        "to": display.moment(datetime.fromisoformat(one["train_to"])),
        "alerts": "" if one["alerts"] is None else display.count(one["alerts"]),
    }


def _terms(run: Backtest) -> list[tuple[str, str]]:
    terms = run.terms
    rows = [
        (_("Latency"), f"{terms['latency_ms']}–{terms['latency_max_ms']} ms"),
        (_("Orders that fail"), display.ratio_pct(terms["failure_rate"])),
        (_("Most slippage"), display.pct(terms["slippage_bps"] / 100)),
        (_("Network fee, SOL"), display.sol(terms["network_fee_lamports"], 6)),
        (_("Tip, SOL"), display.sol(terms["tip_lamports"], 6)),
        (_("PumpPortal fee"), display.pct(terms["venue_fee_bps"] / 100, 2)),
        (_("Extra test loss"), display.pct(terms["virtual_loss_bps"] / 100, 2)),
        (_("Seed"), str(run.seed)),
    ]
    if run.scores == Backtest.Scores.RECOMPUTED:
        rows.append((_("Delay of alerts"), f"{terms['alert_delay_ms']} ms"))
    return rows


def _definition(run: Backtest) -> list[tuple[str, str]]:
    """What was copied, field by field, for those who want to know exactly."""
    together = {**run.definition.get("together", {})}
    together |= {name: len(together[name]) for name in ("mints", "creators") if name in together}  # blocked: how many
    parts = (("strategy", run.definition["strategy"]), ("wallet", run.definition["wallet"]), ("all wallets", together))
    return [(f"{part}.{name}", str(value)) for part, values in parts for name, value in values.items()]


def exits_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Results by the reason for which positions were left."""
    columns = [
        Column(_("Exit")),
        Column(_("Positions"), NUMBER),
        Column(_("Won"), WIDE_NUMBER),
        Column(_("Result, SOL"), NUMBER),
        Column(_("of the cost"), NUMBER),
        Column(_("Best"), WIDE_NUMBER),
        Column(_("Worst"), WIDE_NUMBER),
        Column(_("Held for"), WIDE_NUMBER),
    ]
    return Table(columns, [_exit_cells(row) for row in rows], _("Results by exit"), _("No position was left."))


def _exit_cells(row: dict[str, Any]) -> Row:
    return Row([
        Cell(wording.sentence(row["exit_reason"])),
        Cell(display.count(row["positions"])),
        Cell(display.ratio_pct(row["winners"] / row["positions"])),
        Cell(display.signed_sol(row["pnl_lamports"]), css=display.tone(row["pnl_lamports"])),
        Cell(_signed(row["return_ratio"])),
        Cell(display.signed_sol(row["best_lamports"])),
        Cell(display.signed_sol(row["worst_lamports"])),
        Cell(display.seconds(row["mean_held_seconds"])),
    ])  # fmt: skip


def orders_table(rows: Sequence[dict[str, Any]]) -> Table:
    """How orders ended and why."""
    columns = [Column(_("Order")), Column(_("Why")), Column(_("Orders"), NUMBER)]
    cells = [
        Row([
            Cell(_side(row["side"]), pills=[(ORDER_TONES.get(row["status"], ""), row["status"])]),
            Cell(wording.sentence(row["code"]), below=wording.small_print(row["code"])),
            Cell(display.count(row["orders"])),
        ])
        for row in rows
    ]  # fmt: skip
    return Table(columns, cells, _("How orders ended"), _("No order was made."))


def filtered_table(found: dict[str, int]) -> Table | None:
    """By what alerts were let pass; None where all were ordered on."""
    rows = [Row([Cell(reason, css="mono wrap-any"), Cell(display.count(alerts))]) for reason, alerts in found.items()]
    columns = [Column(_("Condition that failed")), Column(_("Alerts"), NUMBER)]
    return Table(columns, rows, _("Alerts it left out")) if rows else None


def chance_rows(found: dict[str, Any] | None, start: int) -> list[tuple[str, str, str, str]]:
    """What could have come: (figure, 5 %, median, 95 %)."""
    if not found:
        return []
    rows = [(_("Deepest fall, other order"), *_pcts(found, "drawdown"))]
    if drawn := found["drawn"]:
        low, middle, high = (display.signed_sol(drawn[f"end_lamports_p{share}"] - start) for share in (5, 50, 95))
        rows.append((_("Result drawn, SOL"), low, middle, high))
        rows.append((_("Deepest fall, drawn"), *_pcts(drawn, "drawdown")))
        rows.append((_("Drawn results that lose"), "", display.ratio_pct(drawn["lost_share"]), ""))
    return rows


def _pcts(found: dict[str, Any], name: str) -> tuple[str, str, str]:
    low, middle, high = (display.ratio_pct(found[f"{name}_p{share}"], 2) for share in (5, 50, 95))
    return low, middle, high


def coverage_rows(found: dict[str, Any]) -> list[tuple[Title, str]]:
    """What there was and what was not known."""
    return [*_counts(found, COVERAGE), (_("their length"), display.seconds(found["gap_seconds"]))]


def recomputed_rows(found: dict[str, Any]) -> list[tuple[Title, str]]:
    """What was scored again; beside what is stored only where anything is."""
    compared = found.get("scores_stored", 0) > 0
    alone = ("rows_scored", "rows_off_curve", "scores", "alerts")
    return _counts(found, {name: title for name, title in RECOMPUTED.items() if compared or name in alone})


def _counts(found: dict[str, Any], titles: dict[str, Title]) -> list[tuple[Title, str]]:
    return [(title, display.count(found[name])) for name, title in titles.items() if name in found]


def sensitivity_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The same signals with other latencies and slippage limits."""
    columns = [
        Column(_("Latency, ms")),
        Column(_("Slippage"), NUMBER),
        Column(_("Result, SOL"), NUMBER),
        Column(_("Deepest fall"), WIDE_NUMBER),
        Column(_("Positions"), WIDE_NUMBER),
        Column(_("Won"), WIDE_NUMBER),
    ]
    cells = [
        Row([
            Cell(f"{row['latency_ms']}–{row['latency_max_ms']}"),
            Cell(display.pct(row["slippage_bps"] / 100)),
            Cell(display.signed_sol(row["pnl_lamports"]), css=display.tone(row["pnl_lamports"])),
            Cell(display.ratio_pct(row["drawdown_ratio"], 2)),
            Cell(display.count(row["closed_positions"])),
            Cell(display.ratio_pct(row["winners"] / row["closed_positions"] if row["closed_positions"] else None)),
        ])
        for row in rows
    ]  # fmt: skip
    return Table(columns, cells, _("With other latencies and slippage limits"))


# --- Before and beside ----------------------------------------------------------------------------------
def preview_facts(found: dict[str, Any]) -> dict[str, Any]:
    """What a run would have to go by."""
    return {
        "balance": display.sol(found["balance_lamports"]),
        "coverage": coverage_rows(found["coverage"]),
        "seen": [_seen(one) for one in found["overlaps_training"]],
        "has_trades": bool(found["coverage"]["trades_in_range"]),
    }


def comparison_facts(runs: Sequence[Backtest]) -> dict[str, Any]:
    """Runs of the same range beside each other."""
    found = backtest_compare.compare(runs)
    return {
        "runs": [_results(run, run.figures or {}) | run_row(run) for run in runs],
        "span": run_row(runs[0])["span"],
        "differ": [DIFFER[name] for name in found["differ"]],
        "pairs": [_pair(pair) for pair in found["pairs"]],
        "plot": backtest_plots.equities(runs),
        "pairs_plot": backtest_plots.differences(found["pairs"]),
        "legend": [f"{run.strategy_name} {run.pk}" for run in runs],
    }


def _pair(pair: dict[str, Any]) -> dict[str, Any]:
    ends = pair["interval_lamports"]
    return {
        **pair,
        "difference": display.signed_sol(pair["difference_lamports"]),
        "tone": display.tone(pair["difference_lamports"]),
        "ends": f"{display.signed_sol(ends[0])} – {display.signed_sol(ends[1])}" if ends else display.NONE,
        "sure": ends is not None and (ends[0] > 0 or ends[1] < 0),
        "known": ends is not None,
    }
