-- Hypertables of discovery: 1-day chunks. Plain tables with data are turned into hypertables where they are not yet.
SELECT create_hypertable('coin_metrics', by_range('timestamp', INTERVAL '1 day'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);
SELECT create_hypertable('coin_transactions', by_range('timestamp', INTERVAL '1 day'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);

-- The scorer reads metric rows in the order of their commit (one writer, so sequence order is commit order).
CREATE SEQUENCE IF NOT EXISTS coin_metrics_row_id_seq OWNED BY coin_metrics.row_id;
ALTER TABLE coin_metrics ALTER COLUMN row_id SET DEFAULT nextval('coin_metrics_row_id_seq');
-- apps.predictions.queries: rows not yet scored
CREATE INDEX IF NOT EXISTS coin_metrics_row_id ON coin_metrics (row_id);
-- apps.training.queries: rows of a time range; GET metrics
CREATE INDEX IF NOT EXISTS coin_metrics_time ON coin_metrics ("timestamp" DESC);
-- apps.discovery.queries: newest trades of all coins
CREATE INDEX IF NOT EXISTS coin_transactions_time ON coin_transactions ("timestamp" DESC);

-- The phases by contract; a phase edited by the user is left as it is.
INSERT INTO ref_coin_phases (id, name, interval_seconds, min_age_minutes, max_age_minutes) VALUES
    (1, 'Baby Zone', 5, 0, 10),
    (2, 'Survival Zone', 30, 10, 60),
    (3, 'Mature Zone', 60, 60, 1440),
    (99, 'Finished', 0, 1440, 1440),
    (100, 'Graduated', 0, 0, 0)
ON CONFLICT DO NOTHING;

INSERT INTO stream_state (id, segment, "offset", next_seq, mode, connected, state, detail, frames_total, oddities)
VALUES (1, '', 0, 0, 'live', false, 'starting', '', 0, '{}')
ON CONFLICT DO NOTHING;

-- Coins whose curve is at least 80 % sold and that still trade.
CREATE OR REPLACE VIEW coins_near_graduation AS
SELECT c.mint, c.name, c.symbol, s.last_market_cap_sol, s.last_trade_at,
       (s.virtual_sol_lamports - 30000000000) / 850053590.56806 AS bonding_curve_pct
FROM coin_streams s
JOIN discovered_coins c USING (mint)
WHERE s.is_active AND NOT s.is_graduated AND c.curve = 'standard'
  AND s.virtual_sol_lamports >= 98004287245;
