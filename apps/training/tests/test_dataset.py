from datetime import timedelta

import numpy as np
import pytest
from django.db import connection

from apps.discovery.models import ExchangeRate
from apps.training import dataset, dataset_cache, selections
from apps.training.columns import METRICS
from apps.training.labels import LabelRule
from apps.training.recipes import recipe_parse
from apps.training.samples import ARRAYS, Selection
from apps.training.sampling import Filter
from apps.training.tests import market

RULE = LabelRule("path", 10, 60)
SELECTION = Selection(market.START, market.START + timedelta(minutes=30), (1,), RULE)
NAMES = ["price_close", "volume_sol_60s", "creator_coins", "market_trades_60s", "sol_usd"]
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """A market that every test below sees; what a test changes is undone by its own transaction."""
    with django_db_blocker.unblock():
        market.fill(coins=40)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE discovered_coins SET created_at = first_seen_at, creator = substr(mint, 40, 1)")
    yield
    with django_db_blocker.unblock():
        market.clear()


@pytest.fixture
def cached(filled, settings, tmp_path, monkeypatch):
    """Datasets of any size are kept, in a folder of their own."""
    settings.RUNTIME_DIR, settings.DATASET_CACHE_MB = tmp_path, 100
    monkeypatch.setattr(dataset_cache, "LEAST_ROWS", 0)
    return tmp_path / "datasets"


def loaded(selection: Selection = SELECTION) -> tuple[dataset.Dataset, str]:
    """A dataset, and what the loading said last."""
    said = [""]
    return dataset.load(selection, NAMES, lambda ratio, message: said.append(message)), said[-1]


def same(one: dataset.Dataset, other: dataset.Dataset) -> bool:
    values = all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in ARRAYS)
    rest = ("names", "mints", "counts", "content_hash")
    return values and all(getattr(one, name) == getattr(other, name) for name in rest)


def test_what_comes_from_the_cache_is_what_the_tables_give(cached):
    first, said = loaded()
    again, said_again = loaded()
    assert "from the cache" not in said and "from the cache" in said_again
    assert len(first) > 500 and same(first, again) and same(again, dataset.read(SELECTION, NAMES))


MINT = "Coin000000000000000000000000000000000003pump"
INSIDE = "2026-03-01 00:10:01+00"
CHANGES = {
    "a late window": "INSERT INTO coin_metrics SELECT (jsonb_populate_record(m, jsonb_build_object('timestamp',"
    " m.timestamp + interval '1 second', 'row_id', nextval('coin_metrics_row_id_seq')))).* FROM coin_metrics m"
    " WHERE mint = %(mint)s ORDER BY timestamp LIMIT 1",
    "a corrected window": "UPDATE coin_metrics SET volume_sol = volume_sol + 1 WHERE mint = %(mint)s",
    "a late trade": "INSERT INTO coin_transactions (mint, timestamp, trade_key, seq, tx_type, sol_amount, token_amount,"
    f" price_sol, is_whale, phase_id_at_time) VALUES (%(mint)s, '{INSIDE}', 99, 99, 'buy', 1, 1, 1, false, 1)",
    "a trade that is gone": "DELETE FROM coin_transactions WHERE mint = %(mint)s AND seq = 5",
    "a coin whose tracking ended": f"UPDATE coin_streams SET ended_at = '{INSIDE}' WHERE mint = %(mint)s",
    "a graduation": f"UPDATE discovered_coins SET graduated_at = '{INSIDE}' WHERE mint = %(mint)s",
    "a coin off the curve": "UPDATE discovered_coins SET curve = 'nonstandard' WHERE mint = %(mint)s",
    "a creation": f"UPDATE discovered_coins SET created_at = '{INSIDE}' WHERE mint = %(mint)s",
    "a creator's past": "UPDATE creator_histories SET coins = coins + 1 WHERE mint = %(mint)s",
    "a gap": f"INSERT INTO stream_gaps (started_at, ended_at, reason) VALUES ('{INSIDE}', '2026-03-01 00:11+00', 'x')",
    "a rate": f"INSERT INTO exchange_rates (currency, rate, source, at) VALUES ('USD', 150, 'x', '{INSIDE}')",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_in_the_tables_is_not_taken_from_the_cache(cached, change):
    before, _ = loaded()
    with connection.cursor() as cursor:
        cursor.execute(change, {"mint": MINT})
    after, said = loaded()
    assert "from the cache" not in said
    assert same(after, dataset.read(SELECTION, NAMES))
    assert after.content_hash != before.content_hash or len(list(cached.iterdir())) == 2


def test_rows_that_come_after_the_reach_of_the_labels_change_nothing(cached):
    loaded()
    late = SELECTION.end + timedelta(seconds=RULE.reach_seconds + 1)
    ExchangeRate.objects.create(currency="USD", rate=150, source="x", at=late)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM coin_transactions WHERE timestamp > %s", (late,))
    assert "from the cache" in loaded()[1]


@pytest.mark.parametrize("at", [0.02, 0.5, 0.98])
def test_a_damaged_file_is_noticed_and_made_anew(cached, at):
    first, _ = loaded()
    [path] = cached.iterdir()
    content = bytearray(path.read_bytes())
    place = int(len(content) * at)
    content[place : place + 200] = bytes(byte ^ 0xFF for byte in content[place : place + 200])
    path.write_bytes(content)
    again, said = loaded()
    assert same(first, again)
    assert "from the cache" not in said
    assert "from the cache" in loaded()[1]


def test_half_a_file_is_made_anew(cached):
    first, _ = loaded()
    [path] = cached.iterdir()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert same(first, loaded()[0])


def test_the_cache_keeps_below_its_size_and_forgets_what_was_used_longest_ago(cached, monkeypatch):
    starts = [SELECTION.start + timedelta(seconds=second) for second in (0, 10, 20)]
    ranges = [Selection(start, SELECTION.end, (1,), RULE) for start in starts]
    loaded(ranges[0])
    [first] = cached.iterdir()
    monkeypatch.setattr("django.conf.settings.DATASET_CACHE_MB", 2.5 * first.stat().st_size / 2**20)
    loaded(ranges[1])
    assert "from the cache" in loaded(ranges[0])[1]
    loaded(ranges[2])
    assert len(list(cached.iterdir())) == 2 and first.exists()


def test_a_cache_without_room_keeps_nothing(cached, settings):
    settings.DATASET_CACHE_MB = 0
    loaded()
    assert not cached.exists()


def test_code_that_makes_rows_is_part_of_the_name(cached, monkeypatch):
    loaded()
    monkeypatch.setattr(dataset_cache, "_CODE", ("features",))
    dataset_cache.code_version.cache_clear()
    assert "from the cache" not in loaded()[1]
    monkeypatch.undo()
    dataset_cache.code_version.cache_clear()


# --- Filters, labels of metrics, estimates -------------------------------------------------------------
def read(**parts) -> dataset.Dataset:
    rule = parts.pop("rule", RULE)
    return dataset.read(Selection(market.START, SELECTION.end, (1,), rule, **parts), NAMES)


def test_only_named_coins_are_loaded_and_the_rest_is_counted(filled):
    whole, some = read(), read(filter=Filter(mints=(MINT, "nobody")))
    assert some.mints == (MINT,)
    assert some.counts.rows_found == whole.counts.rows_found
    assert some.counts.rows_filtered + some.counts.rows_unknown + some.counts.rows == some.counts.rows_found
    mine = whole.coin == whole.mints.index(MINT)
    np.testing.assert_array_equal(some.x, whole.x[mine])


@pytest.mark.parametrize("wanted", [Filter("new"), Filter("veteran"), Filter(min_trades=20)])
def test_every_row_is_counted_once_whatever_the_filter(filled, wanted):
    data = read(filter=wanted)
    counts = data.counts
    assert 0 < counts.rows == len(data) < read().counts.rows
    assert counts.rows_filtered > 0
    assert counts.rows_found == counts.rows + counts.rows_unknown + counts.rows_filtered


@pytest.mark.parametrize(
    "rule",
    [LabelRule("graduates", None, 120), LabelRule("rule", None, 60, metric="volume_sol", value=1.0),
     LabelRule("path", 5, 60, metric="market_cap_close"), LabelRule("rule", None, 60, value=2.8e-8, when="after"),
     *(LabelRule("rule", None, 60, metric=name, value=0.5, when="after") for name in METRICS[:8])],
    ids=lambda rule: rule.name,
)  # fmt: skip
def test_rows_of_every_kind_of_label_are_loaded_and_counted(filled, rule):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE discovered_coins SET graduated_at = first_seen_at + interval '3 minutes'"
                       " WHERE mint LIKE 'Coin%%1pump'")  # fmt: skip
    counts = read(rule=rule).counts
    reasons = [value for name, value in counts.as_json().items() if name.startswith("rows_unknown_")]
    assert counts.rows_unknown == sum(reasons) and counts.rows_found == counts.rows + counts.rows_unknown
    assert counts.rows > 300
    assert rule.kind == "rule" or 0 < counts.positives < counts.rows


def test_an_estimate_looks_at_some_coins_and_says_so(filled):
    data, found, share = dataset.estimate(SELECTION, 400)
    whole = read()
    assert found.rows_found == whole.counts.rows_found and 0 < share < 0.5
    assert found.rows == round(len(data) / share)
    assert data.x.shape == (len(data), 0)
    assert set(data.mints) < set(whole.mints)
    for mint in data.mints:
        theirs = whole.label[whole.coin == whole.mints.index(mint)]
        np.testing.assert_array_equal(data.label[data.coin == data.mints.index(mint)], theirs)
    everything, counts, all_of_it = dataset.estimate(SELECTION, 10**9)
    assert all_of_it == 1 and counts == whole.counts and everything.label.tobytes() == whole.label.tobytes()


def test_a_sample_thins_out_what_trains_and_nothing_else(filled):
    recipe = recipe_parse({"name": "a", "data": {"phases": [1]}, "label": {"change_pct": 10, "horizon_seconds": 60}})
    thin = recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_rows_per_coin": 4})})
    selection = selections.selection_of(recipe)
    data = dataset.read(selection, NAMES)
    whole, sampled = (selections.split_of(data, one, selection) for one in (recipe, thin))
    assert np.bincount(data.coin[sampled.train]).max() == 4
    assert sampled.sampled_out == len(whole.train) - len(sampled.train) > 0
    assert set(sampled.train) < set(whole.train)
    for part in ("validation", "test"):
        np.testing.assert_array_equal(getattr(sampled, part), getattr(whole, part))


def test_folds_walk_forward_and_never_reach_the_test_part(filled):
    recipe = recipe_parse(
        {
            "name": "a",
            "data": {"phases": [1]},
            "split": {"folds": 2},
            "label": {"change_pct": 10, "horizon_seconds": 60},
        }
    )
    selection = selections.selection_of(recipe)
    data = dataset.read(selection, NAMES)
    split, folds = selections.split_of(data, recipe, selection), selections.folds_of(data, recipe, selection)
    assert len(folds) == 2
    for fold in folds:
        assert len(fold.train) and len(fold.validation) and len(fold.test)
        assert not set(np.concatenate((fold.train, fold.validation, fold.test))) & set(split.test)
        assert data.as_of_us[fold.train].max() < data.as_of_us[fold.test].min()
    first, second = (selections.fold_span(data, fold) for fold in folds)
    assert first[1] < second[0]
