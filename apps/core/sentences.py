"""English sentences with values in them, which pages can say in another language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Sentence(str):
    """The sentence in English; `template` (with %(name)s) is what the catalogue translates, `values` are its values."""

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, Any]


def worded(template: str, /, **values: Any) -> Sentence:
    """A sentence for a PlatformError; bin/messages.py collects its template."""
    sentence = Sentence(template % values)
    sentence.template, sentence.values = template, values
    return sentence
