"""The one error shape of the platform: a status, a stable code in capitals, a sentence that says what to do."""

from collections.abc import Mapping
from typing import Any


class PlatformError(Exception):
    """An expected failure. `code` is stable and may be relied on by programs; `message` is for people."""

    status = 400

    def __init__(self, code: str, message: str, *, status: int | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or self.status
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """The JSON body: `{"status", "code", "message", "details"}`."""
        return {"status": self.status, "code": self.code, "message": self.message, "details": self.details}


class NotFoundError(PlatformError):
    """Something asked for by name or id does not exist."""

    status = 404


class ConflictError(PlatformError):
    """The request contradicts the present state."""

    status = 409


def problem_of(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors as words that say what to do."""
    if error["type"] == "timezone_aware":
        return "needs a time zone: write it like 2025-09-06T00:00:00Z"
    words: str = error["msg"].removeprefix("Value error, ")
    return f"{words}: write it like 2025-09-06T00:00:00Z" if error["type"].startswith("datetime_") else words
