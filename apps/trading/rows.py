"""The rows that the trader reads and writes with every alert, by prepared statements (`apps.core.prepared`).

All of it could be said through the ORM, as in `queries`; here it is said once for each connection.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from apps.core.errors import NotFoundError
from apps.core.prepared import Records, ahead, execute, fetch
from apps.discovery.models import StreamState
from apps.predictions.models import AlertEvaluation
from apps.trading.fills import Standing
from apps.trading.models import (
    LedgerEntry,
    Order,
    Position,
    RiskLimits,
    Strategy,
    TradeLog,
    TraderProgress,
    TradingState,
    Wallet,
)

ALERTS, STREAMS, PROGRESS = Records(AlertEvaluation), Records(StreamState), Records(TraderProgress)
STRATEGIES, WALLETS, LIMITS = Records(Strategy), Records(Wallet), Records(RiskLimits)
ORDERS, POSITIONS, TRADES, LEDGER = Records(Order), Records(Position), Records(TradeLog), Records(LedgerEntry)

BY_ID = "WHERE id = %(id)s"
LOCKED = f"{BY_ID} FOR UPDATE"
OF_KEY = "WHERE idempotency_key = %(key)s"
HELD = "WHERE wallet_id = %(wallet)s AND mint = %(mint)s AND status = 'OPEN' FOR UPDATE"

# --- A round --------------------------------------------------------------------------------------------
AT_WORK = """
WHERE is_active OR id IN (SELECT strategy_id FROM positions
                          WHERE status = 'OPEN' AND rules #> '{exit_model_ids,0}' IS NOT NULL)
ORDER BY name
"""


def strategies_at_work() -> list[Strategy]:
    """Those that alerts can move, by name: the active ones, and resting ones that hold what a model may say sell of."""
    return STRATEGIES.select(AT_WORK, {})


def strategy_locked(strategy_id: int) -> Strategy:
    """The strategy, nobody else's until the transaction ends. Raises Strategy.DoesNotExist."""
    found = STRATEGIES.first("WHERE id = %(id)s FOR NO KEY UPDATE", {"id": strategy_id})
    if found is None:
        raise Strategy.DoesNotExist(strategy_id)
    return found


ONE = "WHERE id = 1"
# Bounded in time, or each round would plan for every day there is: 0.1 s with a year of them.
AFTER = "WHERE alert_id > %(after)s AND as_of > %(since)s ORDER BY alert_id LIMIT %(limit)s"


def news(after: int | None, since: datetime, limit: int) -> tuple[list[AlertEvaluation], StreamState | None]:
    """The alerts after this one (None: nobody wants any) on what was known after `since`, in the order of their commit,
    and what the stream says of itself, read after them: so it covers the moment each of them was made."""
    if after is None:
        return [], stream_state()
    asked = {"after": after, "since": since, "limit": limit}
    with ahead(ALERTS.asked(AFTER, asked), STREAMS.asked(ONE, {})):
        return ALERTS.select(AFTER, asked), stream_state()


def stream_state() -> StreamState | None:
    """What the stream says of itself; None before its first start."""
    return STREAMS.first(ONE, {})


def progress() -> tuple[datetime | None, int]:
    """How far the trader has come."""
    found = PROGRESS.first(ONE, {}) or TraderProgress(id=1)
    return found.processed_at, found.processed_seq


def trading_state() -> str:
    """The kill switch as it stands."""
    found = fetch("SELECT state FROM trading_state WHERE id = 1", {})
    return str(found[0][0]) if found else TradingState.State.ACTIVE


# --- Wallets and orders ---------------------------------------------------------------------------------
def wallet_locked(wallet_id: int) -> Wallet:
    """The wallet, nobody else's until the transaction ends. Raises WALLET_NOT_FOUND where it was removed just now."""
    found = WALLETS.first(LOCKED, {"id": wallet_id})
    if found is None:
        raise NotFoundError("WALLET_NOT_FOUND", "This wallet was removed just now.")
    return found


WALLET_OF = "WHERE id = (SELECT wallet_id FROM orders WHERE id = %(id)s) FOR UPDATE"


def order_locked(order_id: int) -> Order:
    """The order with its wallet, which is locked first. Raises Order.DoesNotExist."""
    asked = {"id": order_id}
    with ahead(WALLETS.asked(WALLET_OF, asked), ORDERS.asked(LOCKED, asked)):
        wallet, order = WALLETS.first(WALLET_OF, asked), ORDERS.first(LOCKED, asked)
    if wallet is None or order is None:
        raise Order.DoesNotExist(order_id)
    order.wallet = wallet
    return order


def order_of_key(key: str) -> Order | None:
    """The order made for an intent."""
    return ORDERS.first(OF_KEY, {"key": key})


NEXT_DUE = """
WHERE status = 'SUBMITTED' AND due_at <= %(to)s AND wallet_id IN (SELECT id FROM wallets WHERE wallet_type = 'TEST')
ORDER BY due_at, idempotency_key LIMIT 1
"""


def order_next_due(to: datetime) -> Order | None:
    """The next order the paper venue executes at or before `to`."""
    return ORDERS.first(NEXT_DUE, {"to": to})


SOLD_NOW = """
SELECT EXISTS (SELECT FROM orders WHERE position_id = %(id)s AND side = 'sell' AND status IN ('SUBMITTED', 'UNKNOWN'))
"""


def is_being_sold(position_id: int) -> bool:
    """Whether a sale of the position is under way."""
    return bool(fetch(SOLD_NOW, {"id": position_id})[0][0])


def limits_locked(kind: str) -> RiskLimits | None:
    """The limits of all wallets of a kind, nobody else's until the transaction ends; None where nobody has set any."""
    return LIMITS.first("WHERE scope = %(kind)s FOR UPDATE", {"kind": kind})


# --- Positions ------------------------------------------------------------------------------------------
POSITIONS_WITH_WALLET = f"""
SELECT {POSITIONS.columns("p")}, {WALLETS.columns("w")} FROM positions p JOIN wallets w ON w.id = p.wallet_id
"""
BY_AGE = "ORDER BY p.opened_at, p.id"
TO_JUDGE = """
WHERE p.status = 'OPEN' AND p.blocked_code = ''
  AND (p.mint = ANY(%(mints)s) OR p.timeout_at <= %(to)s OR p.leave_at <= %(to)s OR p.rules ? 'model_below')
  AND (%(ids)s::bigint[] IS NULL OR p.id = ANY(%(ids)s::bigint[]))
  AND NOT EXISTS (SELECT FROM orders o WHERE o.position_id = p.id AND o.side = 'sell'
                  AND o.status IN ('SUBMITTED', 'UNKNOWN'))
"""


def _positions(tail: str, params: dict[str, object]) -> list[Position]:
    return [_with_wallet(row) for row in fetch(POSITIONS_WITH_WALLET + tail, params)]


def _with_wallet(row: Sequence[object]) -> Position:
    position = POSITIONS.made(row[: POSITIONS.width])
    position.wallet = WALLETS.made(row[POSITIONS.width :])
    return position


def position(position_id: int) -> Position:
    """The position with its wallet. Raises Position.DoesNotExist."""
    for found in _positions("WHERE p.id = %(id)s", {"id": position_id}):
        return found
    raise Position.DoesNotExist(position_id)


def position_held(wallet_id: int, mint: str) -> Position | None:
    """The open position of a wallet in a coin, locked."""
    return POSITIONS.first(HELD, {"wallet": wallet_id, "mint": mint})


def positions_open(wallet_id: int) -> list[Position]:
    """The open positions of a wallet, oldest first."""
    return _positions(f"WHERE p.status = 'OPEN' AND p.wallet_id = %(wallet)s {BY_AGE}", {"wallet": wallet_id})


def positions_to_judge(mints: Collection[str], to: datetime, ids: Sequence[int] | None) -> list[Position]:
    """Open positions (of `ids` alone) whose exits may be judged, none being left already, and that have a reason."""
    params = {"mints": list(mints), "to": to, "ids": None if ids is None else list(ids)}
    return _positions(f"{TO_JUDGE} {BY_AGE}", params)


LEAVE = """
UPDATE positions SET leave_at = %(at)s WHERE wallet_id = %(wallet)s AND mint = %(mint)s AND status = 'OPEN'
AND leave_at IS NULL AND rules->'exit_model_ids' @> to_jsonb(%(model)s::bigint)
"""


def position_leave(wallet_id: int, mint: str, active_model_id: int, at: datetime) -> None:
    """A position that this model says sell of is to be left from this feed time on."""
    execute(LEAVE, {"wallet": wallet_id, "mint": mint, "model": active_model_id, "at": at})


STANDING = """
SELECT coalesce(sum(p.curve_lamports), 0)::bigint, coalesce(sum(p.quantity_base_units), 0)::bigint
FROM positions p JOIN wallets w ON w.id = p.wallet_id
WHERE p.mint = %(mint)s AND p.status = 'OPEN' AND w.wallet_type = 'TEST'
"""


def standing_of(mint: str) -> Standing:
    """What the open positions of all test wallets together have standing on a coin's curve."""
    return Standing(*fetch(STANDING, {"mint": mint})[0])


def initial_buy_of(mint: str) -> int | None:
    """What the creator bought with the creation, in base units; None where it was not seen."""
    rows = fetch("SELECT initial_buy_base_units FROM discovered_coins WHERE mint = %(mint)s", {"mint": mint})
    return rows[0][0] if rows else None
