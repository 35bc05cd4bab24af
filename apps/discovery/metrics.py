"""Prometheus metrics of the stream, with the contract's names."""

from prometheus_client import Counter, Gauge

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
