"""English sentences with values in them, which pages can say in another language. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

LEAST_LETTERS = 10  # a template with fewer of its own would fit too much
_PLACE = re.compile(r"%\((\w+)\)s")


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


class Reader:
    """Tells of a stored text which sentence it is and with which values, by the templates there are."""

    def __init__(self, templates: Iterable[str]) -> None:
        named = (template for template in templates if _PLACE.search(template) and "%(" not in _PLACE.sub("", template))
        letters = {template: sum(map(str.isalpha, _PLACE.sub("", template))) for template in named}
        telling = (template for template, count in letters.items() if count >= LEAST_LETTERS)
        self._forms = [
            (_plain(template[: template.index("%(")]), _pattern(template), template)
            for template in sorted(telling, key=lambda template: -letters[template])
        ]

    def read(self, text: str) -> Sentence | None:
        """The sentence, by the template with the most words of its own; None where none fits."""
        for begin, pattern, template in self._forms:
            if text.startswith(begin) and (found := pattern.fullmatch(text)):
                return worded(template, **found.groupdict())
        return None


def _plain(part: str) -> str:
    return part.replace("%%", "%")


def _pattern(template: str) -> re.Pattern[str]:
    """What every sentence of a template looks like; a name that comes twice has the same value twice."""
    pattern, seen = "", set[str]()
    for place, part in enumerate(_PLACE.split(template)):
        if place % 2 == 0:
            pattern += re.escape(_plain(part))
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>.*?)"
            seen.add(part)
    return re.compile(pattern, re.DOTALL)
