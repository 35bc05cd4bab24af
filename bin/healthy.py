"""Is this process well? The health check of the containers: exit status 0 or 1. Usage: bin/healthy.py NAME

The web process must answer; every other must have noted its heartbeat in the database lately.
"""

import os
import sys
import urllib.error
import urllib.request

import psycopg

BEAT = "select exists(select from process_heartbeats where name = %s and beat_at > now() - interval '30 seconds')"


def web_answers() -> bool:
    """Whether it answers at all: /health says 503 where another part is unwell."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PORT']}/health", timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 503
    except OSError:
        return False
    return True


def beats(name: str) -> bool:
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5) as database:
            row = database.execute(BEAT, [name]).fetchone()
    except psycopg.OperationalError:
        return False
    return bool(row and row[0])


if __name__ == "__main__":
    sys.exit(not (web_answers() if sys.argv[1] == "web" else beats(sys.argv[1])))
