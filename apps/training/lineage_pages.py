"""What a model's page shows of its origin: alias, parent, study, children, what else made it, its walk forward."""

from __future__ import annotations

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.training import pages
from apps.training.models import Model

Title = str | Promise
ORIGINS: dict[str, Title] = {
    Model.Origin.TRAINED: gettext_lazy("training"),
    Model.Origin.RETRAINED: gettext_lazy("training again, on other data"),
    Model.Origin.TUNED: gettext_lazy("training of a study's best recipe"),
    Model.Origin.IMPORTED: gettext_lazy("import of a file"),
}
ALIASES: dict[str, Title] = {
    Model.Alias.CHAMPION: gettext_lazy("champion"),
    Model.Alias.CHALLENGER: gettext_lazy("challenger"),
}
MADE_WITH: dict[str, Title] = {
    "seed": gettext_lazy("Seed"),
    "rounds": gettext_lazy("Rounds"),
    "threads": gettext_lazy("Threads"),
    "cluster_workers": gettext_lazy("Workers of the cluster"),
}


def lineage_facts(model: Model) -> dict[str, Any]:
    """Everything the block shows."""
    imported = model.made_with.get("imported", {})
    return {
        "alias": ALIASES.get(model.alias, ""),
        "aliases": _offers(model),
        "origin": ORIGINS[model.origin],
        "parent": _parent(model, imported),
        "study": model.study_id,
        "children": list(model.children.filter(is_deleted=False).order_by("pk").values_list("pk", "name")),
        "made_with": [
            (title, display.count(model.made_with[name]))
            for name, title in MADE_WITH.items()
            if name in model.made_with
        ],
        "walks": [_walk(walk) for walk in model.scores.get("walk_forward", [])],
    }


def _offers(model: Model) -> list[tuple[str, Title]]:
    """What a click may do: give an alias that it does not have, or take its own away."""
    offers: list[tuple[str, Title]] = [
        (alias, _("Make it %(alias)s") % {"alias": title}) for alias, title in ALIASES.items() if alias != model.alias
    ]
    return [*offers, ("", _("Take the alias away"))] if model.alias else offers


def _parent(model: Model, imported: dict[str, Any]) -> dict[str, Any] | None:
    if model.parent is not None:
        return {"id": None if model.parent.is_deleted else model.parent_id, "name": model.parent.name}
    return {"id": None, "name": imported["parent"]} if imported.get("parent") else None


def _walk(walk: dict[str, Any]) -> dict[str, Any]:
    if "error" in walk:
        return {"from": walk["from"][:16].replace("T", " "), "error": walk["error"]}
    return {"from": walk["from"][:16].replace("T", " "), **pages.score_texts(walk)}
