"""What the pages about real money show: what is live, transfers, addresses, the chain, paper against live."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from apps.core import display
from apps.core.htmx import page_of
from apps.core.tables import NUMBER, WIDE, WIDE_NUMBER, Cell, Column, Row, Table
from apps.trading import comparison, fee_account, unlocking, wording
from apps.trading.comparison import Pair, Summary
from apps.trading.models import (
    ChainCheck,
    Difference,
    Order,
    RealUnlock,
    SavedAddress,
    TransferLog,
    VenueFeeAccount,
    Wallet,
)
from apps.trading.pages import symbols

TRANSFER_TONES = {"SUCCESS": "good", "SUBMITTED": "wait", "UNKNOWN": "wait", "FAILED": "bad", "EXPIRED": "bad"}


# --- What is live --------------------------------------------------------------------------------------
def real_live(request: HttpRequest) -> dict[str, Any]:
    """Context processor: what is live, for the red line of every page, and what differs from the chain.

    The chain moves also while nothing real is sent from here, so differences are shown in any case.
    """
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    return {
        "real_live": SimpleLazyObject(lambda: [live_row(row) for row in unlocking.unlocks_live(timezone.now())]),
        "chain_differs": SimpleLazyObject(lambda: Difference.objects.filter(ended_at=None).count()),
    }


def live_row(row: RealUnlock) -> dict[str, str]:
    """An unlocked wallet with its caps, in SOL."""
    return {
        "alias": row.wallet.alias,
        "until": display.clock(row.expires_at),
        "trade": display.sol(row.wallet.max_trade_lamports),
        "day": display.sol(row.wallet.max_day_lamports),
        "total": display.sol(row.wallet.max_total_lamports),
        "transfer": display.sol(row.wallet.max_transfer_day_lamports),
    }


def caps_labels() -> dict[str, str]:
    """The caps with their names."""
    return {
        "max_trade_lamports": _("Most of one buy"),
        "max_day_lamports": _("Most of a day's buys"),
        "max_total_lamports": _("Most of all buys"),
        "max_transfer_lamports": _("Most of one transfer"),
        "max_transfer_day_lamports": _("Most transfers in 24 hours"),
    }


def real_wallets(now: datetime) -> list[dict[str, Any]]:
    """Every real wallet: its caps, whether it is unlocked, and what is missing for it."""
    names = caps_labels()
    rows = []
    for wallet in Wallet.objects.filter(wallet_type="REAL").order_by("alias"):
        unlock = unlocking.unlock_of(wallet, now)
        caps = unlocking.caps_of(wallet)
        rows.append(
            {
                "alias": wallet.alias,
                "address": wallet.address,
                "balance": display.sol(wallet.real_balance_lamports),
                "until": display.moment(unlock.expires_at) if unlock else "",
                "caps": [(names[name], display.sol(cap) if cap else display.NONE) for name, cap in caps.items()],
                "seen": unlocking.caps_text(wallet),
                "missing": [names[name] for name in unlocking.CAPS if not caps[name]],
            }
        )
    return rows


def fee_shown() -> dict[str, Any]:
    """The account that PumpPortal's fee goes to, and who named it."""
    return {
        "is_set": bool(settings.PUMPPORTAL_FEE_ACCOUNTS),
        "noted": VenueFeeAccount.objects.first(),
        "accounts": fee_account.known(),
    }


def unlocks_table() -> Table:
    """Who unlocked what, newest first."""
    columns = [Column(_("When")), Column(_("Wallet")), Column(_("By")), Column(_("Until"), WIDE), Column(_("Ended"))]
    rows = [_unlock_cells(row) for row in RealUnlock.objects.select_related("wallet")[:50]]
    return Table(columns, rows, _("Unlockings"), _("No wallet was ever unlocked."), "", "shield")


def _unlock_cells(row: RealUnlock) -> Row:
    caps = ", ".join(f"{display.sol(cap)}" for cap in row.caps.values())
    ended = f"{display.moment(row.ended_at)} · {row.ended_by}" if row.ended_at else display.NONE
    return Row(
        [
            Cell(display.moment(row.unlocked_at)),
            Cell(row.wallet.alias, below=caps),
            Cell(row.username),
            Cell(display.moment(row.expires_at)),
            Cell(ended),
        ],
        f"unlock-{row.pk}",
    )


# --- Transfers and addresses ---------------------------------------------------------------------------
def transfers_table(request: HttpRequest) -> tuple[Table, Any]:
    """Transfers, newest first, and the page of them."""
    columns = [
        Column(_("Time")),
        Column(_("From")),
        Column(_("To"), WIDE),
        Column(_("SOL"), NUMBER),
        Column(_("State")),
    ]
    page = page_of(request, TransferLog.objects.select_related("wallet", "to_wallet").order_by("-at", "-id"))
    rows = [_transfer_cells(row) for row in page.items]
    return Table(columns, rows, "", _("No transfer yet."), "", "send"), page


def _transfer_cells(row: TransferLog) -> Row:
    kind = [] if row.is_simulation else [("bad", _("real"))]
    tone = TRANSFER_TONES[row.status]
    return Row(
        [
            Cell(display.clock(row.at)),
            Cell(row.wallet.alias, pills=kind),
            Cell(
                row.to_wallet.alias if row.to_wallet else display.mint_short(row.to_address), below=row.signature or ""
            ),
            Cell(display.sol(row.lamports)),
            Cell("", pills=[(tone, row.status)], note=wording.sentence(row.code), below=wording.small_print(row.code)),
        ],
        f"transfer-{row.pk}",
    )


def addresses_rows(now: datetime) -> list[dict[str, str]]:
    """The address book; `waits` says from when on a new address may be used."""
    rows = SavedAddress.objects.filter(removed_at=None).order_by("name", "id")
    return [
        {
            "name": row.name,
            "address": row.address,
            "note": row.note,
            "added": f"{display.moment(row.added_at)} · {row.added_by}",
            "waits": display.moment(row.usable_at) if row.usable_at > now else "",
        }
        for row in rows
    ]


# --- The chain -----------------------------------------------------------------------------------------
def differences_rows() -> list[dict[str, Any]]:
    """What differs from the chain now."""
    rows = list(Difference.objects.filter(ended_at=None).select_related("wallet"))
    names = symbols({row.mint for row in rows if row.mint})
    return [_difference_row(row, names) for row in rows]


def _difference_row(row: Difference, names: dict[str, str]) -> dict[str, Any]:
    shown = display.sol if row.kind == Difference.Kind.BALANCE else display.tokens
    digits = {"digits": 9} if row.kind == Difference.Kind.BALANCE else {}
    return {
        "id": row.pk,
        "wallet": row.wallet.alias,
        "what": "SOL" if not row.mint else names[row.mint],
        "mint": row.mint,
        "booked": shown(row.booked, **digits),
        "chain": shown(row.on_chain, **digits),
        "since": display.moment(row.first_seen_at),
        "seen": display.clock(row.seen_at),
    }


def checks_table() -> Table:
    """When each real wallet was last compared."""
    columns = [Column(_("Wallet")), Column(_("Compared")), Column(_("On the chain, SOL"), NUMBER), Column(_("Trouble"))]
    checks = ChainCheck.objects.select_related("wallet").order_by("wallet__alias")
    rows = [
        Row(
            [
                Cell(row.wallet.alias),
                Cell(display.moment(row.checked_at)),
                Cell(display.sol(row.balance_lamports)),
                Cell(row.error or display.NONE, css="wrap-any"),
            ]
        )
        for row in checks
    ]
    empty = _("Nothing was compared yet: there is no real wallet, or the worker has not come to it.")
    return Table(columns, rows, _("Comparisons with the chain"), empty, "", "layers")


# --- Paper against live --------------------------------------------------------------------------------
def pairs_table(orders: QuerySet[Order] | list[Order]) -> Table:
    """Real orders beside their shadows."""
    columns = [
        Column(_("Decided")),
        Column(_("Coin")),
        Column(_("Live")),
        Column(_("Paper")),
        Column(_("Price, worse by"), NUMBER),
        Column(_("Fees live, SOL"), WIDE_NUMBER),
        Column(_("Fees paper, SOL"), WIDE_NUMBER),
        Column(_("Seconds live"), WIDE_NUMBER),
        Column(_("Seconds paper"), WIDE_NUMBER),
    ]
    names = symbols({order.mint for order in orders})
    rows = [_pair_cells(comparison.pair_of(order), names) for order in orders]
    hint = _("Each order of a real wallet gets a shadow on paper once it has ended.")
    return Table(columns, rows, "", _("No real order has ended yet."), hint, "scale")


def _pair_cells(pair: Pair, names: dict[str, str]) -> Row:
    order = pair.order
    return Row(
        [
            Cell(display.clock(order.decided_at)),
            Cell(names[order.mint], href=reverse("discovery:coin", args=[order.mint]), note=order.side),
            _outcome(pair.real_status, pair.real_code),
            _outcome(pair.paper_status, pair.paper_code),
            Cell(bps(pair.price_bps), css=display.tone(-pair.price_bps) if pair.price_bps else ""),
            Cell(display.sol(pair.real_fees, 6)),
            Cell(display.sol(pair.paper_fees, 6)),
            Cell(display.number(pair.real_seconds, 1)),
            Cell(display.number(pair.paper_seconds, 1)),
        ],
        f"pair-{order.pk}",
    )


def _outcome(status: str, code: str) -> Cell:
    filled = status == "SUCCESS"
    pills = [("good" if filled else "bad", _("filled") if filled else _("failed"))]
    return Cell("", pills=pills, note=wording.sentence(code), below=wording.small_print(code))


def bps(value: float | None) -> str:
    """Basis points as percent with their sign."""
    return display.signed_pct(None if value is None else value / 100, 2)


def summary_row(summary: Summary) -> dict[str, Any]:
    """The tiles above the pairs."""
    return {
        "pairs": display.count(summary.pairs),
        "both": display.count(summary.both_filled),
        "only_real": display.count(summary.only_real),
        "only_paper": display.count(summary.only_paper),
        "neither": display.count(summary.neither),
        "price": bps(summary.median_price_bps),
        "price_tone": display.tone(-summary.median_price_bps) if summary.median_price_bps else "",
        "worst": bps(summary.worst_price_bps),
        "real_fees": display.sol(summary.real_fees, 6),
        "paper_fees": display.sol(summary.paper_fees, 6),
        "real_seconds": display.number(summary.median_real_seconds, 1),
        "paper_seconds": display.number(summary.median_paper_seconds, 1),
    }
