"""Regular expressions that users give: matched in linear time (RE2), so that no pattern can stall a process.

RE2's syntax is that of `re` without backreferences and look-around, which is what makes it linear.
"""

from __future__ import annotations

from typing import Any

import re2


class PatternError(ValueError):
    """A text that is no such expression; says why."""


class Pattern:
    """A compiled expression, blind to case. Raises PatternError for a text that is none."""

    def __init__(self, text: str) -> None:
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        try:
            self._compiled: Any = re2.compile(text, options)
        except (re2.error, TypeError) as error:
            raise PatternError(_why(error)) from None

    def is_in(self, text: str) -> bool:
        """Whether it matches anywhere in the text. Halves of characters, which JSON can hold, match nothing."""
        return self._compiled.search(text.encode("utf-8", "replace")) is not None


def _why(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else "it is no text"
