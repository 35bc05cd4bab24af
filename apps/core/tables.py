"""Tables as pages show them: `partials/table.html` draws any of these, so that every table has one frame. Pure.

Titles and texts are ready to be read; the template escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from django.utils.functional import Promise

Text = str | Promise
NUMBER = "num"
WIDE = "wide-only"
WIDE_NUMBER = f"{NUMBER} {WIDE}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, the classes of its cells, and where a click on the title leads, if anywhere."""

    title: Text
    css: str = ""
    href: str = ""
    sorted: Literal["", "ascending", "descending"] = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: a text with what stands beside it (`note`), below it, its pills (tone, text) and a bar of 0..100.

    With `id` and `value` it flashes when a live update changes the value.
    """

    text: Text = ""
    css: str = ""
    href: str = ""
    note: Text = ""
    below: Text = ""
    pills: Sequence[tuple[str, Text]] = ()
    id: str = ""
    value: str = ""
    bar: float | None = None

    @property
    def is_plain(self) -> bool:
        """Only a text: most cells of a page, which the template need not ask for anything else."""
        return not (self.href or self.note or self.pills or self.below or self.id) and self.bar is None


@dataclass(frozen=True, slots=True)
class Row:
    """A row; its id lets a live update keep it."""

    cells: Sequence[Cell]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title, and what to say and do when it is empty. `more` is a link (address, text)."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    title: Text = ""
    empty: Text = ""
    hint: Text = ""
    icon: str = "list"
    more: tuple[str, Text] | None = None

    @property
    def drawn(self) -> Iterator[tuple[str, list[tuple[str, Text, Cell | None]]]]:
        """The rows as (id, [(classes, text of a plain cell, any other cell)])."""
        css = [column.css for column in self.columns]
        for row in self.rows:
            pairs = zip(css, row.cells, strict=True)
            yield row.id, [self._drawn(f"{name} {cell.css}".strip(), cell) for name, cell in pairs]

    @staticmethod
    def _drawn(css: str, cell: Cell) -> tuple[str, Text, Cell | None]:
        return (css, cell.text, None) if cell.is_plain else (css, "", cell)
