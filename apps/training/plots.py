"""The curves of a judged sample as SVG. Scores are those of `evaluation.report`; a missing curve gives empty text."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.core import display
from apps.core.svg import Axes, Line, Span, curves, spans

EMPTY = SafeString("")
CURVE_CLASSES = ("line", "line two", "line three", "line four")
_STEP = 0.1


def precision_recall(scores: Mapping[str, Any]) -> SafeString:
    """Precision against recall, the base rate as a guide, the chosen threshold as a mark."""
    points = _points(scores, "pr")
    if not points:
        return EMPTY
    base, precision, recall = scores.get("base_rate") or 0.0, scores.get("precision"), scores.get("recall")
    lines = [Line([(0.0, base), (1.0, base)], "guide", title=_("base rate")), Line(points)]
    marks = [(recall, precision)] if precision is not None and recall is not None else []
    return curves(lines, Axes(_("Recall"), _("Precision")), _("Precision against recall"), marks)


def precision_recall_of_many(models: Sequence[tuple[str, Mapping[str, Any]]]) -> SafeString:
    """The curves of several models over the same rows, in the order of CURVE_CLASSES."""
    found = [(name, _points(scores, "pr"), css) for (name, scores), css in zip(models, CURVE_CLASSES, strict=False)]
    if not any(points for _name, points, _css in found):
        return EMPTY
    base = models[0][1].get("base_rate") or 0.0
    lines = [Line([(0.0, base), (1.0, base)], "guide", title=_("base rate"))]
    lines += [Line(points, css, title=name) for name, points, css in found]
    return curves(lines, Axes(_("Recall"), _("Precision")), _("Precision against recall"))


def roc(scores: Mapping[str, Any]) -> SafeString:
    """True against false positive rate, chance as a guide."""
    points = _points(scores, "roc")
    if not points:
        return EMPTY
    lines = [Line([(0.0, 0.0), (1.0, 1.0)], "guide", title=_("chance")), Line(points)]
    return curves(lines, Axes(_("False alarms"), _("Found")), _("ROC curve"))


def calibration(scores: Mapping[str, Any]) -> SafeString:
    """Observed against predicted share, a perfect model as a guide; the axes end at the largest value."""
    return calibration_of([(row["predicted"], row["observed"]) for row in scores.get("calibration", [])])


def calibration_of(points: Sequence[tuple[float, float]]) -> SafeString:
    """The same from (predicted, observed) pairs."""
    if not points:
        return EMPTY
    top = _round_up(max(max(point) for point in points))
    axes = Axes(_("Predicted"), _("Observed"), (0.0, top), (0.0, top), "{:.2f}")
    lines = [Line([(0.0, 0.0), (top, top)], "guide", title=_("perfect")), Line(sorted(points), dots=True)]
    return curves(lines, axes, _("Observed against predicted share"))


def expected_value(scores: Mapping[str, Any]) -> SafeString:
    """Expected value per alert against the threshold with its interval, nothing gained as a guide, the chosen threshold
    as a mark."""
    known = [point for point in scores.get("ev_curve", []) if point["expected_value"] is not None]
    if len(known) < 2:
        return EMPTY
    line = [(point["threshold"], point["expected_value"]) for point in known]
    sure = [point for point in known if point["low"] is not None]
    low = [(point["threshold"], point["low"]) for point in sure]
    high = [(point["threshold"], point["high"]) for point in sure]
    value = scores.get("expected_value")
    marks = [(scores["threshold"], value)] if value is not None else []
    drawn = [*line, *low, *high, *marks]
    across = (min(x for x, _y in drawn), max(x for x, _y in drawn))
    up = _around([y for _x, y in drawn])
    guide = Line([(across[0], 0.0), (across[1], 0.0)], "guide", title=_("nothing gained"))
    axes = Axes(_("Threshold"), _("Per alert"), across, up, "{:.2f}", "{:+.0%}")
    return curves([guide, Line(line)], axes, _("Expected value against threshold"), marks, [*low, *reversed(high)])


def expected_values(rows: Sequence[tuple[str, Mapping[str, Any]]], label: str) -> SafeString:
    """Expected value per alert of slices, baselines or models below each other, with their intervals."""
    drawn = []
    for name, row in rows:
        low, high = row.get("intervals", {}).get("expected_value", (None, None))
        value = row.get("expected_value")
        text = display.signed_pct(None if value is None else value * 100)
        drawn.append(Span(name, value, low, high, text))
    return spans(drawn, label, "{:+.0%}") if any(row.value is not None for row in drawn) else EMPTY


def falls(rows: Sequence[tuple[str, float]]) -> SafeString:
    """By how much PR-AUC falls without each feature."""
    drawn = [Span(name, value, min(value, 0.0), max(value, 0.0), display.number(value, 4)) for name, value in rows]
    return spans(drawn, _("Fall of PR-AUC when shuffled"), "{:.3f}", names=190) if drawn else EMPTY


def _points(scores: Mapping[str, Any], curve: str) -> list[tuple[float, float]]:
    return [(x, y) for x, y in scores.get("curves", {}).get(curve, [])]


def _round_up(value: float) -> float:
    """The next tenth, at most 1."""
    return min(max(int(value * 10) + 1, 1) / 10, 1.0)


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A range in whole steps that holds all values and zero."""
    low, high = min(0.0, *values), max(0.0, *values)
    return (int(low / _STEP) - (low < 0)) * _STEP, (int(high / _STEP) + 1) * _STEP
