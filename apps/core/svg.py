"""Plots as SVG text, drawn by the server: curves of points, bars, rows with intervals. Pure; colours come from the
page's style sheet.

Coordinates of the data are floats; what is drawn lies in a box of WIDTH x HEIGHT units that the page scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.core.display import localised

WIDTH, HEIGHT = 400, 260
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 40
ROW_HEIGHT, NAMES_WIDTH, TEXTS_WIDTH = 22, 118, 62
MOST_TICKS, MOST_DIGITS = 7, 6

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a line; `css` is its class: "line", "guide" or "line two"; `dots` marks every point."""

    points: Sequence[Point]
    css: str = "line"
    dots: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Axes:
    """Titles, the data range that is shown, and the form of the numbers beside it (`y_form` if it differs)."""

    x_title: str
    y_title: str
    x_range: Point = (0.0, 1.0)
    y_range: Point = (0.0, 1.0)
    form: str = "{:.1f}"
    y_form: str = ""

    def x(self, value: float) -> float:
        return LEFT + _share(value, self.x_range) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - _share(value, self.y_range) * (HEIGHT - TOP - BOTTOM)


@dataclass(frozen=True, slots=True)
class Span:
    """A row of `spans`: its name, a value with its interval (None: unknown), and the value as text."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""


def curves(
    lines: Sequence[Line], axes: Axes, label: str, marks: Sequence[Point] = (), band: Sequence[Point] = ()
) -> SafeString:
    """Lines over one pair of axes; `marks` are single points to be seen, `band` is the outline of an area behind the
    lines, `label` says what the plot shows."""
    area = SafeString("")
    if band:
        outline = " ".join(",".join(_place(axes, point)) for point in band)
        area = format_html('<polygon class="band" points="{}"></polygon>', outline)
    drawn = format_html_join("", "{}{}", ((_polyline(line, axes), _dots(line, axes)) for line in lines if line.points))
    points = format_html_join(
        "", '<circle class="mark" cx="{}" cy="{}" r="5"></circle>', (_place(axes, point) for point in marks)
    )
    return _picture(label, _grid(axes) + area + drawn + points)


def spans(rows: Sequence[Span], label: str, form: str = "{:.2f}", names: int = NAMES_WIDTH) -> SafeString:
    """Rows below each other: a dot at the value, a line over its interval, zero as a guide. A row whose value is
    unknown is only named. The x range holds all that is drawn and zero; `names` is the room for names."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = (high - low) * 0.06 or 1.0
    scale = _Scale(low - room * (low < 0), high + room, names)
    height = TOP + len(rows) * ROW_HEIGHT + 24
    zero = format_html(
        '<line class="guide" x1="{0}" y1="{1}" x2="{0}" y2="{2}"></line>', scale.x(0.0), TOP, height - 20
    )
    ticks = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="middle">{}</text>',
        ((scale.x(x), height - 6, text) for x, text in _ticks((scale.low, scale.high), form, MOST_TICKS // 2)),
    )
    drawn = format_html_join("", "{}", ((_span(row, place, scale),) for place, row in enumerate(rows)))
    return _picture(label, zero + ticks + drawn, height)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    left: int

    def x(self, value: float) -> str:
        return _n(self.left + _share(value, (self.low, self.high)) * (WIDTH - self.left - TEXTS_WIDTH))


def _span(row: Span, place: int, scale: _Scale) -> SafeString:
    y = _n(TOP + (place + 0.5) * ROW_HEIGHT)
    base = _n(TOP + (place + 0.5) * ROW_HEIGHT + 4)
    name = format_html('<text x="{}" y="{}" text-anchor="end">{}</text>', scale.left - 8, base, row.name)
    text = format_html('<text x="{}" y="{}" text-anchor="end">{}</text>', WIDTH - 2, base, row.text)
    if row.value is None:
        return name + text
    line = SafeString("")
    if row.low is not None and row.high is not None:
        line = format_html(
            '<line class="line" x1="{}" y1="{}" x2="{}" y2="{}"></line>', scale.x(row.low), y, scale.x(row.high), y
        )
    dot = format_html('<circle class="dot-mark" cx="{}" cy="{}" r="4"></circle>', scale.x(row.value), y)
    return name + line + dot + text


def histogram(counts: Sequence[int], axes: Axes, label: str, limit: float) -> SafeString:
    """Bars of equal width over the whole x range, their heights as the logarithm of the count: few stand beside many.

    Those at or above `limit` (in units of x) stand out. The y range of `axes` is replaced.
    """
    decades = max(math.ceil(math.log10(max(counts, default=0) + 1)), 1)
    axes = replace(axes, y_range=(0.0, float(decades)))
    low, high = axes.x_range
    width = (high - low) / max(len(counts), 1)
    drawn = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        (_bar(axes, low + width * place, width, count, limit) for place, count in enumerate(counts)),
    )
    powers = [
        (math.log10(10**power + 1) if power else 0.0, f"{10**power if power else 0:,}") for power in range(decades + 1)
    ]
    guide = Line([(limit, 0.0), (limit, float(decades))], "guide")
    return _picture(label, _grid(axes, powers) + drawn + _polyline(guide, axes))


def _bar(axes: Axes, start: float, width: float, count: int, limit: float) -> tuple[str, ...]:
    left, right, top = axes.x(start), axes.x(start + width), axes.y(math.log10(count + 1))
    css = "bar hot" if start + width > limit else "bar"
    title = localised(f"{axes.form.format(start)}–{axes.form.format(start + width)}: {count:,}")
    return css, _n(left + 0.5), _n(top), _n(max(right - left - 1, 0.5)), _n(axes.y(0.0) - top), title


def _picture(label: str, inside: SafeString, height: int = HEIGHT) -> SafeString:
    return format_html(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>', WIDTH, height, label, inside
    )


def _grid(axes: Axes, y_ticks: Sequence[tuple[float, str]] | None = None) -> SafeString:
    """Lines and numbers of both axes, with their titles; `y_ticks` (place, text) replace the round ones."""
    ticks = y_ticks or _ticks(axes.y_range, axes.y_form or axes.form)
    across = format_html_join(
        "",
        '<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"></line><text x="{}" y="{}" text-anchor="end">{}</text>',
        ((LEFT, _n(axes.y(y)), WIDTH - RIGHT, _n(axes.y(y)), LEFT - 6, _n(axes.y(y) + 4), text) for y, text in ticks),
    )
    below = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="middle">{}</text>',
        ((_n(axes.x(x)), HEIGHT - BOTTOM + 15, text) for x, text in _ticks(axes.x_range, axes.form)),
    )
    titles = format_html(
        '<text x="{}" y="{}" text-anchor="middle">{}</text><text x="12" y="{}" text-anchor="middle" '
        'transform="rotate(-90 12 {})">{}</text>',
        _n((LEFT + WIDTH - RIGHT) / 2), HEIGHT - 8, axes.x_title,
        _n((TOP + HEIGHT - BOTTOM) / 2), _n((TOP + HEIGHT - BOTTOM) / 2), axes.y_title,
    )  # fmt: skip
    return across + below + titles


def _polyline(line: Line, axes: Axes) -> SafeString:
    if not line.points:
        return SafeString("")
    places = " ".join(",".join(_place(axes, point)) for point in line.points)
    return format_html('<polyline class="{}" points="{}"><title>{}</title></polyline>', line.css, places, line.title)


def _dots(line: Line, axes: Axes) -> SafeString:
    if not line.dots:
        return SafeString("")
    return format_html_join(
        "",
        '<circle class="dot-mark" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>',
        ((*_place(axes, point), f"{point[0]:.3f}, {point[1]:.3f}") for point in line.points),
    )


def _place(axes: Axes, point: Point) -> tuple[str, str]:
    return _n(axes.x(point[0])), _n(axes.y(point[1]))


def _figure(form: str, value: float) -> str:
    """A number beside a drawing; what rounds to nothing has no sign."""
    text = form.format(value)
    return localised(text if text.strip("-+0.%") else text.lstrip("-+"))


def _ticks(limits: Point, form: str, most: int = MOST_TICKS) -> list[tuple[float, str]]:
    """Round numbers within the limits, two to `most`, with their texts, which differ; the range may be too narrow."""
    low, high = limits
    if not high > low:
        return []
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (unit * factor for factor in (1, 2, 5, 10, 20, 50, 100)):
        places = [step * n for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
        texts = [_figure(form, place) for place in places]
        if 2 <= len(places) <= most and len(set(texts)) == len(texts):
            return list(zip(places, texts, strict=True))
    digits = int(form[form.index(".") + 1])
    return _ticks(limits, form.replace(f".{digits}", f".{digits + 1}"), most) if digits < MOST_DIGITS else []


def _share(value: float, limits: Point) -> float:
    """Where a value lies in its range, 0..1."""
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.0


def _n(value: float) -> str:
    return f"{value:.1f}"
