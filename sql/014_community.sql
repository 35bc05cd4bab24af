-- What only TimescaleDB's Community edition can do (docs/decisions/0013-storage.md). Safe to run twice, and again after
-- a change of the edition: psql -f sql/014_community.sql

-- The market hour by hour. A continuous aggregate in the Community edition, a plain view of the same name, columns and
-- rows in the Apache edition; both over the candles, which stay when trades are dropped.
DO $$
DECLARE
    is_community boolean := coalesce(current_setting('timescaledb.license', true), '') = 'timescale';
    is_aggregate boolean := EXISTS (SELECT FROM timescaledb_information.continuous_aggregates
                                    WHERE view_name = 'market_hourly' AND view_schema = current_schema());
BEGIN
    IF NOT is_community THEN
        CREATE OR REPLACE VIEW market_hourly AS
        SELECT time_bucket(INTERVAL '1 hour', "timestamp") AS hour, sum(volume_lamports)::bigint AS volume_lamports,
               sum(buy_volume_lamports)::bigint AS buy_volume_lamports, sum(trades)::bigint AS trades,
               sum(buys)::bigint AS buys, count(*) AS coin_minutes
        FROM coin_candles_1m GROUP BY 1;
        RETURN;
    END IF;
    IF NOT is_aggregate THEN
        DROP VIEW IF EXISTS market_hourly;
        CREATE MATERIALIZED VIEW market_hourly
        WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
        SELECT time_bucket(INTERVAL '1 hour', "timestamp") AS hour, sum(volume_lamports)::bigint AS volume_lamports,
               sum(buy_volume_lamports)::bigint AS buy_volume_lamports, sum(trades)::bigint AS trades,
               sum(buys)::bigint AS buys, count(*) AS coin_minutes
        FROM coin_candles_1m GROUP BY 1
        WITH NO DATA;
    END IF;
    -- From the beginning: histories may be imported at any time.
    PERFORM add_continuous_aggregate_policy('market_hourly', start_offset => NULL, end_offset => INTERVAL '2 hours',
                                            schedule_interval => INTERVAL '30 minutes', if_not_exists => true);
END $$;

-- Compression of what is not written any more. Imports into compressed days still work, only slower.
DO $$
BEGIN
    IF coalesce(current_setting('timescaledb.license', true), '') <> 'timescale' THEN
        RETURN;
    END IF;
    ALTER TABLE coin_transactions SET (timescaledb.compress, timescaledb.compress_segmentby = 'mint',
                                       timescaledb.compress_orderby = '"timestamp", trade_key');
    ALTER TABLE coin_metrics SET (timescaledb.compress, timescaledb.compress_segmentby = 'mint',
                                  timescaledb.compress_orderby = '"timestamp"');
    ALTER TABLE coin_candles_1m SET (timescaledb.compress, timescaledb.compress_segmentby = 'mint',
                                     timescaledb.compress_orderby = '"timestamp"');
    PERFORM add_compression_policy('coin_transactions', INTERVAL '7 days', if_not_exists => true);
    PERFORM add_compression_policy('coin_metrics', INTERVAL '7 days', if_not_exists => true);
    PERFORM add_compression_policy('coin_candles_1m', INTERVAL '60 days', if_not_exists => true);
END $$;
