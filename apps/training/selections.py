"""From a recipe to rows: which to load, how to split them, which are fair to judge a model on."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from apps.core.errors import PlatformError
from apps.core.sentences import worded
from apps.discovery.models import Phase
from apps.training import queries, sampling, splits
from apps.training.models import Model
from apps.training.recipes import Recipe, recipe_parse
from apps.training.samples import Counts, Dataset, Selection


def phases_check(recipe: Recipe) -> None:
    """Raises UNKNOWN_PHASE where a recipe names a phase that there is not."""
    if strangers := sorted({*recipe.data.phases} - {*queries.all_phases()}):
        followed = Phase.objects.filter(interval_seconds__gt=0).order_by("id").values_list("id", flat=True)
        raise PlatformError(
            "UNKNOWN_PHASE",
            worded(
                "There is no phase %(strangers)s: take some of %(followed)s (Discovery, Phases).",
                strangers=strangers[0],
                followed=", ".join(map(str, followed)),
            ),
        )


def selection_of(recipe: Recipe) -> Selection:
    """The rows of a recipe, up to the end of the data at most; the split purges those whose labels look past it.

    Raises UNKNOWN_PHASE, NO_DATA.
    """
    phases_check(recipe)
    span = queries.metrics_span()
    if span is None:
        raise PlatformError("NO_DATA", "There are no metric rows yet: let the stream run or import a history.")
    start = recipe.data.from_ or span[0] - timedelta(seconds=1)
    known = queries.data_end() or span[1]
    end = min(recipe.data.to or known, known)
    phases, rows = tuple(recipe.data.phases), recipe.data.filter()
    return Selection(start, max(end, start), phases, recipe.label.rule(), filter=rows)


def split_of(data: Dataset, recipe: Recipe, selection: Selection) -> splits.Split:
    """The recipe's split of its data, its training part thinned out by the recipe's sample; raises NO_KNOWN_ROWS where
    every row is unknown."""
    split = splits.split_by_time(
        known(data).coin_first_us,
        data.as_of_us,
        reach_us=_reach_us(selection),
        end_us=queries.to_us(selection.end),
        validation=recipe.split.validation,
        test=recipe.split.test,
    )
    return _sampled(data, recipe, split)


def folds_of(data: Dataset, recipe: Recipe, selection: Selection) -> list[splits.Split]:
    """The recipe's walks forward, oldest first, over all coins but those of the test part; their `test` is the stretch
    that comes after what they are fitted on. Empty where the recipe asks for none."""
    if not recipe.split.folds:
        return []
    split = split_of(data, recipe, selection)
    rows = np.flatnonzero(data.coin_first_us < split.test_from_us)
    found = splits.walk_forward(
        data.coin_first_us[rows],
        data.as_of_us[rows],
        reach_us=_reach_us(selection),
        end_us=split.test_from_us,
        folds=recipe.split.folds,
        validation=recipe.split.validation,
    )
    return [_sampled(data, recipe, splits.of_rows(fold, rows)) for fold in found]


def fold_span(data: Dataset, fold: splits.Split) -> tuple[datetime, datetime]:
    """First and last window of a fold's test stretch; it must have rows."""
    as_of_us = data.as_of_us[fold.test]
    return queries.to_datetime(as_of_us.min()), queries.to_datetime(as_of_us.max())


def _sampled(data: Dataset, recipe: Recipe, split: splits.Split) -> splits.Split:
    sample = recipe.data.sample(recipe.seed)
    if sample is None:
        return split
    keep = sampling.kept(data.mints, data.coin[split.train], data.as_of_us[split.train], sample)
    return replace(split, train=split.train[keep], sampled_out=int((~keep).sum()))


def _reach_us(selection: Selection) -> int:
    return round(selection.rule.reach_seconds * 1e6)


def overlaps(model: Model, start: datetime, end: datetime) -> bool:
    """Whether the range shares time with what the model was made from."""
    return start < model.train_to and end > model.train_from


def precedes(model: Model, start: datetime, end: datetime) -> bool:
    """Whether the range lies before what the model was made from: it knows what the market did next."""
    return end <= model.train_from


def fair_selection(models: list[Model], start: datetime, end: datetime) -> Selection:
    """Rows to judge on: the models' own question, without coins that began before their training data ended, nor, where
    that came later, those that were still there when it began."""
    recipe = recipe_parse(models[0].recipe)
    phases, rows = tuple(recipe.data.phases), recipe.data.filter()
    selection = Selection(start, end, phases, recipe.label.rule(), filter=rows)
    known_from = [model.train_to for model in models if model.train_to <= start]
    later = {(model.train_from, model.train_to) for model in models if precedes(model, start, end)}
    return replace(selection, coins_from=max(known_from, default=None), coins_unseen_in=tuple(sorted(later)))


# What to do where every row is left out, by the count of rows that says why.
_ALL_LEFT_OUT = {
    "rows_filtered": "the filters (coins, creators, trades) leave none: loosen them, or take a longer time range",
    "rows_nonstandard_curve": "their coins are not on the standard curve: take a longer time range",
    "rows_of_known_coins": "a model may know their coins from its training: take a later time range",
    "rows_unknown_no_entry": "no trade tells what an entry would have cost: take a longer time range",
    "rows_unknown_tracking_ended": "their coins were no longer followed when the horizon ended: shorten the horizon",
    "rows_unknown_gap": "a gap in the recording lies within their horizon: take another time range",
    "rows_unknown_data_end": "the data ends before their horizon: take an earlier time range or a shorter horizon",
    "rows_unknown_graduated": "their coins graduated within the horizon: take another time range",
    "rows_unknown_undefined": "the label's metric has no values there: ask for another one",
}


def known(data: Dataset) -> Dataset:
    """The dataset, unless it is empty: then NO_KNOWN_ROWS, with what took most of the rows."""
    if not len(data):
        raise PlatformError("NO_KNOWN_ROWS", _all_left_out(data.counts), counts=data.counts.as_json())
    return data


def _all_left_out(counts: Counts) -> str:
    """The sentence for a selection of which no row is left."""
    found = counts.as_json()
    most = max(_ALL_LEFT_OUT, key=lambda name: found[name])
    return f"None of {counts.rows_found:,} rows is left; of {found[most]:,} {_ALL_LEFT_OUT[most]}."
