"""The stage of the endurance run: database and queue servers of its own, and the real stream process on them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from django.conf import settings

SERVICES = "bin/services"
PATIENCE_SECONDS = 120.0
SILENCE_SECONDS = 4.0


class EnduranceError(RuntimeError):
    """The run could not be judged: something of the stage itself did not work."""


@dataclass(slots=True)
class Servers:
    """`bin/services` in a folder of its own."""

    runtime: Path

    def start(self, name: str = "all") -> None:
        self._run("start", name)

    def stop(self, name: str = "all") -> None:
        self._run("stop", name)

    def kill_database(self) -> None:
        """kill -9 to the server; its sessions notice and end."""
        pid_file = self.runtime / "services" / "data" / "pg" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGKILL)

    @property
    def database_url(self) -> str:
        return self._run("psql-url")

    @property
    def redis_url(self) -> str:
        return self._run("redis-url")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(settings.BASE_DIR / SERVICES), *arguments],
            env={**os.environ, "RUNTIME_DIR": str(self.runtime)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EnduranceError(f"{SERVICES} {' '.join(arguments)}: {done.stderr[-1_000:]}")
        return done.stdout.strip()


@dataclass(slots=True)
class StreamProcess:
    """`manage.py runstream`, started again by whoever kills it."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runstream"],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def memory_mb(self) -> int:
        """Resident memory; 0 while it does not run."""
        if self.process is None or not self.is_running:
            return 0
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self) -> int:
        """Ask it to end; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@dataclass(slots=True)
class Scene:
    """Everything that is killed and stopped."""

    servers: Servers
    stream: StreamProcess
    database_url: str
    journal: Path


@contextmanager
def opened(feed_uri: str) -> Iterator[Scene]:
    """Servers with an empty, migrated database, and a stream that is about to start. All of it is gone afterwards."""
    with TemporaryDirectory(prefix="endurance-") as folder:
        Path(folder).chmod(0o755)  # the database's user has to walk through it
        servers = Servers(Path(folder) / "runtime")
        _borrow_programs(servers.runtime)
        servers.start()
        environment = _environment(servers, Path(folder), feed_uri)
        stream = StreamProcess(environment, Path(folder) / "runstream.log")
        try:
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "-v", "0"], cwd=settings.BASE_DIR, env=environment, check=True
            )
            yield Scene(servers, stream, environment["DATABASE_URL"], Path(environment["JOURNAL_DIR"]))
        except BaseException:
            _show_end(stream.log)
            raise
        finally:
            stream.kill()
            servers.start("postgres")  # a killed one is no longer there to be stopped, its files may be in use yet
            servers.stop()


def _show_end(log: Path) -> None:
    if log.exists():
        sys.stderr.write(log.read_text(errors="replace")[-6_000:])


def _borrow_programs(runtime: Path) -> None:
    """Take the unpacked servers of this clone where there are some; else they are fetched."""
    programs = settings.RUNTIME_DIR / "services" / "servers"
    if (programs / ".complete").exists():
        shutil.copytree(programs, runtime / "services" / "servers", symlinks=True)


def _environment(servers: Servers, folder: Path, feed_uri: str) -> dict[str, str]:
    return {
        **os.environ,
        "ENV_FILE": os.devnull,
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "RUNTIME_DIR": str(servers.runtime),
        "JOURNAL_DIR": str(folder / "journal"),
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "prom"),
        "FEED_MODE": "live",
        "WS_URI": feed_uri,
        "WS_RETRY_DELAY": "0.2",
        "WS_MAX_RETRY_DELAY": "1",
        "WS_CONNECTION_TIMEOUT": str(SILENCE_SECONDS),
        "SUBSCRIPTION_CAP": "1000000",
        "SPAM_BURST_WINDOW": "0",  # a market this busy repeats every name
        "JOURNAL_KEEP_GB": "0",
        "LOG_LEVEL": "INFO",
    }


def position(database_url: str) -> int:
    """The number of the first journal line that the tables do not have yet; -1 while the database is away."""
    try:
        with psycopg.connect(database_url, connect_timeout=3) as connection:
            row = connection.execute("select next_seq from stream_state").fetchone()
            return int(row[0]) if row else 0
    except psycopg.OperationalError:
        return -1


def end_sessions(database_url: str) -> None:
    """Break every session off, as a restarted proxy or an impatient administrator does."""
    with psycopg.connect(database_url) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Until the condition is true. Raises EnduranceError after `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise EnduranceError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.2)
