"""Datasets on disk, by content: a file is used only where loading anew would give the same bytes.

The name of a file is a hash of what was asked, of the code that makes rows, and of what the tables held when it was
written and still after (content_queries). A file that was damaged does not match its own hash and is made anew. The
folder is kept below DATASET_CACHE_MB; the files that were used longest ago go first. It may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from apps.core.sentences import worded
from apps.training.content_queries import fingerprint
from apps.training.samples import ARRAYS, Counts, Dataset, Selection, content_hash

logger = logging.getLogger(__name__)

# Below so many rows loading is as fast.
LEAST_ROWS = 20_000
_CODE = (
    "columns", "content_queries", "dataset", "features", "label_rules", "labels", "market", "market_queries", "queries",
    "ranges", "samples", "sampling", "series", "windowing",
)  # fmt: skip

Coins = list[tuple[str, int, int]]
State = tuple[Coins, Counts, datetime | None]  # the coins that take part, what is left out, the end of the data


def through(
    selection: Selection,
    names: tuple[str, ...],
    state: Callable[[], State],
    fresh: Callable[[], Dataset],
    on_progress: Callable[[float, str], None],
) -> Dataset:
    """The dataset from its file, else `fresh`, which is then written down. `state` is asked before and after."""
    before = state()
    if settings.DATASET_CACHE_MB <= 0 or sum(rows for _, rows, _ in before[0]) < LEAST_ROWS:
        return fresh()
    key = key_of(selection, names, before)
    path = folder() / f"{key}.npz"
    found = opened(path)
    if found is not None:
        on_progress(1.0, worded("read %(rows)s rows from the cache", rows=f"{len(found):,}"))
        return found
    data = fresh()
    if key_of(selection, names, state()) == key:
        _store(path, data)
    return data


def folder() -> Path:
    """Where the files are."""
    return Path(settings.RUNTIME_DIR) / "datasets"


def key_of(selection: Selection, names: tuple[str, ...], state: State) -> str:
    """The name of the file for what is asked of the tables as they are."""
    coins, counts, end = state
    asked = json.dumps([asdict(selection), names, counts.as_json()], default=str)
    parts = (code_version(), asked, fingerprint(selection, coins, end))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def code_version() -> str:
    """A hash of the modules that make rows, and of numpy's version."""
    here = Path(__file__).parent
    digest = hashlib.sha256(np.__version__.encode())
    for name in _CODE:
        digest.update((here / f"{name}.py").read_bytes())
    return digest.hexdigest()


def opened(path: Path) -> Dataset | None:
    """The dataset of a file; None where there is none. A file that is damaged is removed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
            meta, check = bytes(file["meta"]), bytes(file["check"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("the dataset %s cannot be read (%s) and is made anew", path.name, error)
        path.unlink(missing_ok=True)
        return None
    facts = _facts(meta, check, arrays)
    if facts is None:
        logger.warning("the dataset %s is damaged and is made anew", path.name)
        path.unlink(missing_ok=True)
        return None
    os.utime(path)
    names, mints, counts, digest = facts
    return Dataset(names=tuple(names), **arrays, mints=tuple(mints), counts=Counts(**counts), content_hash=digest)


def _facts(
    meta: bytes, check: bytes, arrays: dict[str, Any]
) -> tuple[list[str], list[str], dict[str, int], str] | None:
    """What stands beside the arrays, where all of it is as it was written."""
    if hashlib.sha256(meta).digest() != check:
        return None
    names, mints, counts, digest = json.loads(meta)
    return (names, mints, counts, digest) if content_hash(names, mints, list(arrays.values())) == digest else None


def _store(path: Path, data: Dataset) -> None:
    """Write the file whole or not at all, and make room for it."""
    arrays = {name: getattr(data, name) for name in ARRAYS}
    size = sum(array.nbytes for array in arrays.values())
    if size > settings.DATASET_CACHE_MB * 2**20:
        return
    meta = json.dumps([data.names, data.mints, data.counts.as_json(), data.content_hash]).encode()
    beside = {"meta": np.frombuffer(meta, np.uint8), "check": np.frombuffer(hashlib.sha256(meta).digest(), np.uint8)}
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent, size)
        with unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **beside)
        unfinished.replace(path)
    except OSError as error:
        logger.warning("the dataset could not be kept: %s", error)
        unfinished.unlink(missing_ok=True)


def _make_room(place: Path, size: int) -> None:
    """Remove what was used longest ago until so many bytes fit."""
    files = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in place.iterdir() if one.is_file())
    total = sum(found for _, found, _ in files)
    for _, found, one in files:
        if total + size <= settings.DATASET_CACHE_MB * 2**20:
            break
        one.unlink(missing_ok=True)
        total -= found
