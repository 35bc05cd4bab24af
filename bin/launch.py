"""Brings the database up to date and runs every process of the Procfile under honcho until a signal comes.

Called by bin/demo with `demo` or `live`, in the virtual environment, after packages, servers and secrets are there.
"""

import contextlib
import datetime
import logging.handlers
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

import environ
import honcho.manager
from honcho.compat import ProcessManager
from honcho.environ import parse_procfile

ROOT = Path(__file__).resolve().parent.parent
STARTED = time.monotonic() - float(os.environ.pop("LAUNCH_SECONDS", "0"))
STOP_SECONDS = 20
GONE_SECONDS = 5
WRONG_SETTINGS = 78
LOG_BYTES, LOG_FILES = 20_000_000, 3
LOUD = re.compile(
    r"\[(warning|error|critical)\s*\]|^Traceback|^\w*Error:|^Wrong settings|: (ended with|stopped for good)"
)
ANNOUNCE = "announce"


def is_loud(line: str) -> bool:
    """Worth a look on the terminal; that a page was not found is not."""
    return bool(LOUD.search(line)) and "request_finished" not in line


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fail(sentence: str) -> NoReturn:
    say(f"error: {sentence}")
    sys.exit(1)


def step(number: int, text: str) -> None:
    say(f"[{number}/5] {text}")


def done() -> None:
    say(f"      done after {time.monotonic() - STARTED:.0f} s")


# --- Settings -----------------------------------------------------------------------------------------
def read_settings() -> Path:
    """Load .env and the embedded servers' addresses into the environment; the folder of this clone's data."""
    with contextlib.suppress(UnicodeDecodeError):  # the first command says so
        environ.Env.read_env(os.environ.get("ENV_FILE") or ROOT / ".env")
    runtime = Path(os.environ.setdefault("RUNTIME_DIR", str(ROOT / ".runtime")))
    environ.Env.read_env(runtime / "services.env")
    os.environ["PATH"] = f"{ROOT}/.venv/bin:{os.environ['PATH']}"
    os.environ["PYTHONUNBUFFERED"] = "1"
    return runtime


def port_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(name: str, host: str, first: int, remembered: Path) -> int:
    """The port of the setting `name`, else the remembered one, else the first free from `first` on, remembered."""
    if wanted := os.environ.get(name):
        if not wanted.isdigit() or not port_free(host, int(wanted)):
            fail(
                f"{name} is set to {wanted}, which is taken or no port: "
                "choose another in .env, or remove the line to have one chosen."
            )
        return int(wanted)
    before = [int(remembered.read_text())] if remembered.exists() else []
    port = next((port for port in [*before, *range(first, first + 500)] if port_free(host, port)), None)
    if port is None:
        fail(f"no port from {first} on is free at {host}: HOST must be an address of this machine, such as 127.0.0.1.")
    remembered.write_text(f"{port}\n")
    return port


def choose_settings(mode: str, runtime: Path) -> None:
    """Ports, and in the demo the simulator as the feed."""
    host = os.environ.setdefault("HOST", "127.0.0.1")
    os.environ["PORT"] = str(choose_port("PORT", host, 8000, runtime / "web.port"))
    if mode == "live":
        os.environ["FEED_MODE"] = "live"
        return
    first = 17000 + zlib.crc32(str(runtime).encode()) % 900
    port = choose_port("SIMULATOR_PORT", "127.0.0.1", first, runtime / "simulator.port")
    os.environ.setdefault("SIMULATOR_RATE", "5")  # a busy market: a model has enough to learn from within minutes
    os.environ |= {
        "FEED_MODE": "simulator",
        "SIMULATOR_PORT": str(port),
        "WS_URI": f"ws://127.0.0.1:{port}/api/data",
    }


# --- Database -----------------------------------------------------------------------------------------
def manage(*arguments: str) -> Iterator[str]:
    """The lines of a manage.py command; a failed one ends the start and says what to do."""
    command = [sys.executable, "manage.py", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        last: list[str] = []
        for line in process.stdout:
            last = [*last[-14:], line]
            yield line.rstrip("\n")
    if process.returncode == WRONG_SETTINGS:
        say("".join(last).rstrip())
        fail("correct the settings named above (.env or the environment) and start again.")
    if process.returncode:
        say(cause("".join(last)))
        fail(
            f"manage.py {arguments[0]} failed (its last lines are above). "
            "Correct the cause and start again; nothing is lost."
        )


def cause(said: str) -> str:
    """What a failed command said, of a traceback only the error at its end."""
    errors = list(re.finditer(r"^[\w.]+(Error|Exception)\b", said, re.MULTILINE))
    return said[errors[-1].start() :].rstrip() if errors and "  File " in said else said.rstrip()


def migrate() -> None:
    applied = sum(
        1 for line in manage("migrate", "--no-color", "--skip-checks") if line.lstrip().startswith("Applying")
    )
    say(f"      {applied} migrations applied" if applied else "      up to date")


def first_user(mode: str) -> None:
    for line in list(manage("setup_demo", *([] if mode == "demo" else ["--user-only"]))):  # a failed one says it itself
        say(f"      {line}")


# --- Processes ----------------------------------------------------------------------------------------
class Printer:
    """Every line into the log of its process; announcements and warnings on the terminal as well."""

    width = 0
    stopping = False  # then every process complains about the others

    def __init__(self, folder: Path, terminal: TextIO, verbose: bool) -> None:
        self.folder, self.terminal, self.verbose = folder, terminal, verbose
        self.loggers: dict[str, logging.Handler] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, message: Any) -> None:
        data = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        for line in data.splitlines():
            self._log(message.name, f"{message.time:%Y-%m-%d %H:%M:%S} {line}")
            if message.name == ANNOUNCE:
                print(line, file=self.terminal, flush=True)
            elif self.verbose or (message.name != "system" and is_loud(line) and not self.stopping):
                print(f"{message.time:%H:%M:%S} {message.name:<9} | {line}", file=self.terminal, flush=True)

    def _log(self, name: str, line: str) -> None:
        if name not in self.loggers:
            self.loggers[name] = logging.handlers.RotatingFileHandler(
                self.folder / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES
            )
        self.loggers[name].emit(logging.makeLogRecord({"msg": line}))


class GentleStop(ProcessManager):
    """TERM goes to bin/keep, which hands it on once; only the final KILL goes to the whole group."""

    def terminate(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return


class Manager(honcho.manager.Manager):
    """honcho's, with the pids written down, so that the next start finds what a killed one has left behind."""

    def __init__(self, printer: Printer, pids: Path) -> None:
        super().__init__(printer)
        self._procmgr, self.pids = GentleStop(), pids
        honcho.manager.KILL_WAIT = STOP_SECONDS

    def terminate(self) -> None:
        self._printer.stopping = True
        super().terminate()

    def _system_print(self, data: str) -> None:
        super()._system_print(data)
        known = [str(process["pid"]) for process in self._processes.values() if "pid" in process]
        readers = [str(process["process"].pid) for process in self._processes.values() if "process" in process]
        self.pids.write_text("\n".join(known + readers))


def stop_left_behind(pids: Path) -> None:
    """End what an earlier start of this clone left behind when it was killed, and what holds its ports: the process
    groups of what is kept running, then those who read their output."""
    found = [int(pid) for pid in pids.read_text().split()] if pids.exists() else []
    groups = [pid for pid in found if f"{ROOT}/bin/keep" in command_of(pid)]
    for pid in groups:
        say(f"      stopping a process that an earlier start left behind ({pid})")
        os.killpg(pid, signal.SIGKILL)
    for pid in found:
        if "bin/launch.py" in command_of(pid) and Path(f"/proc/{pid}/cwd").resolve() == ROOT:
            os.kill(pid, signal.SIGKILL)
    patience = time.monotonic() + GONE_SECONDS
    while any(map(group_alive, groups)) and time.monotonic() < patience:
        time.sleep(0.05)
    pids.unlink(missing_ok=True)


def command_of(pid: int) -> str:
    """The command line of a process; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def group_alive(group: int) -> bool:
    """Whether a process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def commands(mode: str) -> dict[str, str]:
    """Name -> shell command: the Procfile, the simulator in the demo, each kept running; and the announcer."""
    processes = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
    if mode == "demo":
        processes = {"simulator": "python manage.py simulator", **processes}
    keep = shlex.quote(f"{ROOT}/bin/keep")
    kept = {name: f"exec {keep} {name} sh -c {shlex.quote('exec ' + line)}" for name, line in processes.items()}
    return {**kept, ANNOUNCE: f"exec {keep} {ANNOUNCE} python {shlex.quote(f'{ROOT}/bin/announce.py')} {mode}"}


def run(mode: str, runtime: Path) -> int:
    prometheus = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR") or runtime / "prom")
    shutil.rmtree(prometheus, ignore_errors=True)
    prometheus.mkdir(parents=True)
    os.environ["STARTED_AT"] = str(time.time() - (time.monotonic() - STARTED))
    multiprocessing.set_start_method("fork")  # honcho's processes cannot be pickled
    manager = Manager(Printer(runtime / "log", sys.stderr, bool(os.environ.get("VERBOSE"))), runtime / "processes")
    for name, command in commands(mode).items():
        manager.add_process(name, command, cwd=str(ROOT))
    manager.loop()
    (runtime / "processes").unlink(missing_ok=True)
    say(f"Stopped at {datetime.datetime.now():%H:%M:%S}; the data is kept.")
    return int(manager.returncode or 0)


def main(mode: str) -> int:
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    runtime = read_settings()
    if mode == "demo":
        os.environ["DEMO"] = "true"
    stop_left_behind(runtime / "processes")
    step(4, "Database")
    migrate()
    first_user(mode)
    done()
    step(5, "Starting the processes")
    choose_settings(mode, runtime)
    return run(mode, runtime)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
