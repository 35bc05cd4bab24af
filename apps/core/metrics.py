"""Prometheus metrics of the platform as a whole."""

from prometheus_client import Gauge

DB_CONNECTED = Gauge("platform_db_connected", "1 while the database answers", multiprocess_mode="mostrecent")
UPTIME_SECONDS = Gauge(
    "platform_uptime_seconds", "seconds since the oldest living process started", multiprocess_mode="mostrecent"
)
