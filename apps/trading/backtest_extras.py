"""What only some strategies ask of a recorded market: when coins began, what their creators sold, what models said."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from typing import Any

from django.db import connection

from apps.trading.conditions import MARKET_FACTS
from apps.trading.entries import conditions_of
from apps.trading.memory import CoinHistory, History, to_us
from apps.trading.models import Strategy
from apps.trading.queries import Score

BEGINNINGS = """
SELECT mint, coalesce(created_at, first_seen_at), initial_buy_base_units FROM discovered_coins
WHERE mint = ANY(%(mints)s)
"""
CREATORS_SALES = """
SELECT t.mint, t."timestamp", t.seq, sum(t.sol_amount)::bigint, sum(t.token_amount)::bigint
FROM discovered_coins c JOIN coin_transactions t ON t.mint = c.mint
WHERE c.mint = ANY(%(mints)s) AND t."timestamp" > %(since)s AND t."timestamp" <= %(until)s
  AND t.tx_type = 'sell' AND t.trader_public_key = c.creator
  AND t.virtual_sol_lamports IS NOT NULL AND t.virtual_token_base_units > 0
GROUP BY t.mint, t."timestamp", t.seq
"""
SCORES = """
SELECT mint, active_model_id, as_of, probability FROM predictions
WHERE mint = ANY(%(mints)s) AND as_of > %(since)s AND as_of <= %(until)s
ORDER BY as_of, active_model_id, mint
"""


def history_extend(history: History, strategy: Strategy, since: datetime, until: datetime) -> None:
    """Add to a recorded market what this strategy asks besides reserves; once more changes nothing."""
    asked = {"mints": list(history.coins), "since": since, "until": until}
    rules = strategy.exits
    if "creator_sold_bps" in rules or any(one.fact in MARKET_FACTS for one in conditions_of(strategy)):
        for mint, began_at, initial_buy in _rows(BEGINNINGS, asked):
            history.coins[mint].began_at, history.coins[mint].initial_buy = began_at, initial_buy
    if "creator_sold_bps" in rules or "creator_sold_lamports" in rules:
        for mint, at, seq, lamports, base_units in _rows(CREATORS_SALES, asked):
            coin = history.coins[mint]
            if (place := _place(coin, to_us(at), seq)) is not None:
                coin.creator_sold[place] = lamports, base_units
    if "model_below" in rules:
        for coin in history.coins.values():
            coin.scores.clear()
        for mint, active_model_id, as_of, probability in _rows(SCORES, asked):
            history.coins[mint].scores.append(Score(active_model_id, as_of, probability))


def _rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _place(coin: CoinHistory, at_us: int, seq: int) -> int | None:
    """Where a trade stands in its coin's columns."""
    place = bisect_left(coin.at_us, at_us)
    while place < len(coin.at_us) and coin.at_us[place] == at_us:
        if coin.seq[place] == seq:
            return place
        place += 1
    return None
