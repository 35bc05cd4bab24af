"""Measurements of discovery (`make bench NAME=...`), each in a scratch database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.discovery.benchmarks import endurance, ingest, reads
from apps.discovery.benchmarks.imports import import_ratio_to_copy

BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "import_ratio_to_copy": import_ratio_to_copy,
    **ingest.BENCHMARKS,
    **reads.BENCHMARKS,
    "endurance_lost": endurance.endurance_lost,
    "endurance_doubled": endurance.endurance_doubled,
}
