"""manage.py train RECIPE.toml"""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import F

from apps.core.commands import JsonCommand
from apps.core.errors import PlatformError
from apps.training import cautions, services
from apps.training.management import console
from apps.training.models import Job, Model
from apps.training.recipes import Recipe, recipe_load, recipe_parse

NOT_UNSEEN = {"validation": " (these rows also chose rounds, scaling and threshold: expect worse)", "test": ""}


class Command(JsonCommand):
    help = (
        "Train a model from a recipe (TOML; examples in docs/recipes) on the stored data, in this process, as a job "
        "that the pages show. With a part [tune] in the recipe a study comes first, and its best is trained. Prints "
        "the scores of the validation and the test part, with intervals, costs and baselines as test_model does; with "
        "--json all of it as one object, with `cautions` beside `scores`. "
        "Status 0: trained; 1: failed, with a code and a sentence; 2: wrong recipe or name taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("recipe", type=Path, help="the recipe's file")
        parser.add_argument("--name", help="name of the model, instead of the recipe's")
        parser.add_argument(
            "--replace", action="store_true", help="delete a model of that name first; it comes back if this fails"
        )
        console.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            recipe = recipe_load(options["recipe"])
            if options["name"]:
                recipe = recipe_parse({**recipe.as_json(), "name": options["name"]})
            replaced = _delete(recipe.name) if options["replace"] else []
        except PlatformError as error:
            raise console.stopped(error, status=console.WRONG_USE) from None
        try:
            job = _do(recipe)
        except (CommandError, KeyboardInterrupt):
            _restore(replaced)
            raise
        model = Model.objects.get(pk=(job.result or {})["model_id"])
        if options["json"]:
            self.stdout.write(json.dumps(_result(model, job.result or {})))
        else:
            self.stdout.write("\n".join(_text(model, job.result or {})))


def _do(recipe: Recipe) -> Job:
    """The finished training, after a study where the recipe asks for one."""
    study = None
    if recipe.tune:
        study = console.job_here(lambda: services.tune_request(recipe=recipe))
    return console.job_here(lambda: _ask(recipe, study))


def _ask(recipe: Recipe, study: Job | None) -> Job:
    """The training of the recipe, or of the best that a study of it has found."""
    return services.train_request(recipe=recipe) if study is None else services.best_train(study=study)


def _delete(name: str) -> list[Model]:
    """Take the model of that name away, and say which it was. Raises MODEL_IS_ACTIVE."""
    found = list(Model.objects.filter(name=name, is_deleted=False).order_by(F("id")))
    for model in found:
        services.model_delete(model=model)
    return found


def _restore(replaced: list[Model]) -> None:
    """Bring back what no new model took the place of, with its alias."""
    for model in replaced:
        alias = model.alias
        services.model_restore(model=Model.objects.get(pk=model.pk))
        if alias:
            services.alias_set(model=model, alias=alias)


def _result(model: Model, result: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_id": model.pk,
        "name": model.name,
        "label": model.label_name,
        "train_from": model.train_from.isoformat(),
        "train_to": model.train_to.isoformat(),
        "rows": {"train": model.rows_train, "validation": model.rows_validation, "test": model.rows_test},
        "threshold": model.threshold,
        "scores": model.scores,
        "cautions": cautions.of_model(model, result["counts"]),
        "importances": dict(sorted(model.importances.items(), key=lambda one: -one[1])[:20]),
        "data_hash": model.data_hash,
        "artifact_sha256": model.artifact_sha256,
        **result,
    }


def _text(model: Model, result: dict[str, Any]) -> list[str]:
    counts, seconds = result["counts"], result["seconds"]
    lines = [
        f"{model.name} (model {model.pk}): {model.label_name}, {len(model.feature_names)} features, "
        f"{result['rounds']} rounds",
        f"data {model.train_from:%Y-%m-%d %H:%M} to {model.train_to:%Y-%m-%d %H:%M} UTC: "
        f"{counts['rows_found']:,} rows, left out {counts['rows_unknown']:,} unknown, "
        f"{counts['rows_nonstandard_curve']:,} not on the standard curve, "
        f"{result['purged']:,} purged",
        f"train {model.rows_train:,}, validation {model.rows_validation:,}, test {model.rows_test:,} rows; "
        f"load {seconds['load']:.1f} s, fit {seconds['fit']:.1f} s",
    ]
    for part in NOT_UNSEEN:
        if part in model.scores:
            lines += [f"{part}{NOT_UNSEEN[part]}:", *console.measures(model.scores[part])]
    return lines + console.walks(model.scores.get("walk_forward", []))
