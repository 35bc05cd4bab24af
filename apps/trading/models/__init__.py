"""Tables of trading. Every amount is an integer: lamports, base units, basis points."""

from apps.trading.models.backtests import Backtest, BacktestTrade
from apps.trading.models.ledger import LedgerEntry
from apps.trading.models.orders import Order, Position, TradeLog
from apps.trading.models.state import TraderProgress, TradingState
from apps.trading.models.strategies import Strategy, StrategyFiltered, StrategyVersion
from apps.trading.models.transfers import TransferLog
from apps.trading.models.wallets import Wallet

__all__ = [
    "Backtest",
    "BacktestTrade",
    "LedgerEntry",
    "Order",
    "Position",
    "Strategy",
    "StrategyFiltered",
    "StrategyVersion",
    "TradeLog",
    "TraderProgress",
    "TradingState",
    "TransferLog",
    "Wallet",
]
