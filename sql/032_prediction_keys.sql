-- One index instead of two where the scorer writes most: a score by (coin, window, model) also gives a coin's newest.
ALTER TABLE predictions DROP CONSTRAINT predictions_pkey;
ALTER TABLE predictions ADD CONSTRAINT predictions_pkey PRIMARY KEY (mint, as_of, active_model_id);
DROP INDEX IF EXISTS predictions_of_coin;
