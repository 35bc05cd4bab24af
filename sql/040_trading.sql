-- How each wallet has done, from its closed positions.
CREATE OR REPLACE VIEW wallet_performance AS
SELECT w.id AS wallet_id, w.alias, w.wallet_type, w.virtual_balance_lamports,
       count(p.id) FILTER (WHERE p.status = 'CLOSED') AS closed_positions,
       count(p.id) FILTER (WHERE p.status = 'CLOSED' AND p.realized_pnl_lamports > 0) AS winners,
       count(p.id) FILTER (WHERE p.status = 'OPEN') AS open_positions,
       coalesce(sum(p.realized_pnl_lamports) FILTER (WHERE p.status = 'CLOSED'), 0)::bigint AS realized_pnl_lamports,
       coalesce(max(p.realized_pnl_lamports) FILTER (WHERE p.status = 'CLOSED'), 0)::bigint AS best_lamports,
       coalesce(min(p.realized_pnl_lamports) FILTER (WHERE p.status = 'CLOSED'), 0)::bigint AS worst_lamports
FROM wallets w
LEFT JOIN positions p ON p.wallet_id = w.id
GROUP BY w.id;
