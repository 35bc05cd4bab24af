import json
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from django.db import ProgrammingError, connection, transaction

from apps.core import commands
from apps.training import services
from apps.training.evaluation.bootstrap import RESAMPLES
from apps.training.models import Job, Model
from apps.training.tests import market

RECIPE = """
name = "by-command"
features = ["price_close", "age_seconds", "volume_sol_60s", "buy_pressure_60s", "price_change_60s"]
[label]
change_pct = 10
horizon_seconds = 60
[data]
phases = [1]
to = {to}
[split]
test = 0.0
[xgboost]
n_estimators = 20
max_depth = 3
"""


@pytest.fixture
def recipe(tmp_path, filled):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(to=(market.START + timedelta(minutes=36)).isoformat()))
    return path


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["train", "nowhere.toml"], "RECIPE_UNREADABLE"),
        (["test_model", "nobody", "--from", "2026-03-01", "--to", "2026-03-02"], "MODEL_NOT_FOUND"),
        (["leakcheck", "--cuts", "0"], "TOO_FEW_COMPARED"),
        (["leakcheck", "--cuts", "2", "--coins", "0"], "TOO_FEW_COMPARED"),
        (["leakcheck"], "NO_DATA"),
    ],
)
def test_wrong_use_is_told_as_json_too(db, capsys, command, code):
    with pytest.raises(CommandError, match=code) as ended:
        call_command(*command, "--json")
    assert (json.loads(capsys.readouterr().out)["code"], ended.value.returncode) == (code, 2)
    with pytest.raises(CommandError, match=code):
        call_command(*command)
    assert capsys.readouterr().out == "", "without --json the sentence is for people"


def test_a_recipe_is_trained_and_judged_by_commands(recipe, capsys):
    call_command("train", str(recipe), "--json")
    trained = json.loads(capsys.readouterr().out)
    assert trained["rows"]["test"] == 0 and "test" not in trained["scores"]
    assert "expect worse" in trained["cautions"]["validation"]
    start, end = market.START + timedelta(minutes=36), market.START + timedelta(minutes=60)
    call_command("test_model", "by-command", "--from", start.isoformat(), "--to", end.isoformat(), "--json")
    judged = json.loads(capsys.readouterr().out)
    assert judged["overlaps_training"] is False and not {"validation", "overlap"} & set(judged["cautions"])
    scores = judged["scores"]
    assert scores["rows"] == judged["counts"]["rows"] > 100
    assert scores["bootstrap"]["resamples"] == trained["scores"]["validation"]["bootstrap"]["resamples"] == RESAMPLES
    assert scores["intervals"]["pr_auc"][0] < scores["pr_auc"] < scores["intervals"]["pr_auc"][1]
    assert scores["baselines"][0]["name"] == "always_no" and scores["slices"]["day"][0]["rows"]
    assert set(Job.objects.values_list("job_type", "status")) == {("TRAIN", "COMPLETED"), ("TEST", "COMPLETED")}


def test_people_read_the_base_rate_beside_the_score(few_draws, recipe, capsys):
    call_command("train", str(recipe))
    text = capsys.readouterr().out
    assert "beside base rate" in text and "left out" in text
    assert "expected value after all costs" in text and "logistic" in text and "intervals over coins" in text


def test_a_name_that_is_taken_is_refused_unless_it_is_replaced(few_draws, recipe, capsys):
    call_command("train", str(recipe))
    with pytest.raises(CommandError, match="MODEL_NAME_TAKEN") as refused:
        call_command("train", str(recipe))
    assert refused.value.returncode == 2
    call_command("train", str(recipe), "--replace")
    assert Model.objects.filter(name="by-command", is_deleted=False).count() == 1


def test_a_failed_training_says_why_as_json(recipe, capsys):
    recipe.write_text(recipe.read_text().replace("change_pct = 10", "change_pct = 5000"))
    with pytest.raises(CommandError) as failed:
        call_command("train", str(recipe), "--json")
    told = json.loads(capsys.readouterr().out)
    assert (set(told), told["code"]) == ({"status", "code", "message", "details"}, "NOT_ENOUGH_POSITIVES")
    assert failed.value.returncode == 1 and str(failed.value).startswith("NOT_ENOUGH_POSITIVES: ")


class Broken(commands.JsonCommand):
    """Ends with the failure that it is given."""

    failure: Exception

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true")

    def handle(self, *args, **options):
        raise self.failure


def test_a_database_without_our_tables_is_told_to_be_migrated(db, capsys):
    with pytest.raises(ProgrammingError) as lacking, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT FROM ml_models_of_tomorrow")
    command = Broken()
    command.failure = lacking.value
    with pytest.raises(CommandError, match=r"manage\.py migrate") as ended:
        call_command(command, "--json")
    assert (json.loads(capsys.readouterr().out)["code"], ended.value.returncode) == ("DATABASE_NOT_MIGRATED", 1)


def test_what_nobody_expected_is_told_as_json_and_keeps_its_traceback(capsys):
    command = Broken()
    command.failure = ZeroDivisionError("by zero")
    with pytest.raises(ZeroDivisionError):
        call_command(command, "--json")
    assert json.loads(capsys.readouterr().out)["code"] == "INTERNAL_ERROR"


@pytest.mark.parametrize("command", [["leakcheck", "--cuts", "many"], ["test_model"]])
def test_arguments_that_cannot_be_are_told_as_json_too(capsys, monkeypatch, command):
    monkeypatch.setattr("sys.argv", ["manage.py", *command, "--json"])
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(sys.argv)
    told = capsys.readouterr()
    assert (json.loads(told.out)["code"], ended.value.code) == ("WRONG_USE", 2)
    assert "usage:" in told.err


def test_cuts_before_which_nothing_lies_prove_nothing(filled, capsys):
    with pytest.raises(CommandError, match="NOTHING_TO_COMPARE") as ended:
        call_command("leakcheck", "--cuts", "1", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z")
    assert ended.value.returncode == 2


def test_a_model_that_was_to_be_replaced_comes_back_when_the_training_fails(few_draws, recipe, capsys):
    call_command("train", str(recipe))
    old = Model.objects.get()
    services.alias_set(model=old, alias="champion")
    recipe.write_text(recipe.read_text().replace("change_pct = 10", "change_pct = 5000"))
    with pytest.raises(CommandError, match="NOT_ENOUGH_POSITIVES"):
        call_command("train", str(recipe), "--replace")
    found = Model.objects.get(pk=old.pk)
    assert (found.name, found.is_deleted, found.alias) == ("by-command", False, "champion")


def test_a_name_that_cannot_be_one_is_wrong_use_and_leaves_no_job(recipe):
    for name, said in (("x" * 101, "at most 100"), ("a/b", "letters, digits, spaces")):
        with pytest.raises(CommandError, match=f"RECIPE_INVALID: name: .*{said}") as wrong:
            call_command("train", str(recipe), "--name", name)
        assert wrong.value.returncode == 2 and not Job.objects.exists()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("horizon_seconds = 0", "label.horizon_seconds"),
        ("horizont_seconds = 60", "label.horizont_seconds"),
        ("horizon_seconds = ", "Invalid value"),
        ("[data]\nfrom = 2026-03-01T00:00:00", r"data\.from: needs a time zone: write it like"),
        ("[data]\nfrom = 'noon'", r"data\.from: .*: write it like"),
        ("[data]\nfrom = 2026-03-02", r"data: `from` must be before `to`"),
    ],
)
def test_a_wrong_recipe_names_its_field(recipe, line, named):
    place = "[data]" if line.startswith("[data]") else "horizon_seconds = 60"
    recipe.write_text(recipe.read_text().replace(place, line))
    with pytest.raises(CommandError, match=named) as wrong:
        call_command("train", str(recipe))
    assert wrong.value.returncode == 2


def test_a_missing_day_is_told_with_what_there_is(recipe, capsys):
    recipe.write_text(
        recipe.read_text().replace("[data]", "[data]\nfrom = 2026-02-01").replace("to = 2026-03-01", "to = 2026-02-02")
    )
    with pytest.raises(CommandError, match=r"between 2026-02-01 00:00:00 .* reach from 2026-03-01 00:0") as failed:
        call_command("train", str(recipe))
    assert failed.value.returncode == 1


def test_a_range_needs_a_time_zone_and_a_date_alone_is_its_midnight(few_draws, recipe, capsys):
    call_command("train", str(recipe))
    with pytest.raises(CommandError, match="RANGE_INVALID"):
        call_command("test_model", "by-command", "--from", "2026-03-01T00:00:00", "--to", "2026-03-01T01:00:00")
    capsys.readouterr()
    call_command("test_model", "by-command", "--from", "2026-03-01", "--to", "2026-03-02", "--json")
    judged = json.loads(capsys.readouterr().out)
    assert judged["test_from"] == "2026-03-01T00:00:00+00:00" and judged["overlaps_training"] is True
