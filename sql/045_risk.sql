COMMENT ON INDEX risk_blocked_once IS 'whether a coin or its creator is blocked: apps.trading.gate_queries.origin_of';
COMMENT ON INDEX equity_point_once IS 'the equity of all wallets since a time: apps.trading.equity.equity_points';
COMMENT ON INDEX positions_of_coin IS 'what was lost with a coin or creator: apps.trading.gate_queries.result_of';
COMMENT ON INDEX positions_closed IS 'the streak of losses of all wallets: apps.trading.gate_queries.streak_of';
COMMENT ON INDEX orders_of_strategy IS 'how a strategy''s orders ended over a time: apps.trading.funnel_queries.orders_counted';
