"""The curves of a judged sample as SVG. Scores are those of `evaluation.scores`; a missing curve gives empty text."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.core.svg import Axes, Line, curves

EMPTY = SafeString("")
CURVE_CLASSES = ("line", "line two", "line three", "line four")


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


def _points(scores: Mapping[str, Any], curve: str) -> list[tuple[float, float]]:
    return [(x, y) for x, y in scores.get("curves", {}).get(curve, [])]


def _round_up(value: float) -> float:
    """The next tenth, at most 1."""
    return min(max(int(value * 10) + 1, 1) / 10, 1.0)
