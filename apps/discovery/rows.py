"""What becomes of a trade and of a new coin: their rows, and whether a trade was seen already. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

from apps.discovery.pumpportal.messages import Create, Trade
from apps.discovery.state import CoinRow, TrackedCoin, TradeRow

DOUBLES_US = 60_000_000  # a repeated frame comes within seconds
SWEEP_US = 15_000_000
_signed = Struct(">q").unpack
_new_hash = blake2b(digest_size=8).copy  # faster than a new one


def trade_key(trade: Trade, at_us: int) -> int:
    """What makes a trade unique, as a signed 64-bit hash; without a signature its instant and reserves stand in."""
    side = "buy" if trade.is_buy else "sell"
    if trade.signature is not None:
        return signed_key(f"{trade.signature} {trade.mint} {trade.trader} {side} {trade.token_base_units}")
    amounts = f"{trade.sol_lamports} {trade.token_base_units} {trade.virtual_sol} {trade.virtual_token}"
    return signed_key(f"{trade.mint} {side} {amounts} {at_us}")


def signed_key(text: str) -> int:
    """A text as a signed 64-bit hash."""
    digest = _new_hash()
    digest.update(text.encode())
    key: int = _signed(digest.digest())[0]
    return key


def trade_row(trade: Trade, key: int, seq: int, at_us: int, phase_id: int, whale_lamports: int) -> TradeRow:
    """A row of `coin_transactions` in the order of TRADE_COLUMNS."""
    return (
        trade.mint,
        at_us,
        key,
        seq,
        trade.signature,
        trade.trader,
        "buy" if trade.is_buy else "sell",
        trade.sol_lamports,
        trade.token_base_units,
        trade.price_sol,
        trade.virtual_sol,
        trade.virtual_token,
        trade.sol_lamports >= whale_lamports,
        phase_id,
    )


class Doubles:
    """Keys of the last minute of feed time: whether a trade was seen already."""

    def __init__(self, recent: Sequence[tuple[int, int]] = ()) -> None:
        self._seen = {key: at_us for at_us, key in recent}
        self._swept_us = 0

    def is_double(self, key: int, at_us: int) -> bool:
        """Whether the key came within DOUBLES_US before; remembers it if not."""
        if at_us - self._swept_us >= SWEEP_US:
            self._sweep(at_us)
        before = self._seen.get(key)
        if before is not None and before > at_us - DOUBLES_US:
            return True
        self._seen[key] = at_us
        return False

    def _sweep(self, at_us: int) -> None:
        """Forget what can no longer be a double."""
        self._swept_us = at_us
        self._seen = {key: seen_us for key, seen_us in self._seen.items() if seen_us > at_us - DOUBLES_US}


def coin_row(coin: TrackedCoin, create: Create, at_us: int, first_seen_us: int) -> CoinRow:
    """The row of `discovered_coins` of a coin that was created at `at_us`."""
    return CoinRow(
        mint=coin.mint,
        first_seen_us=first_seen_us,
        name=create.name,
        symbol=create.symbol,
        creator=create.creator,
        signature=create.signature,
        bonding_curve_key=create.bonding_curve_key,
        pool=create.pool,
        curve="standard" if coin.is_standard else "nonstandard",
        is_mayhem=create.is_mayhem,
        virtual_sol_lamports=create.virtual_sol,
        virtual_token_base_units=create.virtual_token,
        initial_buy_lamports=create.initial_buy_lamports,
        initial_buy_base_units=create.initial_buy_base_units,
        market_cap_sol=create.market_cap_sol,
        uri=create.uri,
        created_us=at_us,
        filtered_reason=coin.filtered,
    )
