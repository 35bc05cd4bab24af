"""Trades to metric rows: one open window a coin, folded trade by trade. Pure; the stream, a restart and the import of a
history all fold with this.

Sums are exact integers (lamports); a row's floats are made from them once, when the window closes. What is unknown is
None: wallets and the creator's sales where a trader was not recorded, the curve away from the standard curve, a ratio
of nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from apps.discovery import curve

MICRO_TRADE_LAMPORTS = 10_000_000
TOKENS = curve.SUPPLY // curve.BASE_UNITS_PER_TOKEN
_SOL = 1e9

# The order of `metric_row`.
METRIC_COLUMNS = (
    "mint",
    "timestamp",
    "phase_id_at_time",
    "price_open",
    "price_high",
    "price_low",
    "price_close",
    "market_cap_close",
    "bonding_curve_pct",
    "virtual_sol_reserves",
    "is_koth",
    "volume_sol",
    "buy_volume_sol",
    "sell_volume_sol",
    "num_buys",
    "num_sells",
    "unique_wallets",
    "num_micro_trades",
    "dev_sold_amount",
    "max_single_buy_sol",
    "max_single_sell_sol",
    "net_volume_sol",
    "volatility_pct",
    "avg_trade_size_sol",
    "whale_buy_volume_sol",
    "whale_sell_volume_sol",
    "num_whale_buys",
    "num_whale_sells",
    "buy_pressure_ratio",
    "unique_signer_ratio",
)
MetricRow = tuple[str | int | float | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`whale_lamports`: the least size of a whale's trade; `koth_market_cap_sol`: king of the hill from there."""

    whale_lamports: int
    koth_market_cap_sol: float


class Window:
    """The trades of one coin in [start_us, end_us), as running sums."""

    __slots__ = (
        "buy_lamports",
        "close",
        "creator_sold_lamports",
        "end_us",
        "high",
        "low",
        "max_buy_lamports",
        "max_sell_lamports",
        "num_buys",
        "num_micro",
        "num_sells",
        "num_whale_buys",
        "num_whale_sells",
        "open",
        "phase_id",
        "sell_lamports",
        "sold_by",
        "start_us",
        "traders",
        "traders_known",
        "virtual_sol",
        "whale_buy_lamports",
        "whale_sell_lamports",
    )

    def __init__(self, phase_id: int, start_us: int, end_us: int) -> None:
        self.phase_id, self.start_us, self.end_us = phase_id, start_us, end_us
        self.open = self.high = self.low = self.close = 0.0
        self.buy_lamports = self.sell_lamports = self.num_buys = self.num_sells = self.num_micro = 0
        self.max_buy_lamports = self.max_sell_lamports = self.creator_sold_lamports = 0
        self.whale_buy_lamports = self.whale_sell_lamports = self.num_whale_buys = self.num_whale_sells = 0
        self.traders: set[str] = set()
        self.sold_by: dict[str, int] = {}  # lamports, by trader, of what was sold while the creator was unknown
        self.traders_known = True
        self.virtual_sol: int | None = None

    @property
    def num_trades(self) -> int:
        return self.num_buys + self.num_sells

    def add(
        self,
        is_buy: bool,
        lamports: int,
        price_sol: float,
        virtual_sol: int | None,
        trader: str | None,
        creator: str | None,
        whale_lamports: int,
    ) -> None:
        """Fold one trade, given in the order of the feed."""
        if not self.num_buys and not self.num_sells:
            self.open = self.high = self.low = price_sol
        elif price_sol > self.high:
            self.high = price_sol
        elif price_sol < self.low:
            self.low = price_sol
        self.close = price_sol
        self.virtual_sol = virtual_sol
        if lamports < MICRO_TRADE_LAMPORTS:
            self.num_micro += 1
        if trader is None:
            self.traders_known = False
        else:
            self.traders.add(trader)
        if is_buy:
            self.num_buys += 1
            self.buy_lamports += lamports
            if lamports > self.max_buy_lamports:
                self.max_buy_lamports = lamports
        else:
            self._add_sell(lamports, trader, creator)
        if lamports >= whale_lamports:
            self._add_whale(is_buy, lamports)

    def _add_sell(self, lamports: int, trader: str | None, creator: str | None) -> None:
        self.num_sells += 1
        self.sell_lamports += lamports
        if lamports > self.max_sell_lamports:
            self.max_sell_lamports = lamports
        if creator is None:
            if trader is not None:
                self.sold_by[trader] = self.sold_by.get(trader, 0) + lamports
        elif trader == creator:
            self.creator_sold_lamports += lamports

    def _add_whale(self, is_buy: bool, lamports: int) -> None:
        if is_buy:
            self.num_whale_buys += 1
            self.whale_buy_lamports += lamports
        else:
            self.num_whale_sells += 1
            self.whale_sell_lamports += lamports


def metric_row(
    mint: str, window: Window, *, is_standard: bool, creator: str | None, koth_market_cap_sol: float
) -> MetricRow:
    """The window as a row of `coin_metrics` in the order of METRIC_COLUMNS; `timestamp` is its end in microseconds."""
    trades = window.num_buys + window.num_sells
    volume = window.buy_lamports + window.sell_lamports
    wallets = len(window.traders) if window.traders_known else None
    market_cap = window.close * TOKENS
    creator_sold = window.creator_sold_lamports + window.sold_by.get(creator or "", 0)
    on_curve = is_standard and window.virtual_sol is not None
    return (
        mint,
        window.end_us,
        window.phase_id,
        window.open,
        window.high,
        window.low,
        window.close,
        market_cap,
        curve.curve_progress_pct(window.virtual_sol) if on_curve and window.virtual_sol is not None else None,
        None if window.virtual_sol is None else window.virtual_sol / _SOL,
        is_standard and market_cap >= koth_market_cap_sol,
        volume / _SOL,
        window.buy_lamports / _SOL,
        window.sell_lamports / _SOL,
        window.num_buys,
        window.num_sells,
        wallets,
        window.num_micro,
        creator_sold / _SOL if creator and window.traders_known else None,
        window.max_buy_lamports / _SOL,
        window.max_sell_lamports / _SOL,
        (window.buy_lamports - window.sell_lamports) / _SOL,
        (window.high - window.low) / window.open * 100,
        volume / trades / _SOL,
        window.whale_buy_lamports / _SOL,
        window.whale_sell_lamports / _SOL,
        window.num_whale_buys,
        window.num_whale_sells,
        window.buy_lamports / volume if volume else None,
        None if wallets is None else wallets / trades,
    )
