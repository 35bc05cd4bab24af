"""How log lines look: readable on a console, JSON for machines."""

import logging
import re
import sys
import time
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Send structlog's own loggers through `logging`, so that one setting rules all lines."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _renderer(form: str) -> Any:
    """Plain tracebacks only: pretty ones print local variables, and with them secrets."""
    if form == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def formatter(form: str = "console") -> logging.Formatter:
    """A formatter for `LOGGING`; `form` is "console" or "json"."""
    last = [structlog.processors.format_exc_info, _renderer(form)] if form == "json" else [_renderer(form)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*SHARED, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


class NotHealth(logging.Filter):
    """Drops the lines of `/health`: its 503 is an answer, asked for every few seconds."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(record.msg, dict) and str(record.msg.get("request", "")).endswith(" /health"))


class BrokerAway(logging.Filter):
    """One line instead of hundreds where beat could not send a task; it tries again by itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg.startswith("Message Error") and isinstance(record.args, tuple):
            record.msg, record.args, record.exc_info = "a task was not sent: %s", record.args[:1], None
        return True


def server_is_away(error: object) -> bool:
    """Whether the database cannot be reached; a deadlock or a cancelled statement is a fault like any other."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None) or "08"
    return str(state).startswith(("08", "57P"))


class Outages(logging.Filter):
    """While a server is away everything that needs it fails over and over: one line, not a traceback, for each such
    failure, and the same kind of line at most every `QUIET_SECONDS`, with how many were left out since."""

    QUIET_SECONDS = 30.0
    SAYS_SO = re.compile(r"is away|takes nothing|^the journal .*cannot be|^error connecting in|^a task was not sent")

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not (self._shorten(record) or self.SAYS_SO.search(_text(record))):
            return True
        now, kind = time.monotonic(), (record.name, _text(record))
        said_at, left_out = self._said.get(kind, (-self.QUIET_SECONDS, 0))
        if now - said_at < self.QUIET_SECONDS:
            self._said[kind] = (said_at, left_out + 1)
            return False
        self._said[kind] = (now, 0)
        if left_out:
            _append(record, f" ({left_out} more like this since)")
        return True

    def _shorten(self, record: logging.LogRecord) -> bool:
        """Put a sentence in place of the traceback of an absent database; whether it was one."""
        fields = record.msg if isinstance(record.msg, dict) else {}
        if not server_is_away(_exception(record.exc_info or fields.get("exc_info"))):
            return False
        record.exc_info = record.exc_text = None
        fields.pop("exc_info", None)
        record.__dict__.pop("data", None)  # Celery's: the traceback again, and the task's arguments
        _append(record, ": the database is away")
        return True


def _exception(told: object) -> object:
    """The exception of a line, in any of the forms that logging and structlog take."""
    if told is True:
        return sys.exc_info()[1]
    return told[1] if isinstance(told, tuple) else told


def _text(record: logging.LogRecord) -> str:
    """What a line says before its values are put in."""
    return str(record.msg.get("event", "")) if isinstance(record.msg, dict) else str(record.msg)


def _append(record: logging.LogRecord, words: str) -> None:
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "event": _text(record) + words}
    else:
        record.msg = _text(record).rstrip() + words
