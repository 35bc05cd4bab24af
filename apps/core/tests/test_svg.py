"""Plots stay inside their box and carry their words as text."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.svg import HEIGHT, WIDTH, Axes, Line, curves, histogram

NUMBER = st.floats(-10, 10, allow_nan=False)
AXES = Axes("across", "up")


def places(text: str) -> list[tuple[float, float]]:
    """The points of every polyline and circle."""
    pairs = [pair for points in re.findall(r'points="([^"]*)"', text) for pair in points.split()]
    pairs += [f"{x},{y}" for x, y in re.findall(r'cx="([^"]*)" cy="([^"]*)"', text)]
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


@given(st.lists(st.tuples(NUMBER, NUMBER), min_size=1, max_size=20))
def test_every_point_is_drawn_inside_the_box(points):
    drawn = places(curves([Line(points, dots=True)], AXES, "label", marks=points[:1]))
    assert len(drawn) == 2 * len(points) + 1
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.floats(0, 1))
def test_more_is_drawn_higher_and_inside_the_box(counts, limit):
    text = histogram(counts, AXES, "label", limit)
    found = re.findall(r'<rect class="(bar[^"]*)" x="[^"]*" y="([^"]*)" width="([^"]*)" height="([^"]*)">', text)
    assert len(found) == len(counts)
    heights = [float(height) for _css, _y, _width, height in found]
    ranked = sorted(range(len(counts)), key=lambda place: counts[place])
    assert all(heights[a] <= heights[b] for a, b in pairwise(ranked))
    assert all(float(y) >= 0 and float(width) > 0 for _css, y, width, _height in found)


def test_bars_at_or_above_the_limit_stand_out():
    text = histogram([1, 1, 1, 1], AXES, "label", 0.5)
    assert re.findall(r'class="(bar[^"]*)"', text) == ["bar", "bar", "bar hot", "bar hot"]


def test_words_are_escaped_and_there_is_no_inline_style():
    text = curves([Line([(0, 0), (1, 1)], title="<b>")], Axes("<x>", "y"), '"quoted"')
    assert "<b>" not in text and "<x>" not in text and 'aria-label="&quot;quoted&quot;"' in text
    assert "style=" not in text


def test_a_line_without_points_draws_nothing():
    assert "polyline" not in curves([Line([])], AXES, "label")


@pytest.mark.parametrize(
    ("limits", "form", "expected"),
    [
        ((-0.058, 0.034), "{:+.0%}", ["-4%", "-2%", "0%", "+2%"]),
        ((-0.006, 0.005), "{:+.0%}", ["-0.6%", "-0.4%", "-0.2%", "0.0%", "+0.2%", "+0.4%"]),
        ((9.99, 10.013), "{:.3f}", ["9.990", "9.995", "10.000", "10.005", "10.010"]),
        ((5.0, 5.0), "{:.1f}", []),
    ],
)
def test_axes_bear_round_numbers_that_differ_and_nothing_has_a_sign(limits, form, expected):
    text = curves([Line([(0, limits[0]), (1, limits[1])])], Axes("x", "y", (0, 1), limits, "{:.1f}", form), "label")
    assert re.findall(r'text-anchor="end">([^<]*)<', text) == expected
