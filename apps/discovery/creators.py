"""What creators made before: how those coins ended, what they reached, how fast their creator sold them.

Two things are kept. `creator_histories` says of each coin what was known of its creator at the very moment of its
creation; only facts strictly before that moment enter, so a history is the same whenever it is computed, and whoever
needs it first (scorer, training, the beat) computes and keeps it. `creator_coins` sums up single coins that have ended,
so that nothing is lost when their trades are dropped; it is used only for moments after all that it sums up.

A coin counts where its creation was seen (`created_at`), with it its creator. A coin died when it had been traded and
then nobody traded it for DIED_AFTER. So that a creator of thousands costs no more, what graduated and died is counted
among the COUNTED_COINS newest coins before, and medians are over the LAST_COINS newest, of those where there is
something to know. Amounts are base units, market caps SOL and only of coins in SOL on pump's own curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from apps.discovery.windows import TOKENS

DIED_AFTER = timedelta(minutes=30)
COUNTED_COINS, LAST_COINS = 200, 20
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 2**63 - 1
_CONSTANTS: dict[str, Any] = {"quiet": DIED_AFTER, "counted_coins": COUNTED_COINS, "last_coins": LAST_COINS}

# The trades of coin `c` before a moment; nothing where the summary `k` says it all. One row in any case. The first buy
# stands in the create and is a trade too: it counts once.
_SCAN = f"""
    SELECT count(*)::int AS trades, max(r.at) AS last_trade_at,
           least(coalesce(max(r.bought), c.initial_buy_base_units, 0), {_MOST})::bigint AS bought_base_units,
           least(coalesce(max(r.sold), 0), {_MOST})::bigint AS sold_base_units,
           min(r.at) FILTER (WHERE r.bought > 0 AND r.sold * 5 >= r.bought * 4) AS sold80_at,
           max(r.price) FILTER (WHERE c.pool = 'pump' AND NOT c.is_mayhem) * {TOKENS}::float8 AS top_market_cap_sol
    FROM (
        SELECT t."timestamp" AS at, CASE WHEN t.virtual_sol_lamports IS NOT NULL THEN t.price_sol END AS price,
               coalesce(c.initial_buy_base_units, 0)
                   + coalesce(sum(t.token_amount) FILTER (
                       WHERE t.tx_type = 'buy' AND t.trader_public_key = c.creator
                         AND (t.signature, t.token_amount) IS DISTINCT FROM (c.signature, c.initial_buy_base_units)
                   ) OVER past, 0) AS bought,
               coalesce(sum(t.token_amount) FILTER (WHERE t.tx_type = 'sell'
                                                    AND t.trader_public_key = c.creator) OVER past, 0) AS sold
        FROM coin_transactions t
        WHERE t.mint = c.mint AND t."timestamp" >= c.first_seen_at AND t."timestamp" >= %(first)s
          AND t."timestamp" < {{until}} AND {{needed}}
        WINDOW past AS (ORDER BY t."timestamp", t.seq, t.trade_key)
    ) r"""
# What is known of coin `c` strictly before a moment, as columns of `k` (the summary, where it holds) and `d`.
_KNOWN = f"""
    LEFT JOIN coin_streams s ON s.mint = c.mint
    LEFT JOIN creator_coins k ON k.mint = c.mint AND k.last_trade_at = s.last_trade_at AND k.last_trade_at < {{until}}
    CROSS JOIN LATERAL ({_SCAN.format(until="{until}", needed="k.mint IS NULL")}) d"""
_TOP = """CASE WHEN c.pool = 'pump' AND NOT c.is_mayhem
               THEN greatest(c.market_cap_sol, k.top_market_cap_sol, d.top_market_cap_sol) END"""
_SOLD80_SECONDS = "extract(epoch FROM coalesce(k.sold80_at, d.sold80_at) - c.created_at)::float8"
# The newest coins of a creator before the creation of coin `o`: their keys come in order from index coins_of_creator.
_NEWEST = """(SELECT mint FROM discovered_coins WHERE creator = o.creator AND created_at < o.as_of
     ORDER BY created_at DESC, mint LIMIT {limit}) newest JOIN discovered_coins c ON c.mint = newest.mint"""

_COUNTS = f"""
    SELECT (SELECT count(*) FROM discovered_coins WHERE creator = o.creator AND created_at < o.as_of)::int AS coins,
           count(*) FILTER (WHERE c.graduated_at < o.as_of)::int AS graduated,
           count(*) FILTER (WHERE (c.graduated_at < o.as_of) IS NOT TRUE AND CASE
               WHEN s.last_trade_at < o.as_of - %(quiet)s THEN true
               WHEN s.last_trade_at IS NULL THEN false
               ELSE EXISTS (SELECT FROM coin_transactions t WHERE t.mint = c.mint AND t."timestamp" >= %(first)s
                            AND t."timestamp" >= c.first_seen_at AND t."timestamp" < o.as_of - %(quiet)s)
                    AND NOT EXISTS (SELECT FROM coin_transactions t WHERE t.mint = c.mint AND t."timestamp" >= %(first)s
                                    AND t."timestamp" >= o.as_of - %(quiet)s AND t."timestamp" < o.as_of)
           END)::int AS died,
           extract(epoch FROM o.as_of - max(c.created_at))::float8 AS since_last_seconds
    FROM {_NEWEST.format(limit="%(counted_coins)s")} LEFT JOIN coin_streams s ON s.mint = c.mint"""
_MEDIANS = f"""
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY {_SOLD80_SECONDS}) AS sold80_seconds,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY {_TOP}) AS top_market_cap_sol
    FROM {_NEWEST.format(limit="%(last_coins)s")}
    {_KNOWN.format(until="o.as_of")}"""
# Histories of the coins `o` (mint, creator, as_of).
_HISTORIES = f"""
    SELECT o.mint, o.creator, o.as_of, n.coins, n.graduated, n.died, m.sold80_seconds, m.top_market_cap_sol,
           n.since_last_seconds
    FROM o CROSS JOIN LATERAL ({_COUNTS}) n CROSS JOIN LATERAL ({_MEDIANS}) m"""
_SUBJECT = "creator IS NOT NULL AND created_at <= first_seen_at"


@dataclass(frozen=True, slots=True)
class History:
    """A row of `creator_histories`; None where there is nothing to know."""

    mint: str
    creator: str
    as_of: datetime
    coins: int
    graduated: int
    died: int
    sold80_seconds: float | None
    top_market_cap_sol: float | None
    since_last_seconds: float | None


_MOST_ASKED = "greatest(%(counted_coins)s, %(last_coins)s)"
# Where the trades begin that histories of these coins may ask for: planning looks at every day that this leaves in.
FIRST = f"""
    SELECT least(min(c.first_seen_at), min(o.as_of) - %(quiet)s)
    FROM (SELECT mint, creator, created_at AS as_of FROM discovered_coins WHERE mint = ANY(%(mints)s)) o
         LEFT JOIN LATERAL (SELECT c.first_seen_at FROM {_NEWEST.format(limit=_MOST_ASKED)}) c ON true"""


def _asked(cursor: CursorWrapper, mints: Sequence[str]) -> dict[str, Any]:
    """The parameters of the queries for histories of these coins."""
    values = {"mints": list(mints), **_CONSTANTS}
    cursor.execute(FIRST, values)
    return values | {"first": cursor.fetchone()[0] or _BEGINNING}


HISTORIES = f"""
    WITH o AS MATERIALIZED (SELECT mint, creator, created_at AS as_of FROM discovered_coins
                            WHERE mint = ANY(%(mints)s) AND {_SUBJECT})
    {_HISTORIES} ORDER BY o.mint"""


def histories(mints: Sequence[str]) -> list[History]:
    """What was known of the creators of these coins when each was created, computed anew from what is stored now; by
    mint. Coins whose creation was not seen from the beginning have none."""
    with connection.cursor() as cursor:
        cursor.execute(HISTORIES, _asked(cursor, mints))
        return [History(*row) for row in cursor.fetchall()]


_UNKEPT = f"""
    WITH o AS MATERIALIZED (SELECT mint, creator, created_at AS as_of FROM discovered_coins
                            WHERE mint = ANY(%(mints)s) AND {_SUBJECT}
                              AND NOT EXISTS (SELECT FROM creator_histories h WHERE h.mint = discovered_coins.mint))"""
_KEPT = """mint, creator, as_of, coins, graduated, died, sold80_seconds, top_market_cap_sol, since_last_seconds"""
# Inserted in one order everywhere, so that two who keep the same histories wait for each other and never deadlock.
HISTORIES_KEEP = f"""{_UNKEPT}
    INSERT INTO creator_histories ({_KEPT}) {_HISTORIES} ORDER BY o.mint ON CONFLICT DO NOTHING"""


# Asked first, as planning what keeps them takes 5 ms.
IS_ANY_UNKEPT = f"{_UNKEPT} SELECT EXISTS (SELECT FROM o)"


def histories_keep(mints: Sequence[str]) -> int:
    """Compute and keep the histories of these coins that are not kept yet; how many."""
    if not mints:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(IS_ANY_UNKEPT, {"mints": list(mints)})
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(HISTORIES_KEEP, _asked(cursor, mints))
        return int(cursor.rowcount)


HISTORIES_KEPT = f"SELECT {_KEPT} FROM creator_histories WHERE mint = ANY(%s) ORDER BY mint"


def histories_kept(mints: Sequence[str]) -> list[History]:
    """What is kept of these coins, by mint."""
    with connection.cursor() as cursor:
        cursor.execute(HISTORIES_KEPT, [list(mints)])
        return [History(*row) for row in cursor.fetchall()]


HISTORY = f"""{_UNKEPT}
    SELECT {_KEPT} FROM creator_histories WHERE mint = ANY(%(mints)s) UNION ALL {_HISTORIES}"""


def history(mint: str) -> History | None:
    """What was known of a coin's creator when it was created: what is kept, else computed now."""
    with connection.cursor() as cursor:
        cursor.execute(HISTORY, _asked(cursor, [mint]))
        row = cursor.fetchone()
    return History(*row) if row else None


# Index coins_newest.
WITHOUT_HISTORY = f"""
    SELECT c.mint, c.first_seen_at FROM discovered_coins c
    WHERE (c.first_seen_at, c.mint) > (%s, %s) AND {_SUBJECT}
      AND NOT EXISTS (SELECT FROM creator_histories h WHERE h.mint = c.mint)
    ORDER BY c.first_seen_at, c.mint LIMIT %s"""


def without_history(after: tuple[datetime, str], limit: int) -> list[tuple[str, datetime]]:
    """Coins behind a place (first seen, mint) whose history is not kept yet, in order: mint, first seen."""
    with connection.cursor() as cursor:
        cursor.execute(WITHOUT_HISTORY, (*after, limit))
        return cursor.fetchall()


# Index streams_ended.
FOLDABLE = """
    SELECT s.mint, s.ended_at FROM coin_streams s JOIN discovered_coins c ON c.mint = s.mint
    LEFT JOIN creator_coins k ON k.mint = s.mint
    WHERE NOT s.is_active AND (s.ended_at, s.mint) > (%s, %s) AND c.creator IS NOT NULL
      AND s.last_trade_at > coalesce(k.last_trade_at, '-infinity')
    ORDER BY s.ended_at, s.mint LIMIT %s"""


def foldable(after: tuple[datetime, str], limit: int) -> list[tuple[str, datetime]]:
    """Coins that have ended behind a place (end, mint) and have trades in no summary, in order: mint, end."""
    with connection.cursor() as cursor:
        cursor.execute(FOLDABLE, (*after, limit))
        return cursor.fetchall()


# What has fewer trades than before has lost some to retention: the fuller summary stays.
FOLD = f"""
    INSERT INTO creator_coins AS k (mint, trades, last_trade_at, bought_base_units, sold_base_units, sold80_at,
                                    top_market_cap_sol)
    SELECT c.mint, d.trades, d.last_trade_at, d.bought_base_units, d.sold_base_units, d.sold80_at, d.top_market_cap_sol
    FROM discovered_coins c
    CROSS JOIN LATERAL ({_SCAN.format(until="'infinity'::timestamptz", needed="true")}) d
    WHERE c.mint = ANY(%(mints)s) AND d.trades > 0 ORDER BY c.mint
    ON CONFLICT (mint) DO UPDATE
    SET trades = excluded.trades, last_trade_at = excluded.last_trade_at,
        bought_base_units = excluded.bought_base_units, sold_base_units = excluded.sold_base_units,
        sold80_at = excluded.sold80_at, top_market_cap_sol = excluded.top_market_cap_sol
    WHERE excluded.trades >= k.trades"""


FIRST_SEEN = "SELECT min(first_seen_at) FROM discovered_coins WHERE mint = ANY(%s)"


def _first_seen(cursor: CursorWrapper, mints: Sequence[str]) -> datetime:
    cursor.execute(FIRST_SEEN, [list(mints)])
    return cursor.fetchone()[0] or _BEGINNING


def coins_fold(mints: Sequence[str]) -> int:
    """Sum up these coins from all their trades, anew; how many were written."""
    with connection.cursor() as cursor:
        cursor.execute(FOLD, {"mints": list(mints), "first": _first_seen(cursor, mints)})
        return int(cursor.rowcount)


# A summary of more trades than are stored stays: retention has dropped some.
FORGET_COINS = """
    DELETE FROM creator_coins k
    WHERE mint = ANY(%s) AND k.trades <= (SELECT count(*) FROM coin_transactions t WHERE t.mint = k.mint)"""
FORGET_HISTORIES = """
    DELETE FROM creator_histories h USING discovered_coins c
    WHERE c.mint = ANY(%s) AND h.creator = c.creator AND h.as_of > c.created_at"""


def past_changed(cursor: CursorWrapper, mints: Sequence[str]) -> None:
    """The past of these coins has become fuller (an import): what was derived from it is computed again when needed."""
    cursor.execute(FORGET_COINS, [list(mints)])
    cursor.execute(FORGET_HISTORIES, [list(mints)])


_PAGE = """(SELECT mint FROM discovered_coins WHERE creator = %(creator)s AND created_at IS NOT NULL AND mint <> %(but)s
     ORDER BY created_at DESC, mint LIMIT %(limit)s OFFSET %(offset)s) newest
    JOIN discovered_coins c ON c.mint = newest.mint"""
FIRST_OF = f"SELECT min(c.first_seen_at) FROM {_PAGE}"
COINS_OF = f"""
    SELECT c.mint, c.symbol, c.name, c.created_at,
           CASE WHEN c.graduated THEN 'graduated' WHEN s.is_active THEN 'trading' WHEN s.mint IS NULL THEN 'untracked'
                WHEN c.final_outcome IN ('finished', 'abandoned') THEN c.final_outcome ELSE 'ended' END,
           c.filtered_reason, s.last_trade_at, coalesce(k.trades, d.trades),
           coalesce(k.bought_base_units, d.bought_base_units), coalesce(k.sold_base_units, d.sold_base_units),
           coalesce(k.sold80_at, d.sold80_at), {_SOLD80_SECONDS}, {_TOP}
    FROM {_PAGE}
    {_KNOWN.format(until="'infinity'::timestamptz")}
    ORDER BY c.created_at DESC, c.mint"""
_COIN_OF = (
    "mint", "symbol", "name", "created_at", "outcome", "filtered_reason", "last_trade_at", "trades",
    "bought_base_units", "sold_base_units", "sold80_at", "sold80_seconds", "top_market_cap_sol",
)  # fmt: skip


def coins_of(creator: str, *, limit: int, offset: int = 0, but: str = "") -> list[dict[str, Any]]:
    """A creator's coins as they are now, newest first (without `but`), as dicts of the names above. `outcome` is
    graduated, trading, finished (too old), abandoned (silent), ended, or untracked."""
    values: dict[str, Any] = {"creator": creator, "limit": limit, "offset": offset, "but": but}
    with connection.cursor() as cursor:
        cursor.execute(FIRST_OF, values)
        cursor.execute(COINS_OF, values | {"first": cursor.fetchone()[0] or _BEGINNING})
        return [dict(zip(_COIN_OF, row, strict=True)) for row in cursor.fetchall()]


TOTALS = """
    SELECT count(*), count(*) FILTER (WHERE graduated) FROM discovered_coins
    WHERE creator = %s AND created_at IS NOT NULL"""


def totals(creator: str) -> tuple[int, int]:
    """How many coins of a creator are known, and how many of them have graduated."""
    with connection.cursor() as cursor:
        cursor.execute(TOTALS, [creator])
        coins, graduated = cursor.fetchone()
        return coins, graduated


_BATCH = 500
OLDEST_TRADE = 'SELECT min("timestamp") FROM coin_transactions'


def oldest_trade() -> datetime:
    """The first trade that is still stored: coins that ended before cannot be summed up any more."""
    with connection.cursor() as cursor:
        cursor.execute(OLDEST_TRADE)
        return cursor.fetchone()[0] or _BEGINNING


def keep_up(since: datetime | None = None) -> tuple[int, int]:
    """Keep the histories of the coins first seen, and the summaries of those that ended, after `since` (None: of all);
    how many of each. May run twice at once and be stopped anywhere: what is kept is right, the rest comes next time."""
    seen, ended = since or _BEGINNING, since or oldest_trade() - DIED_AFTER
    return _walk(without_history, histories_keep, seen), _walk(foldable, coins_fold, ended)


def _walk(
    find: Callable[[tuple[datetime, str], int], list[tuple[str, datetime]]],
    keep: Callable[[Sequence[str]], int],
    since: datetime,
) -> int:
    """Batch after batch of what `find` gives from `since` on; how many were kept."""
    place, kept = (since, ""), 0
    while found := find(place, _BATCH):
        kept += keep([mint for mint, _ in found])
        place = (found[-1][1], found[-1][0])
    return kept
