"""The base of commands with `--json`: whatever ends them, standard output holds one JSON object.

A failure prints the API's error shape there, beside the sentence on standard error; the exit status tells. What nobody
expected prints INTERNAL_ERROR there and its traceback on standard error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, ProgrammingError
from psycopg.errors import UndefinedColumn, UndefinedTable

from apps.core.errors import PlatformError

FAILED, WRONG_USE = 1, 2
NOT_MIGRATED = PlatformError(
    "DATABASE_NOT_MIGRATED", "The database lacks tables of this version: run `manage.py migrate` first.", status=503
)
SURPRISE = PlatformError(
    "INTERNAL_ERROR", "Something unexpected went wrong: standard error tells where in the code.", status=500
)


class CommandStoppedError(CommandError):
    """The end of a command by an expected failure; `error` is what programs are told."""

    def __init__(self, error: PlatformError, status: int = FAILED) -> None:
        super().__init__(f"{error.code}: {error.message}", returncode=status)
        self.error = error


class JsonCommand(BaseCommand):
    """Tells its failures as JSON where `--json` is given."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Wrong arguments are a failure like any other."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        say = parser.error

        def error(message: str) -> Any:
            if "--json" in sys.argv:
                self._tell(PlatformError("WRONG_USE", f"{message}."))
            return say(message)

        parser.error = error  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Exception as failure:
            stopped = _stopped(failure)
            if options.get("json"):
                self._tell(_error_of(stopped) if stopped else SURPRISE)
            if stopped is None:
                raise
            raise stopped from failure

    def _tell(self, error: PlatformError) -> None:
        self.stdout.write(json.dumps(error.as_dict(), default=str))


def _stopped(failure: Exception) -> CommandError | None:
    """The failure as a command ends with it; None where nobody expected it."""
    if isinstance(failure, CommandError):
        return failure
    if isinstance(failure, PlatformError):
        return CommandStoppedError(failure)
    if isinstance(failure, ProgrammingError) and isinstance(failure.__cause__, UndefinedTable | UndefinedColumn):
        return CommandStoppedError(NOT_MIGRATED)
    if not isinstance(failure, OperationalError | InterfaceError | psycopg.OperationalError):
        return None
    sentence = f"The database does not answer: {str(failure).splitlines()[0] if str(failure) else 'no reason given'}"
    return CommandStoppedError(PlatformError("DATABASE_UNAVAILABLE", sentence, status=503))


def _error_of(failure: CommandError) -> PlatformError:
    if isinstance(failure, CommandStoppedError):
        return failure.error
    code = "WRONG_USE" if failure.returncode == WRONG_USE else "COMMAND_FAILED"
    return PlatformError(code, str(failure))
