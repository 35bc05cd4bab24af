"""What a model is asked, as a sentence for people."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from apps.core import display
from apps.training.label_rules import PRICE


def question(recipe: Mapping[str, Any]) -> str:
    """Such as `+20 % within 5 min, before −10 %`."""
    label = recipe.get("label", {})
    span, metric = display.seconds(label.get("horizon_seconds")), label.get("metric", PRICE)
    if label.get("kind") == "graduates":
        return _("graduates within %(span)s") % {"span": span}
    if label.get("kind") == "rule":
        sentence = _("%(metric)s %(operator)s %(value)s within %(span)s")
        if label["when"] == "after":
            sentence = _("%(metric)s %(operator)s %(value)s after %(span)s")
        value = f"{label['value']:g}"
        return sentence % {"metric": metric, "operator": label["operator"], "value": value, "span": span}
    asked = _change(label, span)
    if metric != PRICE:
        asked = f"{metric}: {asked}"
    if costs := label.get("costs_pct"):
        return _("%(asked)s, after %(costs)s of costs") % {"asked": asked, "costs": display.signed_pct(costs, 0)[1:]}
    return asked


def _change(label: Mapping[str, Any], span: str) -> str:
    change = display.signed_pct(label.get("change_pct"), 0)
    if label.get("kind") == "close":
        return _("%(change)s after %(span)s") % {"change": change, "span": span}
    if stop := label.get("stop_pct"):
        away = display.signed_pct(-stop if label.get("change_pct", 0) > 0 else stop, 0)
        return _("%(change)s within %(span)s, before %(stop)s") % {"change": change, "span": span, "stop": away}
    return _("%(change)s within %(span)s") % {"change": change, "span": span}
