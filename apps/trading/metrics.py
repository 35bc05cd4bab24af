"""Prometheus metrics of trading; the names are fixed by contract."""

from prometheus_client import Counter, Gauge

TRADES_TOTAL = Counter("buy_trades_total", "orders that ended, by action and status", ["action", "status"])
ACTIVE_POSITIONS = Gauge("buy_active_positions", "open positions", multiprocess_mode="mostrecent")
TRADE_VOLUME_SOL_TOTAL = Counter("buy_trade_volume_sol_total", "SOL that our fills moved on the curve")
WALLETS_ACTIVE = Gauge("buy_wallets_active", "wallets that are active", multiprocess_mode="mostrecent")
CHAIN_DIFFERENCES = Gauge(
    "buy_chain_differences", "open differences between our books and the chain", multiprocess_mode="mostrecent"
)
