"""What the trading pages show: rows of the database turned into ready texts."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core import display
from apps.core.htmx import Page, page_of
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.discovery.models import Coin
from apps.discovery.pages_list import feed_time
from apps.trading import figures, queries, wording
from apps.trading.exit_levels import exit_levels
from apps.trading.levels import levels_of
from apps.trading.models import Order, Position, TradeLog, Wallet
from apps.trading.valuation import Valued, equity_lamports, positions_valued

ORDER_TONES = {
    "FILLED": "good",
    "SUBMITTED": "wait",
    "DENIED": "",
    "REJECTED": "bad",
    "EXPIRED": "bad",
    "UNKNOWN": "bad",
}


def summary() -> dict[str, Any]:
    """The overview: money, results by day and exit, costs, how orders ended."""
    stats = figures.stats(feed_time())
    closed = stats.closed_positions
    return {
        "state": stats.trading_state,
        "equity": display.sol(stats.equity_lamports),
        "equity_lamports": stats.equity_lamports,
        "cash": display.sol(stats.cash_lamports),
        "held": display.sol(stats.positions_lamports),
        "unrealized": display.signed_sol(stats.unrealized_pnl_lamports),
        "unrealized_tone": display.tone(stats.unrealized_pnl_lamports),
        "realized": display.signed_sol(stats.realized_pnl_lamports),
        "realized_tone": display.tone(stats.realized_pnl_lamports),
        "today": display.signed_sol(stats.realized_today_lamports),
        "today_tone": display.tone(stats.realized_today_lamports),
        "open": display.count(stats.open_positions),
        "in_flight": display.count(stats.orders_in_flight),
        "won": display.ratio_pct(stats.winners / closed if closed else None),
        "closed": display.count(closed),
        "by_day": [result_row(row["day"].isoformat(), row) for row in figures.pnl_by_day(14)],
        "by_exit": [result_row(_exit_name(row), row) for row in figures.pnl_by_exit()],
        "costs": [(label, display.sol(lamports, 5)) for label, lamports in cost_labels(figures.costs_by_part())],
        "codes": [_ending_row(row) for row in figures.orders_by_code()],
    }


def _exit_name(row: dict[str, Any]) -> str:
    return wording.sentence(row["exit_reason"]) or display.NONE


def _ending_row(row: dict[str, Any]) -> dict[str, str]:
    code = row["code"]
    why = {"why": wording.sentence(code), "code": wording.small_print(code)}
    return {"status": row["status"], "orders": display.count(row["orders"]), **why}


def result_row(title: str, row: dict[str, Any]) -> dict[str, str]:
    gain = int(row["realized_pnl_lamports"] or 0)
    return {
        "title": title,
        "count": display.count(row["positions"]),
        "gain": display.signed_sol(gain),
        "tone": display.tone(gain),
    }


def cost_labels(parts: dict[str, int]) -> list[tuple[str, int]]:
    """The parts of the costs with their names."""
    names = {
        "protocol_fee": _("Protocol fee"),
        "creator_fee": _("Creator fee"),
        "venue_fee": _("PumpPortal fee"),
        "network_fee": _("Network fee"),
        "tip": _("Tip"),
        "rent": _("Rent of token accounts"),
        "virtual_loss": _("Extra test loss"),
    }
    return [(names[part], lamports) for part, lamports in parts.items()]


# --- Wallets -------------------------------------------------------------------------------------------
def wallet_rows() -> list[dict[str, Any]]:
    now = feed_time()
    done = {row["alias"]: row for row in figures.wallet_performance()}
    return [wallet_row(wallet, now, done[wallet.alias]) for wallet in Wallet.objects.order_by("alias")[:100]]


def wallet_row(wallet: Wallet, now: datetime, done: dict[str, Any]) -> dict[str, Any]:
    gain, closed = done["realized_pnl_lamports"], done["closed_positions"]
    return {
        "alias": wallet.alias,
        "type": wallet.wallet_type,
        "status": wallet.get_status_display(),
        "trading": wallet.trading_enabled,
        "transfer": wallet.transfer_enabled,
        "balance": display.sol(wallet.cash_lamports),
        "equity": display.sol(equity_lamports(wallet, now)),
        "open": done["open_positions"],
        "closed": closed,
        "won": display.ratio_pct(done["winners"] / closed if closed else None),
        "gain": display.signed_sol(gain),
        "tone": display.tone(gain),
        "best": display.signed_sol(done["best_lamports"]),
        "worst": display.signed_sol(done["worst_lamports"]),
        "losses": wallet.consecutive_losses,
        "factor": display.number(done["profit_factor"]),
        "fall": display.sol(done["max_drawdown_lamports"]),
        "fees": display.sol(done["fees_lamports"]),
        "trades": display.count(done["trades"]),
        "failures": display.count(done["failures"]),
        "held": display.seconds(done["average_held_seconds"]),
    }


def wallet_shown(wallet: Wallet) -> dict[str, Any]:
    """One wallet with what it has and what it made."""
    done = next(row for row in figures.wallet_performance() if row["wallet_id"] == wallet.pk)
    return wallet_row(wallet, feed_time(), done)


def exits_table(wallet: Wallet) -> Table:
    """Closed positions by the reason for which they were left."""
    columns = [
        Column(_("Left for")),
        Column(_("Positions"), NUMBER),
        Column(_("Won"), NUMBER),
        Column(_("Realized"), NUMBER),
        Column(_("Average"), WIDE_NUMBER),
        Column(_("Held"), WIDE_NUMBER),
    ]
    rows = [_exit_cells(row) for row in figures.wallet_exits(wallet)]
    return Table(columns, rows, _("By exit"), _("No position was closed yet."), "", "log-out")


def _exit_cells(row: dict[str, Any]) -> Row:
    gain = row["realized_pnl_lamports"]
    return Row(
        [
            Cell(_exit_name(row)),
            Cell(display.count(row["positions"])),
            Cell(display.ratio_pct(row["winners"] / row["positions"])),
            Cell(display.signed_sol(gain), css=display.tone(gain)),
            Cell(display.signed_sol(round(row["average_pnl_lamports"]))),
            Cell(display.seconds(row["average_held_seconds"])),
        ]
    )


def wallets_table() -> Table:
    """All wallets with what they have and what they made."""
    columns = [
        Column(_("Wallet")),
        Column(_("State")),
        Column(_("Free, SOL"), NUMBER),
        Column(_("Equity, SOL"), NUMBER),
        Column(_("Open"), WIDE_NUMBER),
        Column(_("Closed"), WIDE_NUMBER),
        Column(_("Won"), WIDE_NUMBER),
        Column(_("Realized"), NUMBER),
    ]
    rows = [_wallet_cells(row) for row in wallet_rows()]
    hint = _("Make a test wallet with virtual SOL.")
    return Table(columns, rows, "", _("No wallet yet."), hint, "wallet")


def _wallet_cells(row: dict[str, Any]) -> Row:
    kind = ("bad" if row["type"] == "REAL" else "info", row["type"])
    return Row(
        [
            Cell(row["alias"], href=reverse("trading:wallet", args=[row["alias"]]), pills=[kind]),
            Cell(row["status"], pills=() if row["trading"] else [("wait", _("trading off"))]),
            Cell(row["balance"]),
            Cell(row["equity"]),
            Cell(display.count(row["open"])),
            Cell(display.count(row["closed"])),
            Cell(row["won"]),
            Cell(row["gain"], css=row["tone"]),
        ],
        f"wallet-{row['alias']}",
    )


# --- Positions, orders, trades, transfers ----------------------------------------------------------------
def symbols(mints: set[str]) -> dict[str, str]:
    """The symbols of some coins, the shortened mint where there is none."""
    known = dict(Coin.objects.filter(pk__in=mints).values_list("mint", "symbol"))
    return {mint: known.get(mint, "").strip() or display.mint_short(mint) for mint in mints}


def open_rows(wallet: Wallet | None = None) -> list[dict[str, Any]]:
    """Open positions at the sell quote of now, with their exits."""
    filters = {"wallet": wallet} if wallet else {}
    now = feed_time()
    valued = positions_valued(list(queries.positions_open(**filters)[:100]), now)
    names = symbols({one.position.mint for one in valued})
    return [open_row(one, now, names) for one in valued]


def open_row(valued: Valued, now: datetime, names: dict[str, str]) -> dict[str, Any]:
    position, gain = valued.position, valued.unrealized_pnl_lamports
    return {
        "id": position.pk,
        "mint": position.mint,
        "symbol": names[position.mint],
        "wallet": position.wallet.alias,
        "tokens": display.tokens(position.quantity_base_units),
        "cost": display.sol(valued.cost_lamports),
        "value": display.sol(valued.value_lamports),
        "gain": display.signed_sol(gain),
        "gain_value": gain,
        "pct": display.signed_pct(gain / valued.cost_lamports * 100 if valued.cost_lamports else None),
        "tone": display.tone(gain),
        "entry": display.price(position.entry_price_sol),
        "price": display.price(valued.price_sol),
        "exits": exit_rows(valued),
        "left": display.seconds((position.timeout_at - now).total_seconds()) if position.timeout_at else display.NONE,
        "blocked": wording.sentence(position.blocked_code),
        "blocked_code": wording.small_print(position.blocked_code),
    }


def exit_rows(valued: Valued) -> list[tuple[str, str, str]]:
    """(name, level, distance) of each exit that the price can reach."""
    names = {"STOP_LOSS": _("Stop"), "TRAILING_STOP": _("Trail"), "LADDER": _("Rung"), "TAKE_PROFIT": _("Target")}
    net_return = valued.unrealized_pnl_lamports / valued.cost_lamports if valued.cost_lamports else 0.0
    found = exit_levels(
        levels_of(valued.position),
        net_return=net_return,
        price_sol=valued.price_sol,
        peak_sol=valued.position.peak_price_sol or 0.0,
    )
    return [
        (
            names[one.name],
            display.price(one.level) if one.name == "TRAILING_STOP" else display.signed_pct(one.level * 100),
            display.pct(max(0.0, one.distance) * 100),
        )
        for one in found
    ]


def closed_page(request: HttpRequest) -> Page:
    rows = Position.objects.filter(status="CLOSED").select_related("wallet").order_by("-closed_at", "-id")
    page = page_of(request, rows)
    names = symbols({position.mint for position in page.items})
    return Page([closed_row(position, names) for position in page.items], page.count, page.number)


def closed_row(position: Position, names: dict[str, str]) -> dict[str, Any]:
    gain = position.realized_pnl_lamports
    held = (position.closed_at - position.opened_at).total_seconds() if position.closed_at else None
    return {
        "id": position.pk,
        "mint": position.mint,
        "symbol": names[position.mint],
        "wallet": position.wallet.alias,
        "closed": display.clock(position.closed_at),
        "held": display.seconds(held),
        "cost": display.sol(position.cost_lamports),
        "gain": display.signed_sol(gain),
        "pct": display.signed_pct(gain / position.cost_lamports * 100 if position.cost_lamports else None),
        "tone": display.tone(gain),
        "reason": wording.sentence(position.exit_reason),
    }


def orders_page(request: HttpRequest) -> Page:
    rows = Order.objects.select_related("wallet", "trade").order_by("-decided_at", "-id")
    if status := request.GET.get("status", "").replace("\0", ""):
        rows = rows.filter(status=status)
    if mint := request.GET.get("mint", "").strip().replace("\0", ""):
        rows = rows.filter(mint=mint)
    page = page_of(request, rows)
    names = symbols({order.mint for order in page.items})
    return Page([order_row(order, names) for order in page.items], page.count, page.number)


def order_row(order: Order, names: dict[str, str]) -> dict[str, Any]:
    trade: TradeLog | None = getattr(order, "trade", None)
    code = order.deny_code or order.exit_reason or (trade.code if trade else "")
    return {
        "id": order.pk,
        "mint": order.mint,
        "symbol": names[order.mint],
        "wallet": order.wallet.alias,
        "side": _("buy") if order.side == "buy" else _("sell"),
        "side_tone": "up" if order.side == "buy" else "down",
        "status": order.status,
        "tone": ORDER_TONES.get(order.status, ""),
        "why": wording.sentence(code),
        "code": wording.small_print(code),
        "at": display.clock(order.decided_at),
        "change": display.signed_sol(trade.balance_change_lamports, 5) if trade else display.NONE,
        "fees": display.sol(fees_of(trade), 5) if trade else display.NONE,
        "price": display.price(trade.price_sol) if trade else display.NONE,
        "impact": bps(trade.price_impact_bps) if trade else display.NONE,
        "slippage": bps(trade.slippage_bps) if trade else display.NONE,
    }


def fees_of(trade: TradeLog) -> int:
    """All that a trade cost beside the curve (rent, which comes back, left out)."""
    return (
        trade.protocol_fee_lamports
        + trade.creator_fee_lamports
        + trade.venue_fee_lamports
        + trade.network_fee_lamports
        + trade.tip_lamports
        + trade.virtual_loss_lamports
    )


def bps(value: int | None) -> str:
    return display.NONE if value is None else display.signed_pct(value / 100, 2)
