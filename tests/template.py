"""One migrated database that the workers of a parallel run copy: migrating takes 5 s of a core, a copy one.

The first worker makes it, the others wait for it by an advisory lock. Django migrates the copy as ever, and finds
nothing left to do. The run drops it at its end; what a killed run left goes with the next.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import psycopg
from django.db import connection

_PATIENCE_SECONDS = 10.0


def prepare(run: str) -> None:
    """Have the tests' database copied from that of this run, which is made if it is not there yet. Where somebody else
    keeps a connection to it (a scheduler of TimescaleDB), each worker migrates by itself."""
    name = f"{_stem()}{run[:8]}"
    with _server() as server:
        server.execute("SELECT pg_advisory_lock(%s)", [int.from_bytes(sha256(_stem().encode()).digest()[:7])])
        if name not in _made(server):
            drop()
            _make(name)
        if _alone(server, name):
            connection.settings_dict["TEST"]["TEMPLATE"] = name


def drop() -> None:
    """Remove what this or another run has made; only one run at a time works with a database."""
    with _server() as server:
        for name in _made(server):
            server.execute(f"DROP DATABASE IF EXISTS {connection.ops.quote_name(name)}")


@contextmanager
def _server() -> Iterator[psycopg.Connection]:
    """A connection to no database of ours; what it locks is free when it closes."""
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(**parameters, autocommit=True) as server:
        yield server


def _make(name: str) -> None:
    settings = connection.settings_dict
    before = settings["NAME"], settings["TEST"]["NAME"]
    settings["TEST"]["NAME"] = name
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    connection.close()
    settings["NAME"], settings["TEST"]["NAME"] = before


def _alone(server: psycopg.Connection, name: str) -> bool:
    """Whether nobody is connected to the database; nobody can be from now on."""
    server.execute(f"ALTER DATABASE {connection.ops.quote_name(name)} ALLOW_CONNECTIONS false")
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not server.execute("SELECT FROM pg_stat_activity WHERE datname = %s", [name]).fetchone():
            return True
        time.sleep(0.05)
    return False


def _made(server: psycopg.Connection) -> list[str]:
    found = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_stem()])
    return [name for (name,) in found.fetchall()]


def _stem() -> str:
    """How the names begin: the same for all workers of a run, and for the run itself."""
    return f"template_of_{connection.settings_dict['NAME'][:36]}_"
