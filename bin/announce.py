"""Says on the terminal what a person waits for: the address, then each first (coins, model, alert, fill).

Started by bin/launch.py beside the processes of the Procfile; it only looks.
"""

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psycopg

POLL_SECONDS = 1.0
FIRSTS = {
    "first live window of a coin": "select exists(select from coin_metrics where timestamp > %s)",
    "first model trained": "select exists(select from ml_models)",
    "first model at work": "select exists(select from active_models)",
    "first score": "select exists(select from predictions)",
    "first alert": "select exists(select from alert_evaluations)",
    "first paper fill": "select exists(select from trade_logs where status = 'SUCCESS')",
}
FEED = "select connected, state, detail from stream_state"


def say(text: str) -> None:
    print(text, flush=True)


def since_start() -> str:
    return f"{time.time() - float(os.environ['STARTED_AT']):.0f} s"


def address() -> str:
    host = os.environ["HOST"]
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{os.environ['PORT']}/"


def web_answers() -> bool:
    try:
        urllib.request.urlopen(address(), timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def await_web() -> None:
    while not web_answers():
        time.sleep(0.3)
    Path(os.environ["RUNTIME_DIR"], "address").write_text(f"{address()}\n")
    say("")
    say(f"    Open  {address()}")
    say("    Ctrl-C stops everything; the data is kept. Logs: .runtime/log/ (make logs)")
    say(f"    The pages answer after {since_start()}.")
    say("")


def connect() -> psycopg.Connection:
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, connect_timeout=5)


class Watch:
    """What has been said already."""

    def __init__(self) -> None:
        self.left = dict(FIRSTS)
        self.feed: tuple[bool, str, str] | None = None
        self.began = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime())

    def reached(self, database: psycopg.Connection) -> list[str]:
        """What has come true since the last look."""
        reached = []
        for name, query in self.left.items():
            row = database.execute(query, [self.began] if "%s" in query else None).fetchone()
            if row and row[0]:
                reached.append(name)
        for name in reached:
            del self.left[name]
        return reached

    def look(self, database: psycopg.Connection) -> None:
        for name in self.reached(database):
            say(f"    {since_start():>7}  {name}")
        self.look_at_feed(database)

    def look_at_feed(self, database: psycopg.Connection) -> None:
        feed = database.execute(FEED).fetchone()
        if feed and feed != self.feed:
            self.feed = feed
            connected, state, detail = feed
            words = [state, "" if connected else "(not connected)", detail]
            say(f"    {since_start():>7}  feed: {' '.join(word for word in words if word)}")

    def run(self) -> None:
        while True:
            try:
                with connect() as database:
                    while True:
                        self.look(database)
                        time.sleep(POLL_SECONDS)
            except psycopg.OperationalError:
                time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watch = Watch()
    with connect() as database:
        watch.reached(database)  # an earlier start had these already
    await_web()
    watch.run()
