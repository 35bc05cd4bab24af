"""Typed readers of the environment: a wrong value stops the start with one sentence and status 78 (EX_CONFIG).

Known before Django is: no imports of it here.
"""

import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ

WRONG_SETTINGS = 78
_SHOULD_BE = {"int": "a whole number", "float": "a number", "bool": "true or false"}
_DATABASES = frozenset({"", *map(str, range(1024))})
_TRUE = frozenset({"true", "on", "ok", "y", "yes", "1"})
_FALSE = frozenset({"false", "off", "n", "no", "0", ""})
_SETTING = re.compile(r"(export )?\w+=", re.ASCII)
_SECRET = ("KEY", "TOKEN", "URL", "PASSWORD")


def stop_start(*sentences: str) -> NoReturn:
    """Print the sentences and end the process with the status of wrong settings."""
    for sentence in sentences:
        sys.stderr.write(f"Wrong settings: {sentence}\n")
    sys.stderr.flush()
    sys.exit(WRONG_SETTINGS)


def require_lines(file: Path) -> None:
    """Stop the start where the file (it may be missing) has a line that is no setting: it would be passed over."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError:
        return
    except UnicodeDecodeError:
        stop_start(f"{file} must be text in UTF-8.")
    wrong = [number for number, line in enumerate(lines, start=1) if _passed_over(line)]
    if wrong:
        stop_start(*(f"{file}, line {number} must be NAME=value, without blanks around the name." for number in wrong))


def _passed_over(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#") and not _SETTING.match(line)


class Env(environ.Env):
    """django-environ whose readers end the start instead of raising."""

    def bool(self, var: str, default: bool = False) -> bool:
        text = self.str(var, default=str(default)).strip().lower()
        if text in _TRUE:
            return True
        if text not in _FALSE:
            stop_start(_sentence(var, _SHOULD_BE["bool"], text))
        return False

    def int(self, var: str, default: int = 0) -> int:
        return self._number(var, default, int)

    def float(self, var: str, default: float = 0.0) -> float:
        return self._number(var, default, float)

    def db_url(self, var: str, default: str = "") -> dict[str, Any]:
        """A Django database dictionary; anything but a PostgreSQL address stops the start."""
        config: dict[str, Any] = {}
        if self.str(var, default=default).startswith(("postgresql://", "postgres://")):
            with contextlib.suppress(ValueError):
                config = super().db_url(var, default=default)
        if not config.get("NAME"):
            stop_start(f"{var} must be a PostgreSQL address such as postgresql://user:password@host:5432/name.")
        return config

    def redis_url(self, var: str, default: str) -> str:
        """The address of a Redis; anything else stops the start."""
        text = self.str(var, default=default).strip()
        if not _is_redis(text):
            stop_start(_sentence(var, "an address such as redis://:password@host:6379/0", text))
        return text

    def choice(self, var: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`."""
        text = self.str(var, default="").strip() or default
        if text not in choices:
            stop_start(_sentence(var, f"one of {', '.join(choices)}", text))
        return text

    def timezone(self, var: str, default: str = "UTC") -> str:
        """The name of a time zone."""
        text = self.str(var, default="").strip() or default
        if text not in available_timezones():
            stop_start(_sentence(var, "a time zone such as Europe/Berlin", text))
        return text

    def _number(self, var: str, default: Any, cast: type) -> Any:
        text = self.str(var, default="").strip()
        try:
            return cast(text) if text else default
        except ValueError:
            stop_start(_sentence(var, _SHOULD_BE[cast.__name__], text))


def _is_redis(address: str) -> bool:
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    database = parts.path.removeprefix("/")
    return parts.scheme == "unix" or (parts.scheme in ("redis", "rediss") and has_host and database in _DATABASES)


def _sentence(var: str, should_be: str, text: str) -> str:
    shown = "what was given" if any(word in var for word in _SECRET) else f'"{text}"'
    return f"{var} must be {should_be}, not {shown}."
