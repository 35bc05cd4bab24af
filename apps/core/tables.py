"""Tables as pages show them: `partials/table.html` draws any of these, so that every table has one frame. Pure.

Titles and texts are ready to be read; they are escaped when the table is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from django.utils.functional import Promise
from django.utils.safestring import SafeString, mark_safe

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
    def drawn(self) -> Iterator[str]:
        """Each row as HTML: the cells of a long table cost a template's engine many times as much."""
        css = [column.css for column in self.columns]
        return (row_html(row, css) for row in self.rows)


# --- HTML ----------------------------------------------------------------------------------------------
def row_html(row: Row, css: Sequence[str]) -> str:
    """The row as `<tr>`, with the classes of the columns; all texts escaped."""
    cells = "".join(_cell_html(f"{name} {cell.css}".strip(), cell) for name, cell in zip(css, row.cells, strict=True))
    return mark_safe(f"<tr{_attribute('id', row.id)}>{cells}</tr>")  # every part is escaped below


def _cell_html(css: str, cell: Cell) -> str:
    text = _escaped(cell.text)
    value = _attribute("data-value", cell.value) if cell.id else ""
    parts = [f"<td{_attribute('class', css)}{_attribute('id', cell.id)}{value}>"]
    parts.append(f"<a{_attribute('href', cell.href)}>{text}</a>" if cell.href else text)
    if cell.note:
        parts.append(f' <span class="muted">{_escaped(cell.note)}</span>')
    parts += (f' <span class="pill {_escaped(tone)}">{_escaped(said)}</span>' for tone, said in cell.pills)
    if cell.below:
        parts.append(f'<div class="mono muted wide-only">{_escaped(cell.below)}</div>')
    if cell.bar is not None:
        parts.append(f'<progress class="bar" max="100" value="{cell.bar:.1f}" aria-label="{text}"></progress>')
    parts.append("</td>")
    return "".join(parts)


def _attribute(name: str, value: str) -> str:
    return f' {name}="{_escaped(value)}"' if value else ""


def _escaped(text: Text) -> str:
    """The text as HTML; what is HTML already stays as it is."""
    return text if isinstance(text, SafeString) else escape(str(text))
