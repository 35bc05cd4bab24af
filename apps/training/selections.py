"""From a recipe to rows: which to load, how to split them, which are fair to judge a model on."""

from dataclasses import replace
from datetime import datetime, timedelta

from apps.core.errors import PlatformError
from apps.training import dataset, queries, splits
from apps.training.columns import Floats
from apps.training.dataset import Dataset, Selection
from apps.training.models import Model
from apps.training.recipes import Recipe, recipe_parse


def selection_of(recipe: Recipe) -> Selection:
    """The rows of a recipe, up to the end of the data at most; the split purges those whose labels look past it.

    Raises NO_DATA.
    """
    span = queries.metrics_span()
    if span is None:
        raise PlatformError("NO_DATA", "There are no metric rows yet: let the stream run or import a history.")
    start = recipe.data.from_ or span[0] - timedelta(seconds=1)
    known = queries.data_end() or span[1]
    end = min(recipe.data.to or known, known)
    return Selection(start, max(end, start), tuple(recipe.data.phases), recipe.label.rule())


def split_of(data: Dataset, recipe: Recipe, selection: Selection) -> splits.Split:
    """The recipe's split of its data; raises NO_KNOWN_ROWS where every row is unknown."""
    if not len(data):
        raise PlatformError(
            "NO_KNOWN_ROWS", "No row has a known label: take a longer time range.", **data.counts.as_json()
        )
    return splits.split_by_time(
        data.coin_first_us,
        data.as_of_us,
        reach_us=round(selection.rule.reach_seconds * 1e6),
        end_us=queries.to_us(selection.end),
        validation=recipe.split.validation,
        test=recipe.split.test,
    )


def parts_of(recipe: Recipe) -> tuple[dict[str, int], dict[str, Floats]]:
    """What a recipe finds before any fit: counts, and the labels of its training, validation and test part.

    Raises NO_DATA, NO_KNOWN_ROWS.
    """
    selection = selection_of(recipe)
    data = dataset.load(selection, ["price_close"])
    split = split_of(data, recipe, selection)
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return data.counts.as_json(), {name: data.label[rows] for name, rows in parts.items()}


def overlaps(model: Model, start: datetime, end: datetime) -> bool:
    """Whether the range shares time with what the model was made from."""
    return start < model.train_to and end > model.train_from


def fair_selection(models: list[Model], start: datetime, end: datetime) -> Selection:
    """Rows to judge on: the models' own question, without coins that began before their training data ended."""
    recipe = recipe_parse(models[0].recipe)
    selection = Selection(start, end, tuple(recipe.data.phases), recipe.label.rule())
    later = [model.train_to for model in models if not overlaps(model, start, end) and model.train_to <= start]
    return replace(selection, coins_from=max(later)) if later else selection


def known(data: Dataset) -> Dataset:
    """The dataset, unless it is empty: then NO_KNOWN_ROWS."""
    if not len(data):
        raise PlatformError(
            "NO_KNOWN_ROWS", "No row has a known label: take another time range.", **data.counts.as_json()
        )
    return data
