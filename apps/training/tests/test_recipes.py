import math

import pytest

from apps.core.errors import PlatformError
from apps.training.recipes import range_parse, recipe_parse


@pytest.mark.parametrize(
    "part",
    [
        {"data": {"from": "0001-01-01T00:00:00+14:00"}},
        {"data": {"to": "9999-12-31T23:59:59-12:00"}},
        {"data": {"phases": [10**30]}},
        {"split": {"validation": 0.5, "test": 0.5}},
        {"xgboost": {"min_child_weight": math.inf}},
        {"xgboost": {"scale_pos_weight": math.nan}},
        {"xgboost": {"scale_pos_weight": -1}},
        {"xgboost": {"min_child_weight": 1e308}},
        {"xgboost": {"reg_lambda": 1e300}},
        {"name": "  "},
        {"min_alerts": 10**30},
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_trained_is_refused_at_once(part):
    with pytest.raises(PlatformError) as caught:
        recipe_parse({"name": "r"} | part)
    assert caught.value.code == "RECIPE_INVALID"


def test_a_range_beyond_any_calendar_is_refused():
    with pytest.raises(PlatformError) as caught:
        range_parse("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")
    assert caught.value.code == "RANGE_INVALID"
    with pytest.raises(PlatformError, match="`to`: needs a time zone"):
        range_parse("2025-09-06", "2025-09-07T12:00:00")


def test_the_largest_shares_still_leave_something_to_train_on():
    assert recipe_parse({"name": "r", "split": {"validation": 0.4, "test": 0.5}}).split.test == 0.5
