"""Sentences that stand beside figures which are easily believed too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core import display
from apps.training import selections
from apps.training.models import PARTS, Comparison, Job, Model, TestResult

LOST_FROM = 0.1  # of the rows found
ON_VALIDATION: str | Promise = gettext_lazy(
    "These rows also chose the number of rounds, the scaling of the probabilities and the threshold: expect worse on"
    " other rows. What it is worth only a test says."
)
ON_OVERLAP: str | Promise = gettext_lazy(
    "This stretch shares time with the data that the model was made from: these figures promise nothing."
)
ON_EARLIER: str | Promise = gettext_lazy(
    "This stretch lies before the data that the model was made from: it has learned from what the market did next. What"
    " it promises only a later stretch shows."
)
TOO_GOOD: str | Promise = gettext_lazy(
    "A ROC-AUC this high means a leak more often than a good model: look for it with `manage.py leakcheck`."
)


def for_programs(
    scores: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int], *, overlaps: bool = False, earlier: bool = False
) -> dict[str, str]:
    """The same in English under stable names, where they apply: `validation`, `overlap`, `earlier`, `too_good`,
    `left_out`. `scores` are those of the judged samples by their names."""
    with translation.override("en"):
        found = {
            "validation": of_part("validation") if "validation" in scores else "",
            "overlap": ON_OVERLAP if overlaps else "",
            "earlier": ON_EARLIER if earlier else "",
            "too_good": TOO_GOOD if any(one.get("suspicious") for one in scores.values()) else "",
            "left_out": of_counts(counts),
        }
        return {name: str(sentence) for name, sentence in found.items() if sentence}


def of_model(model: Model, counts: Mapping[str, int]) -> dict[str, str]:
    """For programs, of a model's own figures; `counts` are those of its training, if they are known."""
    return for_programs({part: model.scores[part] for part in PARTS if part in model.scores}, counts)


def counts_of_training(model: Model) -> dict[str, int]:
    """What the training of a model found; empty for an imported one."""
    done = model.jobs.filter(job_type=Job.Type.TRAIN, status=Job.Status.COMPLETED).order_by("-pk").first()
    return _counts(done)


def of_test(result: TestResult) -> dict[str, str]:
    """For programs, of a test."""
    earlier = selections.precedes(result.model, result.test_from, result.test_to)
    return for_programs(
        {"sample": result.scores}, _counts(result.job), overlaps=result.overlaps_training, earlier=earlier
    )


def of_comparison(comparison: Comparison) -> dict[str, str]:
    """For programs, of all compared models together."""
    results, models = comparison.results, comparison.compared.all()
    rows = results.get("models", [])
    return for_programs(
        {row["name"]: row["scores"] for row in rows},
        results.get("counts", {}),
        overlaps=any(row["overlaps_training"] for row in rows),
        earlier=any(selections.precedes(model, comparison.test_from, comparison.test_to) for model in models),
    )


def _counts(job: Job | None) -> dict[str, int]:
    found: dict[str, int] = (job.result or {}).get("counts", {}) if job else {}
    return found


def of_part(part: str) -> str | Promise:
    """What to know of the figures of a part; empty where they are what they seem."""
    return ON_VALIDATION if part == "validation" else ""


def of_counts(counts: Mapping[str, int]) -> str:
    """What to do where many rows were left out because their coin was no longer followed; else empty."""
    lost, found = counts.get("rows_unknown_tracking_ended", 0), counts.get("rows_found", 0)
    if not found or lost / found < LOST_FROM:
        return ""
    text = _(
        "%(share)s of the windows are left out: their coin was no longer followed when the horizon ended, so nobody"
        " knows what became of it. Coins that fall asleep are lost first, so the base rate of the others can be too"
        " high. A shorter horizon or earlier phases lose fewer; coins recorded from now on are followed longer with a"
        " longer last phase (Discovery, Phases)."
    )
    return text % {"share": display.ratio_pct(lost / found)}
