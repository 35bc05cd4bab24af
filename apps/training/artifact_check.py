"""Looks into an XGBoost model in a process of its own: `python -m apps.training.artifact_check < model.ubj`.

Bytes from elsewhere are read by a C++ parser that may crash on them; then only this process dies. XGBoost believes what
it has read: a node that names a feature or a child that there is not crashes whoever predicts with it, and a circle of
nodes never ends. So every tree is looked through here, and then used. Knows neither Django nor the database. Prints
JSON: `{"features", "objective", "rounds", "version"}`, or `{"error"}` with status 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[2]


def look(data: bytes) -> dict[str, Any]:
    """What the model says of itself; `{"error": why}` where it cannot be read. Runs the process."""
    command = [sys.executable, "-m", "apps.training.artifact_check"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return {"error": "reading it takes too long"}
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {"error": f"the reader ended with status {done.returncode}"}
    return found


def describe(data: bytes) -> dict[str, Any]:
    """The same in this process. Raises XGBoostError, and ValueError with what is wrong."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    if fault := fault_of(learner):
        raise ValueError(fault)
    _use(booster)
    return {
        "features": booster.feature_names,
        "objective": learner["objective"]["name"],
        "rounds": booster.num_boosted_rounds(),
        "version": xgboost.__version__,
    }


def fault_of(learner: dict[str, Any]) -> str:
    """What keeps a learner (XGBoost's JSON) from being used safely; empty where nothing does."""
    shape, booster = learner["learner_model_param"], learner["gradient_booster"]
    features = int(shape["num_feature"])
    if booster["name"] != "gbtree" or int(shape["num_class"]) > 1 or int(shape.get("num_target", 1)) > 1:
        return "it does not give one probability a row by a sum of trees"
    if features != len(learner["feature_names"]):
        return f"it has {features} features and {len(learner['feature_names'])} names"
    model = booster["model"]
    rounds = list(range(len(model["trees"]) + 1))
    if any(model["tree_info"]) or model.get("iteration_indptr", rounds) != rounds:
        return "its trees are not one a round"
    faults = ((number, _fault_of_tree(tree, features)) for number, tree in enumerate(model["trees"]))
    return next((f"tree {number} {fault}" for number, fault in faults if fault), "")


def _fault_of_tree(tree: dict[str, Any], features: int) -> str:
    """A tree is whole where no node has two parents, the first has none, and each names what there is."""
    import numpy as np

    left, right = (np.array(tree[side], np.int64) for side in ("left_children", "right_children"))
    splits, values = np.array(tree["split_indices"], np.int64), np.array(tree["split_conditions"], np.float64)
    inner = left != -1
    children = np.r_[left[inner], right[inner]]
    if not len(left) or ((right != -1) != inner).any() or len({len(left), len(right), len(splits), len(values)}) > 1:
        return "has half a node"
    if ((children < 1) | (children >= len(left))).any() or len(np.unique(children)) < len(children):
        return "is no tree: its nodes lead outside or in a circle"
    if ((splits[inner] < 0) | (splits[inner] >= features)).any() or any(tree["split_type"]):
        return "asks for a feature that there is not"
    return "" if np.isfinite(values).all() else "has a value that is no number"


def _use(booster: Any) -> None:
    """Predict and explain a few rows. Raises ValueError where no probabilities come of it."""
    import numpy as np
    from xgboost import DMatrix

    x = np.random.default_rng(1).lognormal(0, 3, (20, booster.num_features())).astype(np.float32)
    x[::2] = np.nan
    found = booster.inplace_predict(x, validate_features=False)
    shares = booster.predict(DMatrix(x, feature_names=booster.feature_names), pred_contribs=True)
    if found.shape != (len(x),) or not ((found >= 0) & (found <= 1)).all() or not np.isfinite(shares).all():
        raise ValueError("what it predicts is no probability")


def main() -> int:
    """Read the model from standard input and print what it is."""
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # XGBoost imports it where it is: three quarters of the start
    import xgboost

    try:
        found, status = describe(sys.stdin.buffer.read()), 0
    except (xgboost.core.XGBoostError, ValueError, KeyError) as error:
        found, status = {"error": str(error).splitlines()[0][:200]}, 1
    sys.stdout.write(json.dumps(found))
    return status


if __name__ == "__main__":
    sys.exit(main())
