"""Which fields of a request hold what no table can: for the sentence of VALUE_NOT_STORABLE. Pure."""

import math
from collections.abc import Iterator
from typing import Any

LARGEST = 2**63 - 1  # of PostgreSQL's bigint
LARGEST_SMALL = 2**31 - 1  # of its integer


def fields(document: Any) -> list[tuple[str, str]]:
    """`(field, problem)` of each value that cannot be stored, in order; where all could be, numbers that are too large
    for most columns. A field is written as in validation errors: `recipe.label.value`, `mints.0`."""
    found = list(_values(document))
    certain = [(name, problem) for name, value in found if (problem := _problem(value))]
    return certain or [(name, "is too large") for name, value in found if _exceeds(value, LARGEST_SMALL)]


def _values(document: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value and key with its place."""
    if not isinstance(document, dict | list):
        yield place, document
        return
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in inner:
        if isinstance(name, str) and _problem(name):
            yield place, name
        else:
            yield from _values(value, f"{place}.{name}".removeprefix("."))


def _problem(value: Any) -> str:
    if isinstance(value, str):
        if "\0" in value:
            return "holds the character U+0000"
        return "is no Unicode text" if any("\ud800" <= char <= "\udfff" for char in value) else ""
    if isinstance(value, float) and not math.isfinite(value):
        return "is no finite number"
    return "is too large" if _exceeds(value, LARGEST) else ""


def _exceeds(value: Any, largest: int) -> bool:
    return isinstance(value, int) and abs(value) > largest
