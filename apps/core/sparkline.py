"""A small line without axes that says which way something went. Pure; drawn by the server as SVG text."""

from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString

WIDTH, HEIGHT, MARGIN = 600, 80, 4
FEWEST = 2


def sparkline(values: Sequence[float], label: str, tone: str = "") -> SafeString:
    """The values from left to right with a guide at zero; empty below two values.

    `tone` (up, down, warn, muted) is its colour, that of the last value's sign unless given."""
    if len(values) < FEWEST:
        return SafeString("")
    low, high = min(*values, 0.0), max(*values, 0.0)
    points = " ".join(f"{_x(place, len(values)):.1f},{_y(value, low, high):.1f}" for place, value in enumerate(values))
    zero = f"{_y(0.0, low, high):.1f}"
    return format_html(
        '<svg class="spark {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<line x1="0" x2="{}" y1="{}" y2="{}"></line><polyline points="{}"></polyline></svg>',
        tone or ("up" if values[-1] >= 0 else "down"), WIDTH, HEIGHT, label, WIDTH, zero, zero, points,
    )  # fmt: skip


def _x(place: int, count: int) -> float:
    return WIDTH * place / (count - 1)


def _y(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN)
