"""Strategies as TOML files: what `docs/handbuch/strategien.md` describes, written and read. Pure.

A file is a definition with `name`, `wallet` and `note` beside it. What is written reads back as the same definition.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.errors import PlatformError
from apps.trading.definitions import Definition, definition_parse

OWN = ("name", "wallet", "note")


@dataclass(frozen=True, slots=True)
class StrategyFile:
    """What a file says; an empty text where it says nothing."""

    definition: Definition
    name: str = ""
    wallet: str = ""
    note: str = ""


def strategy_read(text: str) -> StrategyFile:
    """A strategy from TOML. Raises PlatformError STRATEGY_UNREADABLE, STRATEGY_INVALID."""
    try:
        source = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the parser itself: no TOML, endless digits, endless brackets
        raise PlatformError("STRATEGY_UNREADABLE", f"This is no TOML: {error}.") from None
    own = {name: source.pop(name, "") for name in OWN}
    if wrong := [name for name, value in own.items() if not isinstance(value, str)]:
        raise PlatformError("STRATEGY_INVALID", f"{wrong[0]}: must be a text.", field=wrong[0])
    return StrategyFile(definition_parse(source), **own)


def strategy_written(file: StrategyFile) -> str:
    """The same as TOML."""
    own = {name: value for name in OWN if (value := getattr(file, name))}
    return "\n".join(_lines({**own, **file.definition.as_json()}, ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """A table: its own values first, then the tables in it."""
    for name, value in table.items():
        if not _is_table(value):
            yield f"{name} = {_value(value)}"
    for name, value in table.items():
        if isinstance(value, dict):
            yield ""
            yield f"[{'.'.join((*path, name))}]"
            yield from _lines(value, (*path, name))
        elif _is_table(value):
            for row in value:
                yield ""
                yield f"[[{'.'.join((*path, name))}]]"
                yield from _lines(row, (*path, name))


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _value(value: Any) -> str:
    """A number, a text or a list of them. JSON's texts are TOML's, but for one control character."""
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
