"""Tables of trading. Every amount is an integer: lamports, base units, basis points."""

from apps.trading.models.backtests import Backtest, BacktestTrade
from apps.trading.models.keys import KeyEvent
from apps.trading.models.ledger import LedgerEntry
from apps.trading.models.limits import Blocked, EquityPoint, RiskLimits
from apps.trading.models.orders import Order, Position, TradeLog
from apps.trading.models.reconciliation import ChainCheck, Difference
from apps.trading.models.settlements import Settlement
from apps.trading.models.shadows import ShadowFill
from apps.trading.models.state import TraderProgress, TradingState, VenueFeeAccount
from apps.trading.models.strategies import Strategy, StrategyFiltered, StrategyVersion
from apps.trading.models.transfers import SavedAddress, TransferLog
from apps.trading.models.unlocks import IdentityCheck, RealUnlock
from apps.trading.models.wallets import Wallet

__all__ = [
    "Backtest",
    "BacktestTrade",
    "Blocked",
    "ChainCheck",
    "Difference",
    "EquityPoint",
    "IdentityCheck",
    "KeyEvent",
    "LedgerEntry",
    "Order",
    "Position",
    "RealUnlock",
    "RiskLimits",
    "SavedAddress",
    "Settlement",
    "ShadowFill",
    "Strategy",
    "StrategyFiltered",
    "StrategyVersion",
    "TradeLog",
    "TraderProgress",
    "TradingState",
    "TransferLog",
    "VenueFeeAccount",
    "Wallet",
]
