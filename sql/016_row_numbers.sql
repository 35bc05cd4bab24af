-- Rows that came with their numbers (plain tables turned into hypertables, a copied table): the next ones are numbered
-- behind them, or whoever reads in the order of the numbers would pass over them. Safe to run twice.
SELECT setval('coin_metrics_row_id_seq', max(row_id)) FROM coin_metrics
HAVING max(row_id) > (SELECT last_value FROM coin_metrics_row_id_seq);
