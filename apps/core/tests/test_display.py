"""Figures as the reader's language writes them."""

import pytest
from django.utils import translation

from apps.core import display
from apps.core.sentences import Reader, worded


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


def test_what_rounds_to_nothing_has_no_minus() -> None:
    assert [display.pct(-0.01), display.signed_pct(-0.01), display.signed_sol(-1, 4), display.number(-0.001)] == [
        "0.0 %",
        "+0.0 %",
        "+0.0000",
        "0.00",
    ]


def test_errors_are_said_in_the_language_of_the_reader() -> None:
    english = "The range must end after it begins."
    with translation.override("de"):
        assert display.error_text(english) == "Der Zeitraum muss nach seinem Beginn enden."
        assert [display.error_text("Model 5 is lost."), display.error_text("")] == ["Model 5 is lost.", ""]
    assert display.error_text(english) == english


def test_values_of_a_sentence_stand_in_each_language() -> None:
    found = worded("There is no wallet called %(alias)s.", alias="100 % mine")
    assert (found, display.error_text(found)) == ("There is no wallet called 100 % mine.",) * 2
    with translation.override("de"):
        assert display.error_text(found) == "Es gibt kein Wallet namens 100 % mine."
        assert display.error_text(str(found)) == "Es gibt kein Wallet namens 100 % mine.", "as it was stored"


def test_numbers_and_the_sentence_in_a_sentence_are_said_too() -> None:
    inner = worded("read %(rows)s rows of %(coins)s coins", rows="1,234", coins="5")
    found = str(worded("walking forward, fold %(number)s of %(folds)s: %(what)s", number=1, folds=3, what=inner))
    with translation.override("de"):
        assert display.error_text(found) == "Vorwärts, Abschnitt 1 von 3: 1.234 Zeilen von 5 Coins gelesen"


TEMPLATES = (
    "%(a)s: %(b)s",
    "Give nothing",
    "Give %(n)d coins or more",
    "100 %% of %(n)s and %(n)s are lost for ever.",
    "Give %(few)s coins, please.",
    "Give %(low)s to %(high)s coins, please.",
)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("Give 3 to 5 coins, please.", "Give %(low)s to %(high)s coins, please."),
        ("Give a to b to 5 coins, please.", "Give %(low)s to %(high)s coins, please."),
        ("100 % of 7 and 7 are lost for ever.", "100 %% of %(n)s and %(n)s are lost for ever."),
        ("100 % of 7 and 8 are lost for ever.", None),
        ("Give 3 coins, please.", "Give %(few)s coins, please."),
        ("Give nothing", None),
        ("A: B", None),
    ],
)
def test_a_stored_sentence_is_known_by_its_template(text: str, template: str | None) -> None:
    found = Reader(TEMPLATES).read(text)
    assert (found and found.template) == template
    assert found is None or found == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("  Moon Cat ", "Moon Cat"),
        ("\u202eevil\u202c", "evil"),
        ("a\u200bb", "ab"),
        ("\u200b\u200b", ""),
        ("\u3164 \u2800", ""),
        ("\u200d\ufe0f", ""),
        ("\U0001f468\u200d\U0001f680", "\U0001f468\u200d\U0001f680"),
        ("عربى שלום", "عربى שלום"),
    ],
)
def test_a_stranger_s_text_shows_something_and_turns_nothing_round(text: str, seen: str) -> None:
    assert display.visible(text) == seen
