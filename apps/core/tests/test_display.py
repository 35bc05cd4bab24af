"""Figures as the reader's language writes them."""

import pytest
from django.utils import translation

from apps.core import display


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ["1,234.5000", "+1,234.50", "1,234.5 %", "12.3K", "1,234,567", "0.0280", "–"]),
        ("de", ["1.234,5000", "+1.234,50", "1.234,5 %", "12,3K", "1.234.567", "0,0280", "–"]),
        ("de-at", ["1.234,5000", "+1.234,50", "1.234,5 %", "12,3K", "1.234.567", "0,0280", "–"]),
    ],
)
def test_figures_follow_the_language_of_the_reader(language: str, texts: list[str]) -> None:
    with translation.override(language):
        assert texts == [
            display.sol(1_234_500_000_000),
            display.signed_sol(1_234_500_000_000, 2),
            display.pct(1234.5),
            display.short(12_345),
            display.count(1_234_567),
            display.price(2.8e-8),
            display.count(None),
        ]
