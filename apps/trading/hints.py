"""What a book is told of the reads and writes to come, so that the tables are asked for several of them at once.

A hint changes no answer: where it is ignored, as in memory, each read and write is made by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from apps.core.prepared import ahead, together
from apps.trading import gate_queries, queries, rows

if TYPE_CHECKING:
    from apps.trading.models import Order
    from apps.trading.orders import BuyIntent

Hint = AbstractContextManager[None]
NOTHING = nullcontext()


class NoHints:
    """Of a book that has everything at hand."""

    def buy_ahead(self, intent: BuyIntent) -> Hint:
        return NOTHING

    def fill_ahead(self, order: Order) -> Hint:
        return NOTHING

    def judging_ahead(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Hint:
        return NOTHING

    def writing(self) -> Hint:
        return NOTHING


class TableHints:
    """Of the tables: a batch of statements is one way to the server and back."""

    def buy_ahead(self, intent: BuyIntent) -> Hint:
        """What decides on a buy, the lock of its wallet first; nothing of it may be written within."""
        return ahead(
            rows.WALLETS.asked(rows.LOCKED, {"id": intent.wallet_id}),
            rows.ORDERS.asked(rows.OF_KEY, {"key": intent.key}),
            queries.market_asked(intent.mint, intent.decided_at),
            (queries.INVESTED, {"wallet": intent.wallet_id}),
            (gate_queries.ORIGIN, {"mint": intent.mint}),
            (queries.TRADING_STATE_HELD, {}),
            (rows.STANDING, {"mint": intent.mint}),
        )

    def fill_ahead(self, order: Order) -> Hint:
        """What a fill is made of; the order and its wallet are locked."""
        asked = [
            rows.POSITIONS.asked(rows.HELD, {"wallet": order.wallet_id, "mint": order.mint}),
            (rows.STANDING, {"mint": order.mint}),
        ]
        if order.due_at is not None:
            asked.append(queries.market_asked(order.mint, order.due_at))
        if order.side == "buy" and order.strategy_id is not None:
            asked.append(rows.STRATEGIES.asked(rows.BY_ID, {"id": order.strategy_id}))
        return ahead(*asked)

    def judging_ahead(self, since: datetime, to: datetime, ids: Sequence[int] | None) -> Hint:
        """What has happened to held coins."""
        return ahead(queries.ticks_asked(since, to, ids), (queries.HELD_GRADUATED, {"to": to}))

    def writing(self) -> Hint:
        """Writes of which none needs the answer of another, but for keys."""
        return together()
