"""How log lines look: readable on a console, JSON for machines."""

import logging
from typing import Any

import structlog

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
