"""Prometheus metrics of the platform as a whole."""

from prometheus_client import Counter, Gauge

DB_CONNECTED = Gauge("platform_db_connected", "1 while the database answers", multiprocess_mode="mostrecent")
UPTIME_SECONDS = Gauge(
    "platform_uptime_seconds", "seconds since the oldest living process started", multiprocess_mode="mostrecent"
)
WEBHOOKS = Counter("platform_webhooks_total", "attempts to send a webhook, by what became of it", ["kind", "status"])
