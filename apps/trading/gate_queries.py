"""What the gate reads of the tables beside the wallet: limits of all, block-list, results by coin and creator, sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.core.prepared import execute, fetch
from apps.trading import rows
from apps.trading.models import RiskLimits, Wallet


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a coin, as far as that is known, and whether coin or creator are on the block-list."""

    creator: str | None = None
    coin_is_blocked: bool = False
    creator_is_blocked: bool = False


ORIGIN = """
SELECT c.creator, EXISTS (SELECT FROM risk_blocked b WHERE b.address = m.mint AND b.kind = 'MINT'),
       EXISTS (SELECT FROM risk_blocked b WHERE b.address = c.creator AND b.kind = 'CREATOR')
FROM (SELECT %(mint)s::text AS mint) m LEFT JOIN discovered_coins c ON c.mint = m.mint
"""


def origin_of(mint: str) -> Origin:
    """The origin of a coin, also of one that is not known."""
    return Origin(*fetch(ORIGIN, {"mint": mint})[0])


LIMITS_SEED = """
INSERT INTO risk_limits (scope, trading_enabled, transfer_enabled, max_position_lamports, max_open_positions,
    max_daily_loss_bps, max_consecutive_losses, max_exposure_lamports, max_reserves_bps, max_drawdown_bps,
    cooldown_losses, cooldown_seconds, max_coin_loss_lamports, max_creator_loss_lamports, changed_at)
VALUES (%(kind)s, true, true, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, now()) ON CONFLICT DO NOTHING
"""


def limits_of(kind: str) -> RiskLimits:
    """The limits of all wallets of a kind; all are off until somebody sets them."""
    return RiskLimits.objects.filter(pk=kind).first() or RiskLimits(scope=kind)


def limits_locked(kind: str) -> RiskLimits:
    """The same, nobody else's until the transaction ends: so orders of all wallets are judged one after the other."""
    if (row := rows.limits_locked(kind)) is None:
        execute(LIMITS_SEED, {"kind": kind})
        row = RiskLimits.objects.select_for_update().get(pk=kind)
    return row


RESULT = """
SELECT coalesce(sum(p.realized_pnl_lamports), 0)::bigint FROM positions p JOIN wallets w ON w.id = p.wallet_id
WHERE w.wallet_type = %(kind)s AND (%(wallet)s::bigint IS NULL OR w.id = %(wallet)s) AND
"""
OF_COIN = "p.mint = %(value)s"
OF_CREATOR = "p.mint IN (SELECT mint FROM discovered_coins WHERE creator = %(value)s)"


def result_of(kind: str, *, wallet: Wallet | None = None, mint: str = "", creator: str | None = None) -> int:
    """What a wallet, or all of a kind, have gained (negative: lost) on what they sold of a coin or of a creator's."""
    if not mint and not creator:
        return 0
    values = {"kind": kind, "wallet": wallet.pk if wallet else None, "value": mint or creator}
    return int(fetch(RESULT + (OF_COIN if mint else OF_CREATOR), values)[0][0])


SPENT = """
SELECT coalesce((SELECT sum(-balance_change_lamports) FROM trade_logs
                 WHERE wallet_id = %(wallet)s AND action = 'buy'
                   AND at >= coalesce(%(since)s::timestamptz, '-infinity')), 0)::bigint
     + coalesce((SELECT sum(reserved_lamports) FROM orders
                 WHERE wallet_id = %(wallet)s AND side = 'buy' AND status IN ('SUBMITTED', 'UNKNOWN')), 0)::bigint
"""


def spent_of(wallet: Wallet, since: datetime | None) -> int:
    """What a wallet's buys have cost since then, or ever, with what those on their way have set aside."""
    return int(fetch(SPENT, {"wallet": wallet.pk, "since": since})[0][0])


STREAK = """
WITH closed AS (
    SELECT p.realized_pnl_lamports < 0 AS lost, p.closed_at FROM positions p JOIN wallets w ON w.id = p.wallet_id
    WHERE w.wallet_type = %(kind)s AND p.status = 'CLOSED' AND p.closed_at >= %(since)s AND p.closed_at <= %(at)s
)
SELECT count(*), max(closed_at) FROM closed
WHERE closed_at > coalesce((SELECT max(closed_at) FROM closed WHERE NOT lost), '-infinity')
"""


def streak_of(kind: str, since: datetime, at: datetime) -> tuple[int, datetime | None]:
    """Losses in a row of all wallets of a kind up to `at`, not counting those before `since`; when the last was."""
    count, last = fetch(STREAK, {"kind": kind, "since": since, "at": at})[0]
    return count, last


INVESTED_BY_ALL = """
SELECT coalesce(sum(lamports), 0)::bigint, coalesce(sum(lamports) FILTER (WHERE mint = %(mint)s), 0)::bigint,
       count(DISTINCT (wallet_id, mint)) FILTER (WHERE NOT blocked)
FROM (
    SELECT p.wallet_id, p.mint, p.blocked_code <> '' AS blocked,
           div(p.cost_lamports::numeric * p.quantity_base_units + p.bought_base_units - 1, p.bought_base_units)
               AS lamports
    FROM positions p JOIN wallets w ON w.id = p.wallet_id WHERE p.status = 'OPEN' AND w.wallet_type = %(kind)s
    UNION ALL
    SELECT o.wallet_id, o.mint, false, o.lamports FROM orders o JOIN wallets w ON w.id = o.wallet_id
    WHERE o.status IN ('SUBMITTED', 'UNKNOWN') AND o.side = 'buy' AND w.wallet_type = %(kind)s
) entered
"""


def invested_by_all(kind: str, mint: str) -> tuple[int, int, int]:
    """What all wallets of a kind have in positions and buys on their way: in all, in one coin, and in how many."""
    total, in_coin, count = fetch(INVESTED_BY_ALL, {"kind": kind, "mint": mint})[0]
    return total, in_coin, count


MONEY_OF_ALL = """
SELECT coalesce(sum(cash), 0)::bigint, coalesce(sum(coalesce(day_start_equity_lamports, cash)), 0)::bigint
FROM (SELECT w.day_start_equity_lamports,
             CASE w.wallet_type WHEN 'TEST' THEN w.virtual_balance_lamports ELSE w.real_balance_lamports END
             + coalesce((SELECT sum(reserved_lamports) FROM orders o
                         WHERE o.wallet_id = w.id AND o.status IN ('SUBMITTED', 'UNKNOWN')), 0) AS cash
      FROM wallets w WHERE w.wallet_type = %(kind)s) money
"""


def money_of_all(kind: str) -> tuple[int, int]:
    """Cash and reservations of all wallets of a kind, and their equity at the start of their days."""
    cash, day_start = fetch(MONEY_OF_ALL, {"kind": kind})[0]
    return cash, day_start
