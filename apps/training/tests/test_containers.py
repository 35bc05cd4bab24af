"""A model as one file: it comes back the same, and whatever else is in a file is refused with the reason."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from apps.core.errors import ConflictError, PlatformError
from apps.training import artifact_check, artifacts, containers, services, tasks
from apps.training.models import Model
from apps.training.tests import remembered

pytestmark = pytest.mark.usefixtures("few_draws")

MEMBERS = (containers.MANIFEST, containers.ARTIFACT, containers.SUMS)


@pytest.fixture
def model(filled, make_recipe) -> Model:
    def make() -> None:
        services.train_request(recipe=make_recipe(features=["price_close", "volume_sol_60s", "age_seconds"]))
        tasks.run_job(0)

    remembered.once("three features", make)
    return Model.objects.get()


def members_of(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def summed(members: dict[str, bytes]) -> bytes:
    """A file whose sums are right: what somebody makes who knows the format."""
    both = {name: members[name] for name in MEMBERS[:2]}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in both.items())
    return zipped({**both, containers.SUMS: sums.encode()})


def edited(file: bytes, **changes: Any) -> bytes:
    members = members_of(file)
    manifest = {**json.loads(members[containers.MANIFEST]), **changes}
    return summed({**members, containers.MANIFEST: json.dumps(manifest).encode()})


def test_a_model_comes_back_the_same(model):
    file = containers.pack(model)
    assert containers.pack(model) == file
    with pytest.raises(ConflictError):
        services.model_import(data=file)
    copy = services.model_import(data=file, name="copy")
    copy.refresh_from_db()
    same = ("recipe", "feature_names", "label_name", "data_hash", "scores", "judging", "threshold", "importances",
            "artifact_sha256", "train_from", "train_to", "rows_train", "horizon_seconds", "profile")  # fmt: skip
    assert {name: getattr(copy, name) for name in same} == {name: getattr(model, name) for name in same}
    assert (copy.name, copy.origin, copy.alias) == ("copy", Model.Origin.IMPORTED, "")
    assert copy.made_with["imported"]["file_sha256"] == hashlib.sha256(file).hexdigest()
    assert artifacts.load(copy).feature_names == model.feature_names


def test_whatever_is_wrong_with_a_file_is_said(model):
    file = containers.pack(model)
    for wrong, (code, text) in wrong_files(file).items():
        with pytest.raises(PlatformError) as caught:
            containers.unpack(WRONG[wrong](file))
        assert (caught.value.code, text in caught.value.message) == (code, True), (wrong, caught.value.message)
    assert Model.objects.count() == 1


def flipped(file: bytes) -> bytes:
    """The artifact with one byte changed, in a sound zip."""
    members = members_of(file)
    data = bytearray(members[containers.ARTIFACT])
    data[len(data) // 2] ^= 1
    return zipped({**members, containers.ARTIFACT: bytes(data)})


def swapped(file: bytes) -> bytes:
    """Another artifact, with right sums of the file."""
    return summed({**members_of(file), containers.ARTIFACT: b"another"})


def not_a_model(file: bytes) -> bytes:
    members = members_of(file)
    manifest = json.loads(members[containers.MANIFEST])
    manifest["artifact_sha256"] = hashlib.sha256(b"{}").hexdigest()
    return summed({containers.MANIFEST: json.dumps(manifest).encode(), containers.ARTIFACT: b"{}"})


def bomb(file: bytes) -> bytes:
    """A megabyte that says it is much more."""
    return zipped({**members_of(file), containers.SUMS: b"0" * 10_000_000})


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda file: b"",
    "text": lambda file: b"not a zip at all",
    "cut off": lambda file: file[: len(file) // 2],
    "another zip": lambda file: zipped({"readme.txt": b"hello"}),
    "one more member": lambda file: zipped({**members_of(file), "../evil.py": b"import os"}),
    "a byte flipped": flipped,
    "another artifact": swapped,
    "no model": not_a_model,
    "unpacks to too much": bomb,
    "nicer scores": lambda file: zipped(
        {
            **members_of(file),
            containers.MANIFEST: members_of(file)[containers.MANIFEST].replace(b'"pr_auc"', b'"pr_auC"'),
        }
    ),
    "a later version": lambda file: edited(file, version=2),
    "another product": lambda file: edited(file, format="other"),
    "an unknown field": lambda file: edited(file, colour="red"),
    "scores of the wrong type": lambda file: edited(file, scores={"test": "high"}),
    "not a number": lambda file: edited(file, threshold=float("nan")),
    "a character that cannot be stored": lambda file: edited(file, description="\x00"),
    "another label": lambda file: edited(file, label_name="other"),
    "features in another order": lambda file: edited(
        file, feature_names=["volume_sol_60s", "price_close", "age_seconds"]
    ),
    "a feature nobody knows": lambda file: edited(file, feature_names=["price_tomorrow"]),
    "data that end before they begin": lambda file: edited(file, train_to="2001-01-01T00:00:00Z"),
    "a recipe nobody can read": lambda file: edited(file, recipe={"name": "x", "colour": "red"}),
}


def wrong_files(file: bytes) -> dict[str, tuple[str, str]]:
    """The code and a part of the sentence for each."""
    foreign, damaged, invalid = "MODEL_FILE_FOREIGN", "MODEL_FILE_DAMAGED", "MODEL_FILE_INVALID"
    return {
        "empty": (foreign, "zip"),
        "text": (foreign, "zip"),
        "cut off": (foreign, "zip"),
        "another zip": (foreign, "readme.txt"),
        "one more member": (foreign, "evil.py"),
        "a byte flipped": (damaged, "sums"),
        "another artifact": (damaged, "model.ubj"),
        "no model": (invalid, "not a readable XGBoost model"),
        "unpacks to too much": ("MODEL_FILE_TOO_LARGE", "SHA256SUMS"),
        "nicer scores": (damaged, "edited"),
        "a later version": (invalid, "version 1"),
        "another product": (foreign, "does not say"),
        "an unknown field": (invalid, "colour"),
        "scores of the wrong type": (invalid, "scores"),
        "not a number": (foreign, "NaN"),
        "a character that cannot be stored": (foreign, "NUL"),
        "another label": (invalid, "label"),
        "features in another order": (invalid, "features"),
        "a feature nobody knows": ("FEATURE_UNKNOWN", "price_tomorrow"),
        "data that end before they begin": (invalid, "before they begin"),
        "a recipe nobody can read": ("RECIPE_INVALID", "colour"),
    }


SPREAD = {"cuts": [1.0, 2.0], "shares": [0.5, 0.25, 0.25, 0.0], "rows": 4}
# A part of the manifest, what it is set to (a path and a value within it), and what the refusal names.
EVIL: list[tuple[str, Any, str]] = [
    ("name", "<b>x</b>", "name"),
    ("name", "   ", "name"),
    ("judging.baselines.momentum.feature", "price_tomorrow", "no baseline looks at"),
    ("judging.baselines.momentum.threshold", "low", "threshold"),
    ("judging.baselines.curve_position", {"kind": "constant"}, "curve_position"),
    ("judging.baselines.logistic.scale", [1.0, 1.0, 0.0, 1.0, 1.0], "scale"),
    ("judging.baselines.logistic.weights", [1.0], "a number for each feature"),
    ("judging.baselines.logistic.features", ["age_seconds"], "its features are"),
    ("judging.baselines.mine", {"kind": "constant", "value": 0.5, "threshold": 0.5}, "mine"),
    ("judging.baselines.always_no", None, "always_no"),
    ("judging.regime", {"feature": "age_seconds", "edges": [1.0, 2.0]}, "regime"),
    ("judging.regime", {"feature": "market_volume_sol_300s", "edges": [2.0, 1.0]}, "edges"),
    ("judging.permutation", {"day_sine": 0.1}, "none of its features"),
    ("importances", {"price_close": -1.0}, "importances"),
    ("importances", {"price_tomorrow": 1.0}, "none of its features"),
    ("profile.features.price_close.cuts", [3.0, 2.0], "rise"),
    ("profile.features", {"price_close": SPREAD}, "every feature"),
    ("profile.features.price_close", {**SPREAD, "shares": [0.5]}, "two more shares"),
    ("profile.features.price_close", {**SPREAD, "shares": [0.5, 0.5, 0.5, 0.5]}, "add up"),
    ("profile.score", None, "belong together"),
    ("made_with.threads", "many", "threads"),
    ("scores.validation.curves", {"pr": [[0.1]]}, "curves"),
    ("scores.validation.calibration", [{"predicted": 2.0, "observed": 0.1, "rows": 3}], "predicted"),
    ("scores.validation.slices", {"phase": [{"key": "1"}]}, "slices"),
    ("scores.validation.intervals", {"pr_auc": [0.1]}, "intervals"),
    ("scores.validation.pr_auc", 1.5, "pr_auc"),
    ("scores.validation.other", {"deep": [1]}, "other"),
]


def test_what_could_not_be_true_is_refused_although_the_sums_are_right(model):
    file = containers.pack(model)
    for path, value, said in EVIL:
        manifest = json.loads(members_of(file)[containers.MANIFEST])
        *way, last = path.split(".")
        part = manifest
        for step in way:
            part = part[step]
        part[last] = value
        with pytest.raises(PlatformError) as caught:
            containers.unpack(edited(file, **manifest))
            pytest.fail(f"{path} = {value} is believed")
        assert caught.value.code == "MODEL_FILE_INVALID", path
        assert said in caught.value.message, (path, caught.value.message)


@pytest.mark.parametrize("name", ["<script>", " ", "x" * 101, "a/b"])
def test_nobody_gets_a_name_that_no_recipe_could_have(model, name):
    for give in (
        lambda: services.model_import(data=containers.pack(model), name=name),
        lambda: services.model_update(model=model, name=name),
    ):
        with pytest.raises(PlatformError) as caught:
            give()
        assert caught.value.code == "MODEL_NAME_INVALID"


def test_a_model_that_is_not_whole_is_not_exported():
    with pytest.raises(ConflictError, match="no whole model"):
        containers.pack(Model(name="half"))


def test_a_file_that_is_too_large_is_not_even_opened(monkeypatch):
    monkeypatch.setattr(containers, "MOST_FILE_BYTES", 10)
    with pytest.raises(PlatformError) as caught:
        containers.unpack(b"x" * 11)
    assert caught.value.code == "MODEL_FILE_TOO_LARGE"


def learner(**tree: Any) -> dict[str, Any]:
    """XGBoost's JSON of one tree with two splits on two features, parts of which are replaced."""
    whole = {
        "left_children": [1, 3, -1, -1, -1], "right_children": [2, 4, -1, -1, -1], "split_indices": [0, 1, 0, 0, 0],
        "split_conditions": [0.5, 1.5, 0.1, -0.1, 0.2], "split_type": [0] * 5,
    }  # fmt: skip
    trees = {"trees": [{**whole, **tree}], "tree_info": [0], "iteration_indptr": [0, 1]}
    shape = {"num_feature": "2", "num_class": "0", "num_target": "1"}
    booster = {"name": "gbtree", "model": trees}
    return {"learner_model_param": shape, "feature_names": ["a", "b"], "gradient_booster": booster}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, ""),
        ({"left_children": [0, 3, -1, -1, -1]}, "circle"),
        ({"left_children": [1, 1, -1, -1, -1]}, "circle"),
        ({"right_children": [2, 5, -1, -1, -1]}, "outside"),
        ({"left_children": [-5, 3, -1, -1, -1]}, "outside"),
        ({"right_children": [2, -1, -1, -1, -1]}, "half a node"),
        ({"split_indices": [0, 2, 0, 0, 0]}, "a feature that there is not"),
        ({"split_type": [0, 1, 0, 0, 0]}, "a feature that there is not"),
        ({"split_conditions": [0.5, 1.5, float("nan"), -0.1, 0.2]}, "no number"),
        ({"split_conditions": [0.5]}, "half a node"),
    ],
)
def test_trees_that_would_crash_who_uses_them_are_found(tree, said):
    fault = artifact_check.fault_of(learner(**tree))
    assert (said in fault) if said else fault == ""


def test_trees_that_add_up_to_anything_else_than_one_probability_are_found():
    for part, name, value in (
        ("learner_model_param", "num_class", "3"),
        ("learner_model_param", "num_feature", "5"),
        ("gradient_booster", "name", "dart"),
    ):
        one = learner()
        one[part] = {**one[part], name: value}
        assert artifact_check.fault_of(one), name
    one = learner()
    one["gradient_booster"]["model"]["tree_info"] = [7]
    assert "one a round" in artifact_check.fault_of(one)


def test_a_model_that_predicts_no_probability_is_not_believed(model):
    import xgboost

    booster = artifacts.load(model)
    trees = json.loads(bytes(booster.save_raw("json")))
    leaves = trees["learner"]["gradient_booster"]["model"]["trees"][0]
    leaves["split_conditions"] = [1e38 if left == -1 else 0.0 for left in leaves["left_children"]]
    broken = xgboost.Booster(model_file=bytearray(json.dumps(trees), "utf-8"))
    assert artifact_check.describe(bytes(model.artifact))["features"] == model.feature_names
    with pytest.raises(ValueError, match="no probability"):
        artifact_check.describe(bytes(broken.save_raw("ubj")))
