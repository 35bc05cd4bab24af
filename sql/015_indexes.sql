-- Every index of discovery names the query it is for (test_indexes.py resolves the names); what no query needs goes.

-- Prefix search of keys that nobody searches by prefix, made by Django for each text key.
DROP INDEX IF EXISTS coin_metadata_mint_2ff1258f_like;
DROP INDEX IF EXISTS coin_streams_mint_62648357_like;
DROP INDEX IF EXISTS creator_coins_mint_9af35f83_like;
DROP INDEX IF EXISTS creator_histories_mint_ebb8754e_like;
DROP INDEX IF EXISTS discovery_settings_key_63dcac26_like;
DROP INDEX IF EXISTS feed_cursors_name_359f380d_like;
DROP INDEX IF EXISTS metadata_host_pauses_host_b3880366_like;
DROP INDEX IF EXISTS ref_coin_phases_name_6c6fd4e9_like;
-- Foreign keys whose rows are found by another index, or never looked for.
DROP INDEX IF EXISTS coin_pattern_embeddings_phase_id_509b2cf1;
DROP INDEX IF EXISTS stream_gap_coins_gap_id_805b4e50;

-- Search of coins by any part of name and symbol. The owner of a database may create this extension.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX IF NOT EXISTS coins_name_search
    ON discovered_coins USING gin (upper(name) gin_trgm_ops, upper(symbol) gin_trgm_ops);
CREATE INDEX IF NOT EXISTS coins_creator_begins ON discovered_coins (creator varchar_pattern_ops);

COMMENT ON INDEX coins_name_search IS 'search of names and symbols: apps.discovery.queries.coins_named';
COMMENT ON INDEX coins_creator_begins IS 'search by the beginning of a creator: apps.discovery.queries.coins_named';
COMMENT ON INDEX discovered_coins_mint_a89cf200_like IS 'search by the beginning of a mint: apps.discovery.queries.coins_named';
COMMENT ON INDEX coins_newest IS 'coins by time: apps.discovery.exports.COINS, apps.discovery.creators.WITHOUT_HISTORY';
COMMENT ON INDEX coins_created IS 'coins by the time of their creation: apps.discovery.creators.HISTORIES';
COMMENT ON INDEX coins_of_creator IS 'coins of a creator: apps.discovery.creators.COINS_OF';
COMMENT ON INDEX discovered_coins_pkey IS 'a coin: apps.discovery.api.coin_or_404, apps.discovery.writer.write';
COMMENT ON INDEX streams_active IS 'coins that trade: apps.discovery.pages_list.mints_found';
COMMENT ON INDEX streams_ended IS 'coins that ended: apps.discovery.creators.FOLDABLE';
COMMENT ON INDEX coin_streams_phase_id_0d98b6ad IS 'coins of a phase: apps.discovery.services.phase_delete';
COMMENT ON INDEX coin_streams_pkey IS 'a coin: apps.discovery.candles.SPAN, apps.discovery.writer.write';
COMMENT ON INDEX coin_transactions_pkey IS 'trades of a coin: apps.discovery.candles.RAW, apps.discovery.writer.insert_trades';
COMMENT ON INDEX coin_transactions_time IS 'trades by time: apps.discovery.rollups.ROLL_UP, apps.discovery.exports.TRADES, apps.discovery.loading.load_snapshot';
COMMENT ON INDEX coin_metrics_pkey IS 'windows of a coin: apps.discovery.queries.metrics_newest';
COMMENT ON INDEX coin_metrics_time IS 'windows by time: apps.discovery.queries.metrics_newest, training''s rows';
COMMENT ON INDEX coin_metrics_row_id IS 'windows not yet scored, by the predictions part; apps.discovery.writer.insert_metrics sets it';
COMMENT ON INDEX coin_candles_1m_pkey IS 'candles of a coin: apps.discovery.candles.ROLLED, apps.discovery.rollups.ROLL_UP';
COMMENT ON INDEX coin_candles_due_minute IS 'minutes to roll up: apps.discovery.rollups.CLAIM, apps.discovery.candles.ROLLED';
COMMENT ON INDEX embeddings_cosine IS 'nearest patterns: apps.discovery.models.CoinPatternEmbedding';
COMMENT ON INDEX embedding_once IS 'one pattern a stretch: apps.discovery.models.CoinPatternEmbedding';
COMMENT ON INDEX coin_batches_due IS 'batches to send: apps.discovery.coin_batches';
COMMENT ON INDEX metadata_pending IS 'metadata to fetch: apps.discovery.metadata_queue';
COMMENT ON INDEX rate_once IS 'a rate once: apps.discovery.rates';
COMMENT ON INDEX rates_by_time IS 'the rate at a time: apps.discovery.rates';
COMMENT ON INDEX coin_pinned_once IS 'a coin once a holder: apps.discovery.pins';
COMMENT ON INDEX gap_once IS 'gaps by time: apps.discovery.candles.GAPS, apps.discovery.queries.gaps_between';
COMMENT ON INDEX gap_coin_once IS 'coins of a gap: apps.discovery.gaps.ASSESS';
COMMENT ON INDEX gap_coins_of_mint IS 'gaps of a coin: apps.discovery.gaps';
COMMENT ON INDEX odd_frame_once IS 'samples of a kind: apps.discovery.queries.ODD_SAMPLES';
COMMENT ON INDEX ref_coin_phases_name_key IS 'a name once: apps.discovery.services.phase_save';
