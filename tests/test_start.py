"""Wrong settings stop the start with one sentence each and status 78."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from apps.core.environment import WRONG_SETTINGS, require_lines
from pumpsite.listening import address_of, refusal, require_port
from tests.servers import ROOT, free_port

BIN = Path(sys.executable).parent
READERS = [
    ({"PORT": "abc"}, 'PORT must be a whole number, not "abc".'),
    ({"WS_RETRY_DELAY": "soon"}, 'WS_RETRY_DELAY must be a number, not "soon".'),
    ({"DEBUG": "perhaps"}, 'DEBUG must be true or false, not "perhaps".'),
    ({"FEED_MODE": "dead"}, 'FEED_MODE must be one of live, simulator, not "dead".'),
    ({"JOURNAL_FSYNC": "never"}, 'JOURNAL_FSYNC must be one of off, interval, always, not "never".'),
    ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ({"TIME_ZONE": "Mars/Base"}, "TIME_ZONE must be a time zone such as Europe/Berlin"),
    ({"RISK_TIMEZONE": "Mars/Base"}, "RISK_TIMEZONE must be a time zone"),
    ({"DATABASE_URL": "mysql://u:hidden-word@h/d"}, "DATABASE_URL must be a PostgreSQL address"),
    ({"DATABASE_URL": "postgres://u:hidden-word@h:port/d"}, "DATABASE_URL must be a PostgreSQL address"),
    ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
    ({"REDIS_URL": "localhost:6379"}, "REDIS_URL must be an address such as redis://"),
    ({"REDIS_URL": "redis://:hidden-word@h:99999/0"}, "REDIS_URL must be an address such as redis://"),
    ({"REDIS_URL": "redis://h:6379/main"}, "REDIS_URL must be an address such as redis://"),
    ({"ENV_FILE": "/no/such/file"}, "ENV_FILE names a file that does not exist: /no/such/file."),
    ({"PROMETHEUS_MULTIPROC_DIR": "/etc/passwd"}, "PROMETHEUS_MULTIPROC_DIR must be folders that can be written"),
    ({"RUNTIME_DIR": "/etc/passwd", "PROMETHEUS_MULTIPROC_DIR": ""}, "RUNTIME_DIR and PROMETHEUS_MULTIPROC_DIR must"),
]
RULES = [
    ({"ENCRYPTION_KEY": "c2hvcnQ="}, "ENCRYPTION_KEY must be 32 bytes in base64 (44 characters)."),
    ({"ENCRYPTION_KEY": ""}, "ENCRYPTION_KEY must be 32 bytes"),
    ({"BAD_NAMES_PATTERN": "(scam"}, "BAD_NAMES_PATTERN is not a regular expression: missing ): (scam"),
    ({"FLUSH_ROWS": "0"}, "FLUSH_ROWS must be above 0, not 0."),
    ({"FLUSH_MS": "-5"}, "FLUSH_MS must be above 0, not -5."),
    ({"TRADING_LATENCY_MS": "-1"}, "TRADING_LATENCY_MS must be 0 or above, not -1."),
    ({"DEFAULT_JITO_TIP_LAMPORTS": "1" + 24 * "0"}, "DEFAULT_JITO_TIP_LAMPORTS must be 0 or above and at most"),
    ({"WS_PING_INTERVAL": "inf"}, "WS_PING_INTERVAL must be above 0 and at most 1,000,000,000, not inf."),
    ({"DATABASE_POOL_SIZE": "-1"}, "DATABASE_POOL_SIZE must be 0 or above, not -1."),
    ({"NETWORK_FEE_SOL": "nan"}, "NETWORK_FEE_SOL must be 0 or above, not nan."),
    ({"PAPER_FAILURE_RATE": "2"}, "PAPER_FAILURE_RATE must be a ratio between 0 and 1, not 2.0."),
    ({"SIMULATOR_PORT": "70000"}, "SIMULATOR_PORT must be a port between 1 and 65535, not 70000."),
    ({"WS_URI": "pumpportal.fun"}, "WS_URI must be an address that begins with ws:// or wss://."),
    ({"N8N_FIND_WEBHOOK_URL": "ftp://x"}, "N8N_FIND_WEBHOOK_URL must be an address that begins with http://"),
    ({"WS_RETRY_DELAY": "9", "WS_MAX_RETRY_DELAY": "3"}, "WS_MAX_RETRY_DELAY must not be below WS_RETRY_DELAY."),
    ({"DEFAULT_SLIPPAGE_BPS": "10001"}, "DEFAULT_SLIPPAGE_BPS must be between 0 and 10000 (100 %), not 10001."),
    ({"CSRF_TRUSTED_ORIGINS": "pump.example.org"}, "CSRF_TRUSTED_ORIGINS must hold addresses"),
    ({"ALLOWED_HOSTS": "https://pump.example.org"}, "ALLOWED_HOSTS must hold names such as pump.example.org, without"),
    ({"DASK_SCHEDULER_ADDRESS": "my cluster"}, "DASK_SCHEDULER_ADDRESS must be an address that begins with tcp://"),
    ({"DEBUG": "false", "SECRET_KEY": "short"}, "SECRET_KEY must have at least 50 random characters."),
]
ANY_NUMBER = {"SIMULATOR_SEED"}
WAYS_TO_START = {
    "web": ["daphne", "-p", "0", "pumpsite.asgi:application"],
    "worker": ["celery", "-A", "pumpsite", "worker", "-Q", "default", "--pool", "threads", "-c", "1"],
    "beat": ["celery", "-A", "pumpsite", "beat", "--pidfile="],
    "stream": ["manage.py", "runstream"],
    "scorer": ["manage.py", "scorer"],
    "trader": ["manage.py", "trader"],
    "simulator": ["manage.py", "simulator", "--port", "0"],
}


# What every command imports anyway, needing no settings: most of a start. Nothing that only some of them import.
SHARED = (
    "celery.app",
    "celery.worker",
    "channels.generic.websocket",
    "cryptography.hazmat.primitives.ciphers.aead",
    "django.core.management",
    "django.db.backends.postgresql.base",
    "django.urls",
    "django.views.generic.base",
    "environ",
    "httpx2",
    "msgspec",
    "numpy",
    "prometheus_client",
    "pydantic.types",
    "re2",
    "redis",
    "structlog",
)
# Each command is a process of its own, forked where those are imported; without words it only reads its settings.
STARTER = """
import gc, json, os, runpy, signal, sys
from importlib import import_module
gc.disable()  # looking for garbage among modules is a third of a start
for name in sys.argv[1:]:
    import_module(name)
gc.freeze()
for line in sys.stdin:
    words, settings = json.loads(line)
    if not (child := os.fork()):
        signal.alarm(60)
        os.dup2(1, 2)
        os.environ.update(settings)
        if not words:
            import pumpsite.settings
            sys.exit(0)
        sys.argv, sys.path[0] = words, os.path.dirname(words[0])
        runpy.run_path(words[0], run_name="__main__")
        sys.exit(0)
    print(f"status {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}", flush=True)
"""
Starter = Callable[[list[str], dict[str, str]], tuple[int, str]]


@pytest.fixture(scope="module")
def start() -> Iterator[Starter]:
    """Starts a command with settings; gives its status, of a signal the negative number, and what it said."""
    env = {**os.environ, "ENV_FILE": "/dev/null", "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    command = [sys.executable, "-c", STARTER, *SHARED]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        yield partial(_started, it)
        it.communicate()


def _started(starter: subprocess.Popen[str], words: list[str], settings: dict[str, str]) -> tuple[int, str]:
    assert starter.stdin and starter.stdout
    script = [str(ROOT / words[0] if words[0] == "manage.py" else BIN / words[0]), *words[1:]] if words else []
    starter.stdin.write(json.dumps([script, settings]) + "\n")
    starter.stdin.flush()
    lines: list[str] = []
    while not lines or not lines[-1].startswith("status "):
        lines.append(starter.stdout.readline())
        assert lines[-1], "the starter has died"
    return int(lines.pop().split()[1]), "".join(lines)


def sentences(output: str) -> list[str]:
    return [line.removeprefix("Wrong settings: ") for line in output.splitlines() if line.startswith("Wrong settings")]


@pytest.mark.parametrize(("wrong", "sentence"), READERS, ids=lambda value: str(value)[:40])
def test_value_of_a_wrong_form_stops_any_command_with_one_sentence(start, wrong, sentence):
    status, said = start([], wrong)
    assert status == WRONG_SETTINGS
    assert len(sentences(said)) == 1 and sentence in said
    assert "Traceback" not in said and "hidden-word" not in said


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"# a comment\n\n  # another\nexport PORT=8000\nSECRET_KEY='a b'\nHOST=\n", []),
        (b"PORT = 8000\nHOST=x\nhidden-word\n LOG_LEVEL=INFO\n", [1, 3, 4]),
        ("LOG_LEVEL=\u00e4".encode("latin-1"), None),
    ],
)
def test_line_that_would_be_passed_over_is_named(tmp_path, capsys, data, wrong):
    (file := tmp_path / ".env").write_bytes(data)
    said = [f"{file} must be text in UTF-8."]
    if wrong is not None:
        said = [f"{file}, line {number} must be NAME=value, without blanks around the name." for number in wrong]
    with pytest.raises(SystemExit) if said else nullcontext():
        require_lines(file)
    assert sentences(capsys.readouterr().err) == said


def test_right_settings_stop_nothing(start):
    assert start([], {}) == (0, "")


@pytest.mark.parametrize(("wrong", "sentence"), RULES, ids=lambda value: str(value)[:40])
def test_value_against_a_rule_is_a_sentence_of_the_checks(settings, wrong, sentence):
    from apps.core.checks import settings_wrong

    def read(name: str, text: str):
        old = getattr(settings, name)
        if isinstance(old, bool):
            return text == "true"
        return text.split(",") if isinstance(old, list) else type(old)(text)

    settings.DEBUG = True
    assert settings_wrong() == []
    for name, text in wrong.items():
        setattr(settings, name, read(name, text))
    assert [line for line in settings_wrong() if sentence in line] == settings_wrong() != []


def test_no_number_among_the_settings_may_be_just_anything(settings):
    from apps.core.checks import settings_wrong

    settings.DEBUG = True
    read = re.findall(r'env\.(int|float)\("(\w+)"', (ROOT / "pumpsite" / "settings.py").read_text())
    assert len(read) > 50
    for kind, name in read:
        before = getattr(settings, name)
        for value in (-1, 10**19) if kind == "int" else (-1.0, float("nan"), float("inf")):
            setattr(settings, name, value)
            said = [line for line in settings_wrong() if line.startswith(f"{name} must")]
            assert said or name in ANY_NUMBER, f"{name}={value}"
        setattr(settings, name, before)


@pytest.mark.parametrize("name", WAYS_TO_START)
def test_process_ends_with_the_status_and_every_sentence(start, name):
    status, said = start(WAYS_TO_START[name], {"FLUSH_ROWS": "0", "ENCRYPTION_KEY": "x"})
    assert status == WRONG_SETTINGS, said
    assert sentences(said) == [
        "FLUSH_ROWS must be above 0, not 0.",
        "ENCRYPTION_KEY must be 32 bytes in base64 (44 characters).",
    ]
    assert "Traceback" not in said


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_taken_port_of_the_web_process_is_one_sentence(start, taken):
    status, said = start(["daphne", "-b", "127.0.0.1", "-p", str(taken), "pumpsite.asgi:application"], {})
    assert status == WRONG_SETTINGS, said
    assert sentences(said) == [
        f"PORT must be one that is free: 127.0.0.1:{taken} cannot be listened on (Address already in use)."
    ]
    assert "Traceback" not in said


def test_port_that_becomes_free_is_waited_for():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    assert refusal("127.0.0.1", port)
    threading.Timer(0.1, listener.close).start()
    require_port(["-p", str(port)], patience=30)
    assert not refusal("127.0.0.1", port)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-v", "0", "-b", "0.0.0.0", "-p", "80", "--no-server-name", "a:b"], ("0.0.0.0", 80)),
        (["--bind", "::", "--port", "8000", "a:b"], ("::", 8000)),
        (["-u", "/run/web.sock", "a:b"], ("127.0.0.1", 0)),
    ],
)
def test_address_is_that_of_the_arguments_of_daphne(arguments, expected):
    assert address_of(arguments) == expected


def test_check_names_every_wrong_setting(settings):
    settings.FLUSH_ROWS = settings.PORT = 0
    with pytest.raises(SystemCheckError, match=r"(?s)PORT must be a port") as refused:
        call_command("check")
    assert "FLUSH_ROWS must be above 0" in str(refused.value)
