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
GATE_LOOKS = Counter("predictions_gate_looks_total", "Looks at a challenger, by what they found", ["verdict"])
PROMOTIONS = Counter("predictions_promotions_total", "Changes of the model at a place at work", ["kind"])
ALERTS_EVALUATED = Counter("server_alerts_evaluated_total", "Alerts judged")
ACTIVE_MODELS = Gauge(
    "server_active_models", "Models at work, without those in the shadow", multiprocess_mode="mostrecent"
)
COINS_TRACKED = Gauge("server_coins_tracked", "Coins in the scorer's memory", multiprocess_mode="mostrecent")

# One series a place at work; `measure` is precision or expected_value, `side` live or promised.
FEATURE_PSI = Gauge(
    "predictions_feature_psi_max", "Highest drift of a feature, last day", ["model_id"], multiprocess_mode="mostrecent"
)
SCORE_PSI = Gauge("predictions_score_psi", "Drift of the score, last day", ["model_id"], multiprocess_mode="mostrecent")
LIFE = Gauge(
    "predictions_life", "What a model keeps and what its test promised", ["model_id", "measure", "side"],
    multiprocess_mode="mostrecent",
)  # fmt: skip
OFF_BACKTEST = Gauge(
    "predictions_off_backtest", "1 where a model lives below what its test promised", ["model_id"],
    multiprocess_mode="mostrecent",
)  # fmt: skip
