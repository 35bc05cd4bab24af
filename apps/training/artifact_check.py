"""Looks into an XGBoost model in a process of its own: `python -m apps.training.artifact_check < model.ubj`.

Bytes from elsewhere are read by a C++ parser that may crash on them; then only this process dies. Knows neither Django
nor the database. Prints JSON: `{"features", "objective", "rounds", "version"}`, or `{"error"}` with status 1.
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
    """The same in this process. Raises XGBoostError."""
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    learner = json.loads(booster.save_config())["learner"]
    return {
        "features": booster.feature_names,
        "objective": learner["objective"]["name"],
        "rounds": booster.num_boosted_rounds(),
        "version": xgboost.__version__,
    }


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
