"""Tables become HTML: escaped, with nothing that is empty."""

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, override

from apps.core.tables import NUMBER, Cell, Column, Row, Table, row_html

HOSTILE = "\"><script>'&"
ESCAPED = "&quot;&gt;&lt;script&gt;&#x27;&amp;"


def test_a_row_escapes_whatever_a_stranger_wrote() -> None:
    cell = Cell(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)], HOSTILE, HOSTILE, 12.34)
    html = row_html(Row([cell], HOSTILE), [HOSTILE])
    assert "<script>" not in html
    assert html.count(ESCAPED) == 12  # every field once, the text for the bar again, the row's id, the column's class


def test_a_plain_cell_is_a_text_with_the_classes_of_its_column() -> None:
    html = row_html(Row([Cell("1.5"), Cell("x", css="warn"), Cell()]), [NUMBER, "wide-only", ""])
    assert html == '<tr><td class="num">1.5</td><td class="wide-only warn">x</td><td></td></tr>'


def test_a_full_cell_shows_its_parts_in_order() -> None:
    cell = Cell("SYM", href="/a?b=1&c=2", note="name", below="mint", pills=[("good", "graduated")], id="cap", value="0")
    assert row_html(Row([cell], "coin-1"), ["coin"]) == (
        '<tr id="coin-1"><td class="coin" id="cap" data-value="0"><a href="/a?b=1&amp;c=2">SYM</a>'
        ' <span class="muted">name</span> <span class="pill good">graduated</span>'
        '<div class="mono muted wide-only">mint</div></td></tr>'
    )


def test_a_bar_of_nothing_is_a_bar() -> None:
    bar = '<progress class="bar" max="100" value="0.0" aria-label="0 %"></progress>'
    assert bar in row_html(Row([Cell("0 %", bar=0)]), [""])


def test_html_made_by_us_stays_and_words_are_in_the_readers_language() -> None:
    row = Row([Cell(mark_safe("<b>1</b>")), Cell(gettext_lazy("Age"))])
    with override("de"):
        assert row_html(row, ["", ""]) == "<tr><td><b>1</b></td><td>Alter</td></tr>"


def test_the_frame_takes_the_rows_as_they_are_and_says_what_to_do_when_there_are_none() -> None:
    columns = [Column("Coin")]
    html = render_to_string("partials/table.html", {"table": Table(columns, [Row([Cell("A&B")])])})
    assert "<tr><td>A&amp;B</td></tr>" in html
    empty = render_to_string("partials/table.html", {"table": Table(columns, [], empty="None.", hint="Wait.")})
    assert "None." in empty and "Wait." in empty
