"""What the page of a study shows: its trials, the best so far, and how the measure goes with each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display, svg
from apps.core.tables import NUMBER, WIDE_NUMBER, Cell, Column, Row, Table
from apps.training.models import Job, Trial
from apps.training.recipes import Booster, Tune
from apps.training.study import LOGARITHMIC, space_of

MEASURES: dict[str, str | Promise] = {
    "pr_auc": "PR-AUC",
    "log_loss": gettext_lazy("Log loss"),
    "expected_value": gettext_lazy("Value per alert"),
}
STATES: dict[str, tuple[str, str | Promise]] = {
    Trial.State.RUNNING: ("info", gettext_lazy("running")),
    Trial.State.COMPLETE: ("good", gettext_lazy("done")),
    Trial.State.PRUNED: ("", gettext_lazy("given up")),
    Trial.State.FAILED: ("bad", gettext_lazy("no value")),
}
DIGITS = 4


def study_facts(job: Job) -> dict[str, Any]:
    """Everything about a study: texts, plots and the table of its trials."""
    recipe = job.params["recipe"]
    plan = Tune.model_validate(recipe.get("tune") or {})
    trials = list(job.trials.order_by("number"))
    done = [trial for trial in trials if trial.value is not None and trial.state == Trial.State.COMPLETE]
    best = _best(done, plan.measure)
    space = space_of(plan, Booster.model_validate(recipe["xgboost"]))
    return {
        "measure": MEASURES[plan.measure],
        "asked": display.count(plan.trials),
        "counts": [(title, sum(one.state == state for one in trials)) for state, (_tone, title) in STATES.items()],
        "best": best and {
            "number": best.number,
            "value": display.number(best.value, DIGITS),
            "params": [(name, _short(best.params[name])) for name in space if name in best.params],
            "rounds": best.measures.get("rounds"),
        },
        "can_train": job.status == Job.Status.COMPLETED and bool((job.result or {}).get("recipe")),
        "course_plot": _course(done, plan.measure),
        "plots": [(name, _against(done, name, span, plan.measure)) for name, span in space.items()] if done else [],
        "table": _table(trials, list(space), best, plan.measure),
        "models": [(model.pk, model.name) for model in job.tuned_models.filter(is_deleted=False).only("pk", "name")],
    }  # fmt: skip


def _best(done: Sequence[Trial], measure: str) -> Trial | None:
    """The best complete trial, the earliest of equals."""
    sign = 1 if measure == "log_loss" else -1
    return min(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def _course(done: Sequence[Trial], measure: str) -> SafeString | str:
    """The measure by trial, and the best up to each."""
    if not done:
        return ""
    points = [(float(trial.number + 1), float(trial.value or 0.0)) for trial in done]
    pick, best = (min if measure == "log_loss" else max), list[tuple[float, float]]()
    for number, value in points:
        best.append((number, pick(value, best[-1][1]) if best else value))
    axes = svg.Axes(_("trial"), str(MEASURES[measure]), (0.0, points[-1][0] + 1), _range(done), "{:.3g}")
    lines = [svg.Line(best, "line two", title=_("best so far")), svg.Line(points, "points", dots=True)]
    return svg.curves(lines, axes, _("Measure of each trial and the best so far"))


def _against(done: Sequence[Trial], name: str, span: tuple[float, float], measure: str) -> SafeString:
    """The measure against one parameter."""
    logarithmic = name in LOGARITHMIC and span[0] > 0
    place = math.log10 if logarithmic else float
    points = [(place(trial.params[name]), float(trial.value or 0.0)) for trial in done if name in trial.params]
    title = f"log₁₀ {name}" if logarithmic else name
    axes = svg.Axes(title, str(MEASURES[measure]), (place(span[0]), place(span[1])), _range(done), "{:.3g}")
    label = _("%(measure)s against %(name)s") % {"measure": MEASURES[measure], "name": name}
    return svg.curves([svg.Line(points, "points", dots=True)], axes, label)


def _range(done: Sequence[Trial]) -> tuple[float, float]:
    """The values with a little room on both sides."""
    values = [float(trial.value or 0.0) for trial in done]
    room = (max(values) - min(values)) * 0.08 or abs(values[0]) * 0.05 or 0.01
    return min(values) - room, max(values) + room


def _table(trials: Sequence[Trial], names: Sequence[str], best: Trial | None, measure: str) -> Table:
    columns = [
        Column(_("Trial"), NUMBER),
        Column(_("State")),
        Column(str(MEASURES[measure]), NUMBER),
        Column(_("Rounds"), WIDE_NUMBER),
        *(Column(name, WIDE_NUMBER) for name in names),
    ]
    rows = [
        Row(
            [
                Cell(display.count(trial.number + 1)),
                Cell("", pills=[_state(trial, best)]),
                Cell(display.number(trial.value, DIGITS)),
                Cell(display.count(_rounds(trial))),
                *(Cell(_short(trial.params.get(name))) for name in names),
            ],
            f"trial-{trial.number}",
        )
        for trial in reversed(trials[-100:])
    ]
    return Table(columns, rows, _("Trials"), _("No trial yet."), _("The rows are being loaded."), "flask-conical")


def _rounds(trial: Trial) -> int:
    """Rounds of the booster; of a trial that was given up those that it had."""
    return int(trial.measures.get("rounds") or (trial.steps[-1][0] if trial.steps else 0))


def _state(trial: Trial, best: Trial | None) -> tuple[str, str | Promise]:
    return ("good", _("best")) if best and trial.pk == best.pk else STATES[trial.state]


def _short(value: float | None) -> str:
    return display.NONE if value is None else f"{value:.4g}"
