"""What people and programs may do with wallets, orders by hand, the kill switch and strategies.

Expected refusals are `PlatformError`s with a stable code.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from apps.core import live
from apps.core.errors import ConflictError, NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.core.units import LAMPORTS_PER_SOL
from apps.trading import limits, queries, strategies
from apps.trading.bookings import deposit_book
from apps.trading.denials import DENIALS
from apps.trading.models import Order, Position, Strategy, TradingState, Wallet
from apps.trading.orders import BuyIntent, SellIntent, order_buy, order_sell, wallet_locked
from apps.trading.positions import units_for_percent
from apps.trading.risk import DenyCode

MOST_LAMPORTS = 10**9 * LAMPORTS_PER_SOL
WALLET_FIELDS = frozenset(
    {
        "status",
        "tag",
        "trading_enabled",
        "transfer_enabled",
        "max_consecutive_losses",
        "max_daily_loss_bps",
        "max_position_lamports",
        "max_open_positions",
        "max_trade_lamports",
        "max_day_lamports",
        "max_total_lamports",
        "max_transfer_lamports",
        "max_transfer_day_lamports",
        "virtual_loss_percent",
        "consecutive_losses",
        *limits.OF_WALLETS,
    }
)
STRATEGY_FIELDS = frozenset(
    {
        "active_model_ids",
        "min_probability",
        "stake_lamports",
        "slippage_bps",
        "stop_loss_bps",
        "take_profit_bps",
        "timeout_seconds",
        "conditions",
        "sizing",
        "exits",
    }
)


def feed_now() -> datetime:
    """The feed's present; the wall clock before the first frame."""
    return queries.feed_at() or timezone.now()


def changed() -> None:
    """Tell the browsers, once it is committed."""
    for topic in ("trading", "dashboard"):
        transaction.on_commit(lambda topic=topic: live.publish(topic))  # type: ignore[misc]


def wallet_get(*, alias: str) -> Wallet:
    """The wallet called `alias`. Raises WALLET_NOT_FOUND."""
    wallet = Wallet.objects.filter(alias=alias).first()
    if wallet is None:
        raise NotFoundError(
            "WALLET_NOT_FOUND", worded("There is no wallet called %(alias)s.", alias=alias), alias=alias
        )
    return wallet


def _require_test(wallet: Wallet) -> None:
    if wallet.wallet_type != Wallet.Type.TEST:
        raise ConflictError("REAL_TRADING_LOCKED", DENIALS[DenyCode.REAL_TRADING_LOCKED])


def require_amount(lamports: int) -> None:
    """Raises AMOUNT_OUT_OF_RANGE."""
    if not 0 < lamports <= MOST_LAMPORTS:
        raise PlatformError("AMOUNT_OUT_OF_RANGE", "Give an amount above 0 and below a billion SOL.", lamports=lamports)


def _require_fields(changes: dict[str, Any], allowed: frozenset[str]) -> None:
    if unknown := sorted(set(changes) - allowed):
        raise PlatformError("FIELD_NOT_CHANGEABLE", "These fields cannot be changed here.", fields=unknown)


def wallet_create(*, alias: str, wallet_type: str = "TEST", balance_lamports: int = 0, **fields: Any) -> Wallet:
    """A new test wallet with virtual SOL. Raises REAL_TRADING_LOCKED, ALIAS_TAKEN, AMOUNT_OUT_OF_RANGE."""
    if wallet_type != Wallet.Type.TEST:
        raise ConflictError("REAL_TRADING_LOCKED", DENIALS[DenyCode.REAL_TRADING_LOCKED])
    _require_fields(fields, WALLET_FIELDS)
    if balance_lamports:
        require_amount(balance_lamports)
    wallet = Wallet(
        alias=alias,
        wallet_type=wallet_type,
        virtual_balance_lamports=balance_lamports,
        deposited_lamports=balance_lamports,
        **fields,
    )
    try:
        with transaction.atomic():
            wallet.save(force_insert=True)
            if balance_lamports:
                limits.capital_moved(wallet, balance_lamports)
                deposit_book(wallet, balance_lamports, feed_now())
    except IntegrityError as error:
        raise ConflictError(
            "ALIAS_TAKEN", worded("There is a wallet called %(alias)s already.", alias=alias), alias=alias
        ) from error
    changed()
    return wallet


@transaction.atomic
def wallet_update(*, alias: str, **changes: Any) -> Wallet:
    """Change switches and limits of a wallet. Raises WALLET_NOT_FOUND, FIELD_NOT_CHANGEABLE, LIMIT_OUT_OF_RANGE."""
    _require_fields(changes, WALLET_FIELDS)
    if not 0 <= changes.get("virtual_loss_percent", 0) <= 50:
        raise PlatformError("VIRTUAL_LOSS_OUT_OF_RANGE", "Choose a virtual loss between 0 and 50 percent.")
    limits.require_limits(changes)
    wallet = wallet_locked(wallet_get(alias=alias).pk)
    for name, value in changes.items():
        setattr(wallet, name, value)
    wallet.save(update_fields=list(changes))
    changed()
    return wallet


def wallet_toggle_trading(*, alias: str) -> Wallet:
    """Switch trading of a wallet on or off, whichever it is not."""
    with transaction.atomic():
        wallet = wallet_locked(wallet_get(alias=alias).pk)
        return wallet_update(alias=alias, trading_enabled=not wallet.trading_enabled)


def wallet_toggle_transfer(*, alias: str) -> Wallet:
    """Switch transfers of a wallet on or off, whichever it is not."""
    with transaction.atomic():
        wallet = wallet_locked(wallet_get(alias=alias).pk)
        return wallet_update(alias=alias, transfer_enabled=not wallet.transfer_enabled)


def wallet_delete(*, alias: str) -> None:
    """Remove a wallet that was never used. Raises WALLET_IN_USE for one with orders, transfers or strategies."""
    try:
        with transaction.atomic():
            found = Wallet.objects.select_for_update().filter(alias=alias).first()  # after the orders being made
            (found or wallet_get(alias=alias)).delete()
    except ProtectedError as error:
        message = _("The wallet has a history or a strategy, which is kept: set its status to FROZEN instead.")
        raise ConflictError("WALLET_IN_USE", message, alias=alias) from error
    changed()


def cash_move(wallet: Wallet, lamports: int) -> None:
    """Change a locked wallet's cash by a deposit or transfer; this is neither a gain nor a loss of its day."""
    wallet.cash_lamports += lamports
    if wallet.day_start_equity_lamports is not None:
        wallet.day_start_equity_lamports += lamports
    limits.capital_moved(wallet, lamports)
    wallet.save(
        update_fields=[wallet.cash_field, "day_start_equity_lamports", "deposited_lamports", "peak_equity_lamports"]
    )
    if lamports > 0:
        waiting = Position.objects.filter(wallet=wallet, blocked_code=DenyCode.INSUFFICIENT_BALANCE)
        waiting.update(blocked_code="")


@transaction.atomic
def wallet_add_balance(*, alias: str, lamports: int) -> Wallet:
    """Put virtual SOL into a test wallet. Raises REAL_TRADING_LOCKED, AMOUNT_OUT_OF_RANGE."""
    require_amount(lamports)
    wallet = wallet_locked(wallet_get(alias=alias).pk)
    _require_test(wallet)
    require_amount(wallet.virtual_balance_lamports + lamports)
    wallet.deposited_lamports += lamports
    cash_move(wallet, lamports)
    deposit_book(wallet, lamports, feed_now())
    changed()
    return wallet


def moment_manual() -> datetime:
    """The feed time at which people decide. Raises FEED_NOT_READY."""
    at = queries.feed_at()
    if at is None:
        raise ConflictError("FEED_NOT_READY", "Nothing has come from the feed yet: start the stream first.")
    return at


def _manual_key(alias: str, key: str | None) -> str:
    return f"manual:{alias}:{key or uuid.uuid4().hex}"[:150]


def _require_same_order(order: Order, **asked: object) -> Order:
    """The order a key named before, unless it was for something else; what it does not know of itself (None, a sale
    older than `percent`) or was not asked for counts as the same."""
    known = {name: getattr(order, name) for name in asked}
    if any(value is not None and known[name] not in (None, value) for name, value in asked.items()):
        message = _("This idempotency key was used for another order: choose a new one.")
        raise ConflictError("IDEMPOTENCY_KEY_USED", message, order_id=order.pk)
    return order


def _require_slippage(slippage_bps: int | None) -> int:
    slippage = settings.DEFAULT_SLIPPAGE_BPS if slippage_bps is None else slippage_bps
    if not 0 <= slippage <= 10_000:
        raise PlatformError("SLIPPAGE_OUT_OF_RANGE", "Choose a slippage limit between 0 and 10000 basis points.")
    return slippage


def _raise_denied(order: Order) -> Order:
    if order.status == Order.Status.DENIED:
        message = DENIALS.get(DenyCode(order.deny_code), "The order was denied.")
        raise ConflictError(order.deny_code, message, order_id=order.pk)
    return order


def buy_manual(
    *, alias: str, mint: str, lamports: int, slippage_bps: int | None = None, idempotency_key: str | None = None
) -> Order:
    """Order a buy for `lamports` (curve fees included); it is executed after the latency. Adds to a held position.

    The same `idempotency_key` gives the same order again. Raises ConflictError with the code of a denial, which is
    stored as an order too, or IDEMPOTENCY_KEY_USED.
    """
    require_amount(lamports)
    intent = BuyIntent(
        key=_manual_key(alias, idempotency_key),
        wallet_id=wallet_get(alias=alias).pk,
        mint=mint,
        lamports=lamports,
        slippage_bps=_require_slippage(slippage_bps),
        decided_at=moment_manual(),
        may_add=True,
    )
    order = order_buy(intent=intent, feed_age_seconds=queries.feed_age_seconds())
    return _raise_denied(
        _require_same_order(order, side="buy", mint=mint, lamports=lamports, slippage_bps=slippage_bps)
    )


def sell_manual(
    *,
    alias: str,
    mint: str,
    percent: float = 100.0,
    slippage_bps: int | None = None,
    idempotency_key: str | None = None,
) -> Order:
    """Order the sale of `percent` of what a wallet holds of a coin; it is executed after the latency.

    The same `idempotency_key` gives the same order again, also when nothing is held any more; for another coin, share
    or slippage limit it is refused. Raises ConflictError with the code of a denial, or IDEMPOTENCY_KEY_USED.
    """
    wallet, key = wallet_get(alias=alias), _manual_key(alias, idempotency_key)
    asked = {"side": "sell", "mint": mint, "percent": percent, "slippage_bps": slippage_bps}
    if made := Order.objects.select_related("wallet", "strategy").filter(idempotency_key=key).first():
        return _raise_denied(_require_same_order(made, **asked))
    position = queries.positions_open(wallet=wallet, mint=mint).first()
    if position is None:
        raise NotFoundError("POSITION_NOT_FOUND", "The wallet does not hold this coin.", alias=alias, mint=mint)
    if not 0 < percent <= 100:
        raise PlatformError("PERCENT_OUT_OF_RANGE", "Choose more than 0 and at most 100 percent.", percent=percent)
    intent = SellIntent(
        key=key,
        position_id=position.pk,
        base_units=units_for_percent(position.quantity_base_units, percent),
        slippage_bps=_require_slippage(slippage_bps),
        decided_at=moment_manual(),
        reason=Position.ExitReason.MANUAL,
        percent=percent,
    )
    return _raise_denied(_require_same_order(order_sell(intent=intent), **asked))


def sell_all(*, alias: str | None = None, slippage_bps: int | None = None) -> list[Order]:
    """Order the sale of every open position (of one wallet, or of all test wallets), SUBMITTED or DENIED each."""
    filters = {"wallet__wallet_type": Wallet.Type.TEST} if alias is None else {"wallet": wallet_get(alias=alias)}
    moment, slippage = moment_manual(), _require_slippage(slippage_bps)
    return [
        order_sell(
            intent=SellIntent(
                key=_manual_key(position.wallet.alias, None),
                position_id=position.pk,
                base_units=position.quantity_base_units,
                slippage_bps=slippage,
                decided_at=moment,
                reason=Position.ExitReason.MANUAL,
            )
        )
        for position in queries.positions_open(**filters)
    ]


def trading_state_set(*, state: str, reason: str = "") -> TradingState:
    """Turn the kill switch. Waits for the orders being made at this moment; the next ones obey."""
    if state not in TradingState.State.values:
        raise PlatformError("STATE_UNKNOWN", "Choose ACTIVE, REDUCING or HALTED.", state=state)
    row, _ = TradingState.objects.update_or_create(id=1, defaults={"state": state, "reason": reason[:200]})
    changed()
    return row


def strategy_create(
    *, name: str, wallet_alias: str, stake_lamports: int, is_active: bool = True, **columns: Any
) -> Strategy:
    """A new strategy with a fixed stake by its columns; see `strategies.strategy_make`, whose errors it raises."""
    _require_fields(columns, STRATEGY_FIELDS)
    require_amount(stake_lamports)
    definition = strategies.flat(Strategy(stake_lamports=stake_lamports), columns)
    return strategies.strategy_make(name=name, wallet_alias=wallet_alias, definition=definition, is_active=is_active)


def demo_setup() -> Strategy:
    """The demo's wallet (10 virtual SOL) and its strategy, where they are missing."""
    if not Wallet.objects.filter(alias="demo").exists():
        wallet_create(alias="demo", balance_lamports=10 * LAMPORTS_PER_SOL, tag="demo", max_consecutive_losses=25)
    existing = Strategy.objects.filter(name="demo").first()
    return existing or strategies.strategy_make(
        name="demo", wallet_alias="demo", definition=strategies.demo_definition()
    )
