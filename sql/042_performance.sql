-- How each wallet has done, from its closed positions and all its trades. Undefined is NULL: no position, no loss.
CREATE OR REPLACE VIEW wallet_performance AS
WITH closed AS (
    SELECT wallet_id, id, closed_at, realized_pnl_lamports AS pnl, closed_at - opened_at AS held,
           sum(realized_pnl_lamports) OVER (PARTITION BY wallet_id ORDER BY closed_at, id) AS total
    FROM positions WHERE status = 'CLOSED'
), falls AS (
    SELECT wallet_id, pnl, held,
           greatest(max(total) OVER (PARTITION BY wallet_id ORDER BY closed_at, id), 0) - total AS fall
    FROM closed
), done AS (
    SELECT wallet_id, count(*) AS closed_positions, count(*) FILTER (WHERE pnl > 0) AS winners,
           sum(pnl)::bigint AS pnl, max(pnl)::bigint AS best, min(pnl)::bigint AS worst,
           coalesce(sum(pnl) FILTER (WHERE pnl > 0), 0)::bigint AS won,
           coalesce(-sum(pnl) FILTER (WHERE pnl < 0), 0)::bigint AS lost,
           max(fall)::bigint AS fall, extract(epoch FROM avg(held))::float8 AS held
    FROM falls GROUP BY wallet_id
), open AS (
    SELECT wallet_id, count(*) AS positions FROM positions WHERE status = 'OPEN' GROUP BY wallet_id
), paid AS (
    SELECT wallet_id,
           sum(protocol_fee_lamports + creator_fee_lamports + venue_fee_lamports + network_fee_lamports + tip_lamports
               + virtual_loss_lamports)::bigint AS fees,
           count(*) AS trades, count(*) FILTER (WHERE status = 'FAILED') AS failures
    FROM trade_logs GROUP BY wallet_id
)
SELECT w.id AS wallet_id, w.alias, w.wallet_type, w.virtual_balance_lamports,
       coalesce(d.closed_positions, 0) AS closed_positions, coalesce(d.winners, 0) AS winners,
       coalesce(o.positions, 0) AS open_positions, coalesce(d.pnl, 0) AS realized_pnl_lamports,
       coalesce(d.best, 0) AS best_lamports, coalesce(d.worst, 0) AS worst_lamports,
       d.winners::float8 / d.closed_positions AS win_rate,
       coalesce(d.won, 0) AS gross_profit_lamports, coalesce(d.lost, 0) AS gross_loss_lamports,
       d.won::float8 / nullif(d.lost, 0) AS profit_factor,
       coalesce(d.fall, 0) AS max_drawdown_lamports, d.held AS average_held_seconds,
       coalesce(f.fees, 0) AS fees_lamports, coalesce(f.trades, 0) AS trades, coalesce(f.failures, 0) AS failures
FROM wallets w
LEFT JOIN done d ON d.wallet_id = w.id
LEFT JOIN open o ON o.wallet_id = w.id
LEFT JOIN paid f ON f.wallet_id = w.id;

-- The same by the reason for which positions were left.
CREATE OR REPLACE VIEW wallet_exit_performance AS
SELECT p.wallet_id, w.alias, p.exit_reason, count(*) AS positions,
       count(*) FILTER (WHERE p.realized_pnl_lamports > 0) AS winners,
       sum(p.realized_pnl_lamports)::bigint AS realized_pnl_lamports,
       avg(p.realized_pnl_lamports)::float8 AS average_pnl_lamports,
       extract(epoch FROM avg(p.closed_at - p.opened_at))::float8 AS average_held_seconds
FROM positions p JOIN wallets w ON w.id = p.wallet_id
WHERE p.status = 'CLOSED'
GROUP BY p.wallet_id, w.alias, p.exit_reason;
