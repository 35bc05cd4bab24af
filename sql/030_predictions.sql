-- Hypertables of predictions: 1-day chunks.
SELECT create_hypertable('predictions', by_range('as_of', INTERVAL '1 day'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);
SELECT create_hypertable('alert_evaluations', by_range('as_of', INTERVAL '1 day'),
                         create_default_indexes => false, if_not_exists => true, migrate_data => true);

CREATE SEQUENCE IF NOT EXISTS alert_evaluations_alert_id_seq OWNED BY alert_evaluations.alert_id;
ALTER TABLE alert_evaluations ALTER COLUMN alert_id SET DEFAULT nextval('alert_evaluations_alert_id_seq');
-- the trader reads alerts in the order of their commit
CREATE INDEX IF NOT EXISTS alert_evaluations_alert_id ON alert_evaluations (alert_id);
-- the judge reads what is due
CREATE INDEX IF NOT EXISTS alert_evaluations_due ON alert_evaluations (horizon_at) WHERE status = 'pending';
-- newest scores, overall and of a coin
CREATE INDEX IF NOT EXISTS predictions_time ON predictions (as_of DESC);
CREATE INDEX IF NOT EXISTS predictions_of_coin ON predictions (mint, as_of DESC);
CREATE INDEX IF NOT EXISTS model_predictions_time ON model_predictions (as_of DESC);

INSERT INTO scorer_state (id, last_row_id, skipped_total) VALUES (1, 0, 0) ON CONFLICT DO NOTHING;
