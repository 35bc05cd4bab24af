"""manage.py test_model NAME --from --to"""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.commands import JsonCommand
from apps.core.errors import NotFoundError, PlatformError
from apps.training import cautions, services
from apps.training.management import console
from apps.training.models import Model, TestResult
from apps.training.recipes import range_parse


class Command(JsonCommand):
    help = (
        "Judge a trained model on the windows that end in (FROM, TO], in this process, as a job that the pages show. "
        "Coins that the model may know from training are left out; a range that overlaps or precedes it is marked. "
        "Prints measures with 95 % intervals over coins, the expected value per alert after all costs, baselines on "
        "the same rows, and the same by phase, day and market; with --json all of it as one object, with `cautions` "
        "beside `scores`. "
        "Status 0: judged; 1: failed, with a code and a sentence; 2: wrong name or range."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="name of the model")
        parser.add_argument("--from", dest="start", required=True, help="ISO 8601: 2025-09-07 (midnight UTC)")
        parser.add_argument("--to", dest="end", required=True, help="ISO 8601: 2025-09-08T06:30:00Z")
        console.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            model = _model(options["name"])
            start, end = range_parse(options["start"], options["end"])
        except PlatformError as error:
            raise console.stopped(error, status=console.WRONG_USE) from None
        job = console.job_here(lambda: services.test_request(model=model, start=start, end=end))
        result = TestResult.objects.get(pk=(job.result or {})["test_result_id"])
        if options["json"]:
            self.stdout.write(json.dumps(_result(model, result, job.result or {})))
        else:
            self.stdout.write("\n".join(_text(model, result, job.result or {})))


def _model(name: str) -> Model:
    model = Model.objects.filter(name=name, is_deleted=False).first()
    if model is None:
        raise NotFoundError("MODEL_NOT_FOUND", f"There is no model named {name!r}.")
    return model


def _result(model: Model, result: TestResult, job_result: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_id": model.pk,
        "name": model.name,
        "label": model.label_name,
        "test_from": result.test_from.isoformat(),
        "test_to": result.test_to.isoformat(),
        "overlaps_training": result.overlaps_training,
        "coins": result.coins,
        "scores": result.scores,
        "cautions": cautions.of_test(result),
        **job_result,
    }


def _text(model: Model, result: TestResult, job_result: dict[str, Any]) -> list[str]:
    counts = job_result["counts"]
    lines = [
        f"{model.name}: {model.label_name}, {result.test_from:%Y-%m-%d %H:%M} to {result.test_to:%Y-%m-%d %H:%M} UTC",
        f"{result.rows:,} rows of {result.coins:,} coins; left out {counts['rows_unknown']:,} unknown, "
        f"{counts['rows_of_known_coins']:,} of coins that training may have seen, "
        f"{counts['rows_nonstandard_curve']:,} not on the standard curve",
    ]
    if result.overlaps_training:
        lines.append("THE RANGE OVERLAPS THE TRAINING DATA: these figures promise nothing.")
    if earlier := cautions.of_test(result).get("earlier"):
        lines.append(earlier)
    return lines + console.measures(result.scores)
