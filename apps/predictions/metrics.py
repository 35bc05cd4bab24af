"""Prometheus names of predictions, fixed by contract."""

from prometheus_client import Counter, Gauge, Histogram

PREDICTIONS = Counter("server_predictions_total", "Scores written", ["model_id"])
PREDICTION_SECONDS = Histogram(
    "server_prediction_duration_seconds",
    "Scoring one batch of coins with one model",
    ["model_id"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
ALERTS = Counter("server_alerts_total", "Alerts by status: pending when fired, then their outcome", ["status"])
ALERTS_EVALUATED = Counter("server_alerts_evaluated_total", "Alerts judged")
ACTIVE_MODELS = Gauge("server_active_models", "Models at work", multiprocess_mode="mostrecent")
COINS_TRACKED = Gauge("server_coins_tracked", "Coins in the scorer's memory", multiprocess_mode="mostrecent")
