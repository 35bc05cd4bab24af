"""Strategies as TOML files: what `docs/handbuch/strategien.md` describes, written and read. Pure.

A file is a definition with `name`, `wallet` and `note` beside it. It names models by the names they have at work: their
numbers mean nothing in another installation. What is written reads back as the same definition.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from apps.core.errors import NotFoundError, PlatformError
from apps.core.sentences import worded
from apps.trading.definitions import Definition, definition_parse

OWN = ("name", "wallet", "note")
MODELS = (("entry", "models"), ("exits", "model_below_ids"), ("exits", "exit_model_ids"))


@dataclass(frozen=True, slots=True)
class StrategyFile:
    """What a file says; an empty text where it says nothing."""

    definition: Definition
    name: str = ""
    wallet: str = ""
    note: str = ""


def strategy_read(text: str, numbers: Mapping[str, int] = MappingProxyType({})) -> StrategyFile:
    """A strategy from TOML; `numbers` of models by name. Raises PlatformError STRATEGY_UNREADABLE, STRATEGY_INVALID,
    ACTIVE_MODEL_NOT_FOUND."""
    try:
        source = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the parser itself: no TOML, endless digits, endless brackets
        raise PlatformError("STRATEGY_UNREADABLE", worded("This is no TOML: %(why)s.", why=error)) from None
    own = {name: source.pop(name, "") for name in OWN}
    if wrong := [name for name, value in own.items() if not isinstance(value, str) or "\0" in value]:
        raise PlatformError(
            "STRATEGY_INVALID", worded("%(wrong)s: must be a text without U+0000.", wrong=wrong[0]), field=wrong[0]
        )
    return StrategyFile(definition_parse(_models_changed(source, lambda name: _number_of(name, numbers))), **own)


def _number_of(model: Any, numbers: Mapping[str, int]) -> Any:
    if not isinstance(model, str):
        return model  # a number, or what the definition refuses
    if model not in numbers:
        message = worded(
            "There is no model called %(model)s at work: put one to work under this name, or name another.", model=model
        )
        raise NotFoundError("ACTIVE_MODEL_NOT_FOUND", message, models=[model])
    return numbers[model]


def _models_changed(source: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """A definition's JSON with every model of it changed; what is no list of models stays."""
    changed = dict(source)
    for part, name in MODELS:
        listed = changed[part].get(name) if isinstance(changed.get(part), dict) else None
        if isinstance(listed, list):
            changed[part] = {**changed[part], name: [change(one) for one in listed]}
    return changed


def strategy_written(file: StrategyFile, names: Mapping[int, str] = MappingProxyType({})) -> str:
    """The same as TOML; a model that is not among `names` keeps its number."""
    own = {name: value for name in OWN if (value := getattr(file, name))}
    source = _models_changed(file.definition.as_json(), lambda number: names.get(number, number))
    return "\n".join(_lines({**own, **source}, ())) + "\n"


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
