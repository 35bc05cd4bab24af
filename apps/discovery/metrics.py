"""Prometheus metrics of the stream, with the contract's names."""

from prometheus_client import Counter, Gauge, Histogram

COINS_DISCOVERED = Counter("find_coins_discovered_total", "coins seen for the first time")
COINS_FILTERED = Counter("find_coins_filtered_total", "coins known but not followed", ["reason"])
WS_RECONNECTS = Counter("find_ws_reconnects_total", "times the feed was connected again")
METRICS_SAVED = Counter("find_metrics_saved_total", "metric windows written")
TRANSACTIONS_SAVED = Counter("find_transactions_saved_total", "trades written")
PHASE_SWITCHES = Counter("find_phase_switches_total", "coins that went into another phase")
N8N_BATCHES = Counter("find_n8n_batches_sent_total", "batches of new coins sent to n8n")
FRAMES_LOST = Counter("find_frames_lost_total", "frames that found no room while the disk took no journal")
JOURNAL_WRITABLE = Gauge(
    "find_journal_writable", "1 while the disk takes the journal", multiprocess_mode="livemostrecent"
)
ACTIVE_STREAMS = Gauge("find_active_streams", "coins followed now", multiprocess_mode="livemostrecent")
CACHE_SIZE = Gauge("find_cache_size", "coins held in memory", multiprocess_mode="livemostrecent")
WS_CONNECTED = Gauge("find_ws_connected", "1 while the feed is connected", multiprocess_mode="livemostrecent")
DB_CONNECTED = Gauge("find_db_connected", "1 while the stream can write", multiprocess_mode="livemostrecent")
BANNED = Gauge("find_feed_banned", "1 while the feed keeps us out", multiprocess_mode="livemostrecent")
# The kinds are those that `pumpportal.parse` and `pipeline` name: a few dozen.
ODD_FRAMES = Counter("find_odd_frames_total", "frames that were not understood or are unusual", ["kind"])
TRADE_EVENTS = Counter("find_feed_trade_events_total", "trades sent by the feed, which it charges for")
CANARY = Gauge(
    "find_feed_exact_ratio",
    "share of checked creates and trades of the last hour that the curve gives exactly",
    multiprocess_mode="livemostrecent",
)
GAPS = Counter("find_gaps_total", "times without a connection", ["reason"])
GAP_SECONDS = Counter("find_gap_seconds_total", "seconds without a connection")
SUBSCRIPTIONS = Gauge(
    "find_feed_subscriptions", "coins wanted, covered, left out", ["state"], multiprocess_mode="livemostrecent"
)
COMMIT_SECONDS = Histogram(
    "find_commit_seconds",
    "from receiving the oldest frame of a commit to its end",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
