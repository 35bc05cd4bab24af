-- Alerts that came with their numbers: the next ones are numbered behind them (as 016_row_numbers.sql).
SELECT setval('alert_evaluations_alert_id_seq', max(alert_id)) FROM alert_evaluations
HAVING max(alert_id) > (SELECT last_value FROM alert_evaluations_alert_id_seq);
