"""What trading reads: SQL beside its function, amounts in lamports and base units."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from apps.core.prepared import Statement, execute, fetch
from apps.discovery.curve import Reserves
from apps.discovery.models import StreamState
from apps.predictions.models import AlertEvaluation
from apps.trading import rows
from apps.trading.market import Market
from apps.trading.models import Order, Position, TraderProgress, TradingState, Wallet

LONGEST_LOOK_BACK = timedelta(days=2)  # bounds the chunks to plan for; no coin is tracked for longer than a day
MARKETS_AT = """
SELECT c.mint, c.curve = 'standard' AND NOT c.is_mayhem,
       c.graduated AND coalesce(c.graduated_at, %(at)s) <= %(at)s,
       coalesce(t.seq, -1),
       coalesce(t.virtual_sol_lamports, s.virtual_sol_lamports, c.virtual_sol_lamports),
       coalesce(t.virtual_token_base_units, s.virtual_token_base_units, c.virtual_token_base_units),
       coalesce(t."timestamp", s.last_trade_at, c.first_seen_at),
       (SELECT max(g.ended_at) FROM stream_gaps g
        WHERE g.started_at < %(at)s AND g.ended_at > coalesce(t."timestamp", s.last_trade_at, c.first_seen_at)),
       coalesce(c.created_at, c.first_seen_at)
FROM discovered_coins c
LEFT JOIN coin_streams s ON s.mint = c.mint AND s.last_trade_at <= %(at)s
LEFT JOIN LATERAL (
    SELECT x."timestamp", x.seq, x.virtual_sol_lamports, x.virtual_token_base_units
    FROM coin_transactions x
    WHERE x.mint = c.mint AND x."timestamp" <= %(at)s AND x."timestamp" > %(oldest)s
      AND x.virtual_sol_lamports IS NOT NULL
    ORDER BY x."timestamp" DESC, x.seq DESC LIMIT 1
) t ON true
WHERE c.mint = ANY(%(mints)s) AND c.first_seen_at <= %(at)s
"""


def markets_at(mints: Iterable[str], at: datetime) -> dict[str, Market]:
    """The market of each coin as the trades up to `at` left it; a coin not seen by then is marked unknown.

    Trades older than LONGEST_LOOK_BACK are not looked for: then the stream's last reserves count.
    """
    wanted = list(dict.fromkeys(mints))
    markets = {mint: Market(mint, at, is_known=False) for mint in wanted}
    if not wanted:
        return markets
    for mint, standard, graduated, seq, virtual_sol, virtual_token, traded_at, gap_ended_at, began_at in fetch(
        *_markets_asked(wanted, at)
    ):
        reserves = Reserves(virtual_sol, virtual_token) if virtual_sol and virtual_token else None
        markets[mint] = Market(
            mint=mint,
            at=at,
            reserves=reserves,
            last_trade_at=traded_at,
            last_seq=seq,
            is_standard=standard,
            is_graduated=graduated,
            gap_ended_at=gap_ended_at,
            began_at=began_at,
        )
    return markets


def _markets_asked(mints: list[str], at: datetime) -> Statement:
    return MARKETS_AT, {"mints": mints, "at": at, "oldest": at - LONGEST_LOOK_BACK}


def market_asked(mint: str, at: datetime) -> Statement:
    """What `markets_at` runs for one coin, to be run ahead."""
    return _markets_asked([mint], at)


def market_at(mint: str, at: datetime) -> Market:
    """The market of one coin at `at`."""
    return markets_at([mint], at)[mint]


@dataclass(frozen=True, slots=True)
class Tick:
    """A trade of a held coin: when, in which order, the reserves it left, and what its creator sold with it."""

    at: datetime
    seq: int
    reserves: Reserves
    creator_sold_lamports: int = 0
    creator_sold_base_units: int = 0


TICKS_BETWEEN = """
SELECT t.mint, t."timestamp", t.seq, t.virtual_sol_lamports, t.virtual_token_base_units,
       CASE WHEN t.tx_type = 'sell' AND t.trader_public_key = held.creator THEN t.sol_amount ELSE 0 END,
       CASE WHEN t.tx_type = 'sell' AND t.trader_public_key = held.creator THEN t.token_amount ELSE 0 END
FROM (SELECT DISTINCT p.mint, c.creator FROM positions p JOIN discovered_coins c ON c.mint = p.mint
      WHERE p.status = 'OPEN' AND (%(ids)s::bigint[] IS NULL OR p.id = ANY(%(ids)s::bigint[]))) held
JOIN coin_transactions t ON t.mint = held.mint
WHERE t."timestamp" >= %(since)s AND t."timestamp" <= %(to)s
  AND t.virtual_sol_lamports IS NOT NULL AND t.virtual_token_base_units > 0
ORDER BY t."timestamp", t.seq, t.trade_key
"""


def ticks_asked(since: datetime, to: datetime, ids: Sequence[int] | None) -> Statement:
    """What `ticks_between` runs, to be run ahead."""
    return TICKS_BETWEEN, {"since": since, "to": to, "ids": None if ids is None else list(ids)}


def ticks_between(since: datetime, to: datetime, ids: Sequence[int] | None = None) -> dict[str, list[Tick]]:
    """The trades of held coins (of the positions `ids` alone) from `since` to `to`, both included, in order; only
    coins that traded."""
    ticks: dict[str, list[Tick]] = defaultdict(list)
    asked = ticks_asked(since, to, ids)
    for mint, at, seq, virtual_sol, virtual_token, sold_lamports, sold_units in fetch(*asked):
        ticks[mint].append(Tick(at, seq, Reserves(virtual_sol, virtual_token), sold_lamports, sold_units))
    return ticks


@dataclass(frozen=True, slots=True)
class Score:
    """What a model said of a coin as of the end of a window."""

    active_model_id: int
    as_of: datetime
    probability: float


SCORES_BETWEEN = """
SELECT mint, active_model_id, as_of, probability FROM predictions
WHERE mint = ANY(%(mints)s) AND as_of > %(since)s AND as_of <= %(to)s
ORDER BY as_of, active_model_id, mint
"""


def scores_between(mints: Iterable[str], since: datetime, to: datetime) -> dict[str, list[Score]]:
    """The scores of these coins with since < as_of <= to, in order."""
    scores: dict[str, list[Score]] = defaultdict(list)
    for mint, active_model_id, as_of, probability in fetch(
        SCORES_BETWEEN, {"mints": list(mints), "since": since, "to": to}
    ):
        scores[mint].append(Score(active_model_id, as_of, probability))
    return scores


def positions_open(**filters: Any) -> QuerySet[Position]:
    """Open positions, oldest first."""
    return Position.objects.filter(status="OPEN", **filters).select_related("wallet").order_by("opened_at", "id")


HELD_GRADUATED = """
SELECT mint, graduated_at FROM discovered_coins
WHERE graduated AND graduated_at <= %(to)s AND mint IN (SELECT mint FROM positions WHERE status = 'OPEN')
"""


def held_graduated(to: datetime) -> dict[str, datetime]:
    """When each held coin graduated, for those that have by then."""
    return dict(fetch(HELD_GRADUATED, {"to": to}))


def orders_in_flight(**filters: Any) -> QuerySet[Order]:
    """Orders that the venue has not ended yet, in the order in which it will."""
    return Order.objects.filter(status__in=Order.IN_FLIGHT, **filters).order_by("due_at", "idempotency_key")


def alert_newest_id() -> int:
    """The id of the newest alert; 0 where there is none. Alerts of shadows have none."""
    numbered = AlertEvaluation.objects.filter(alert_id__isnull=False).order_by("-alert_id")
    return numbered.values_list("alert_id", flat=True).first() or 0


def feed_at() -> datetime | None:
    """Feed time up to which the tables are complete; None before the first frame."""
    return StreamState.objects.filter(id=1).values_list("feed_at", flat=True).first()


def feed_passes(state: StreamState) -> bool:
    """Whether feed time can be followed. Without a connection it passes, but what is traded then is not known; the
    gap is noted when the connection is back, and only then the time before can be dealt with."""
    return state.feed_at is not None and (state.connected or state.mode == "replay")


def feed_age_seconds(state: StreamState | None = None) -> float:
    """How far what is known lies behind the wall clock: the feed has been silent for so long, or its journal is still
    being caught up with. 0 in a replay, infinite without a connection."""
    state = state or rows.stream_state()
    if state is None or state.feed_at is None:
        return math.inf
    if state.mode == "replay":
        return 0.0
    if not state.connected:
        return math.inf
    return max(0.0, (timezone.now() - state.feed_at).total_seconds())


def progress() -> TraderProgress:
    """How far the trader has come."""
    return TraderProgress.objects.filter(id=1).first() or TraderProgress(id=1)


def trading_state_locked() -> str:
    """The kill switch, held as it is until the transaction ends (many may hold it, a change waits for them)."""
    held = fetch(TRADING_STATE_HELD, {})
    if not held:
        execute(TRADING_STATE_SEED, {})
        held = fetch(TRADING_STATE_HELD, {})
    return str(held[0][0])


TRADING_STATE_HELD = "SELECT state FROM trading_state WHERE id = 1 FOR SHARE"
TRADING_STATE_SEED = """
INSERT INTO trading_state (id, state, reason, changed_at) VALUES (1, 'ACTIVE', '', now()) ON CONFLICT DO NOTHING
"""


def trading_state() -> TradingState:
    """The kill switch as it stands."""
    return TradingState.objects.filter(id=1).first() or TradingState(id=1)


INVESTED = """
SELECT mint, sum(lamports)::bigint, bool_and(blocked) FROM (
    SELECT mint,
           div(cost_lamports::numeric * quantity_base_units + bought_base_units - 1, bought_base_units) AS lamports,
           blocked_code <> '' AS blocked FROM positions
    WHERE wallet_id = %(wallet)s AND status = 'OPEN'
    UNION ALL
    SELECT mint, lamports, false FROM orders WHERE wallet_id = %(wallet)s AND status IN ('SUBMITTED', 'UNKNOWN')
      AND side = 'buy'
) entered GROUP BY mint
"""


def invested_lamports(wallet: Wallet) -> tuple[dict[str, int], int]:
    """What a wallet has put into each coin that it holds or is buying (the cost of what is left of it), and how many of
    them it can leave.

    A position that cannot be left (its coin has graduated) does not count against the number of open positions:
    nothing would ever make room again.
    """
    found = fetch(INVESTED, {"wallet": wallet.pk})
    return {mint: lamports for mint, lamports, _ in found}, sum(not blocked for _, _, blocked in found)


def reserved_lamports(wallet: Wallet) -> int:
    """What orders in flight have taken out of the balance."""
    total = orders_in_flight(wallet=wallet).order_by().aggregate(total=Sum("reserved_lamports"))["total"]
    return int(total or 0)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A test wallet's books; `difference` is 0 unless a lamport appeared or vanished."""

    deposited: int
    traded: int
    sent: int
    received: int
    reserved: int
    balance: int

    @property
    def difference(self) -> int:
        """Balance and reservations less what the books say."""
        return self.balance + self.reserved - (self.deposited + self.traded - self.sent + self.received)


def ledger_of(wallet: Wallet) -> Ledger:
    """Add up everything that ever moved a test wallet's balance."""
    done = Q(status="SUCCESS")
    sent = wallet.transfers.filter(done).aggregate(a=Sum("lamports"), b=Sum("fee_lamports"))
    received = wallet.transfers_in.filter(done).aggregate(a=Sum("lamports"))
    return Ledger(
        deposited=wallet.deposited_lamports,
        traded=int(wallet.trades.aggregate(a=Sum("balance_change_lamports"))["a"] or 0),
        sent=int(sent["a"] or 0) + int(sent["b"] or 0),
        received=int(received["a"] or 0),
        reserved=reserved_lamports(wallet),
        balance=wallet.virtual_balance_lamports,
    )
