"""The small line of the dashboard."""

import re

from hypothesis import given
from hypothesis import strategies as st

from apps.core.sparkline import HEIGHT, WIDTH, sparkline


def points(svg: str) -> list[tuple[float, float]]:
    found = re.search(r'points="([^"]*)"', svg)
    assert found is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


def test_less_than_two_values_draw_nothing():
    assert sparkline([], "x") == sparkline([1.0], "x") == ""


def test_a_loss_is_drawn_in_its_colour_below_the_guide():
    svg = sparkline([0.0, -1.0], "results")
    assert 'class="spark down"' in svg
    assert points(svg)[1][1] > points(svg)[0][1]


def test_the_label_is_text():
    assert "<b>" not in sparkline([1.0, 2.0], '"><b>')


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=50))
def test_every_point_lies_in_the_picture_from_left_to_right(values):
    drawn = points(sparkline(values, "x"))
    assert len(drawn) == len(values)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
