-- Candles of one minute, rolled up from coin_transactions: they stay when old trades are dropped. 30-day chunks.
SELECT create_hypertable('coin_candles_1m', by_range('timestamp', INTERVAL '30 days'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);

-- apps.discovery.rollups.CLAIM, apps.discovery.candles.ROLLED: the minutes that are not rolled up yet
CREATE INDEX IF NOT EXISTS coin_candles_due_minute ON coin_candles_due (minute);

-- What was stored before there were candles is due.
INSERT INTO coin_candles_due (minute)
SELECT DISTINCT date_trunc('minute', "timestamp") FROM coin_transactions
WHERE NOT EXISTS (SELECT FROM coin_candles_due) AND NOT EXISTS (SELECT FROM coin_candles_1m);
