-- Outcomes by day like the predictions they belong to, so that retention drops whole days.
SELECT create_hypertable('model_predictions', by_range('as_of', INTERVAL '1 day'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);
