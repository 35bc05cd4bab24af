"""The same fit on a Dask cluster (`xgboost.dask`): the rows are dealt out to the workers, each trains on its share.

The workers need xgboost, dask and distributed in the trainer's versions, not this project. A fit over several workers
does not give the bytes of a fit on one machine: bins are sketched by share and sums are added in another order; what
may be expected of the result is tested (`tests/test_clusters.py`).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apps.core.errors import PlatformError
from apps.training import fitting
from apps.training.columns import Floats, Integers
from apps.training.dataset import Dataset
from apps.training.recipes import Recipe

if TYPE_CHECKING:
    from distributed import Client
    from xgboost import Booster

CONNECT_SECONDS = 10.0
LISTEN_SECONDS = 0.5
PARTS_A_WORKER = 2


def fit(
    data: Dataset,
    train: Integers,
    validation: Integers,
    recipe: Recipe,
    *,
    value: Floats,
    address: str,
    on_round: fitting.Round = lambda number, value: None,
) -> fitting.Fitted:
    """Like `fitting.fit`, on the cluster whose scheduler has this address.

    Raises PlatformError DASK_NOT_INSTALLED, CLUSTER_UNAVAILABLE, CLUSTER_FAILED, and those of `fitting.fit`.
    """
    if problem := fitting.lacking(data.label[train], data.label[validation]):
        raise PlatformError(*problem)
    watched = fitting.validation_of(data, validation, value)
    with _connected(address) as client:
        workers = _workers(client, address)
        parts = ((data.x[train], data.label[train]), (watched.x, watched.label))
        booster = _train(client, workers, parts, recipe, on_round)
    made_with = {"cluster_workers": len(workers), "threads": max(workers.values())}
    return fitting.finish(booster, data.names, watched, recipe, made_with)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        text = "A Dask cluster is set, but Dask is not installed: pip install -r requirements-dask.txt."
        raise PlatformError("DASK_NOT_INSTALLED", text) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise _unavailable(address, str(error) or type(error).__name__) from None
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


def _workers(client: Client, address: str) -> dict[str, int]:
    """The workers' addresses with their numbers of threads. Raises CLUSTER_UNAVAILABLE where there is none."""
    workers = {name: int(info["nthreads"]) for name, info in client.scheduler_info(n_workers=-1)["workers"].items()}
    if not workers:
        raise _unavailable(address, "it has no workers")
    return workers


def _unavailable(address: str, why: str) -> PlatformError:
    text = (
        f"The Dask cluster at {address} cannot be used ({why[:200]}): start its scheduler and workers, or clear "
        "DASK_SCHEDULER_ADDRESS to fit on this machine."
    )
    return PlatformError("CLUSTER_UNAVAILABLE", text)


def _train(
    client: Client,
    workers: dict[str, int],
    parts: tuple[tuple[NDArray[np.float32], Floats], tuple[NDArray[np.float32], Floats]],
    recipe: Recipe,
    on_round: fitting.Round,
) -> Booster:
    """Deal out the rows, train in a thread, and pass on its rounds from here, where `on_round` may raise to stop."""
    from distributed import Event, Variable

    name = f"fit-{uuid.uuid4().hex}"
    news, stop, ended = Variable(f"{name}-news", client=client), Event(f"{name}-stop", client=client), threading.Event()
    news.set(None)
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["booster"] = _fit_there(client, workers, parts, recipe, name)
        except Exception as error:  # noqa: BLE001 - handed over to the thread that waits
            outcome["error"] = error
        finally:
            ended.set()

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        _listen(news, ended, on_round)
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join(timeout=CONNECT_SECONDS)
        news.delete()
    if error := outcome.get("error"):
        why = f"{type(error).__name__}: {str(error)[:300]}"
        raise PlatformError(
            "CLUSTER_FAILED", f"The fit on the cluster failed ({why}). See its workers' logs."
        ) from error
    booster: Booster = outcome["booster"]
    return booster


def _listen(news: Any, ended: threading.Event, on_round: fitting.Round) -> None:
    """Pass on the newest round twice a second until the fit has ended; round 0 until the first is done."""
    while not ended.wait(LISTEN_SECONDS):
        on_round(*(news.get(timeout=CONNECT_SECONDS) or (0, float("nan"))))


def _fit_there(
    client: Client,
    workers: dict[str, int],
    parts: tuple[tuple[NDArray[np.float32], Floats], tuple[NDArray[np.float32], Floats]],
    recipe: Recipe,
    name: str,
) -> Booster:
    from xgboost import dask as there

    (x, label), (x_watched, label_watched) = parts
    bins = {"max_bin": recipe.xgboost.max_bin}
    matrix = there.DaskQuantileDMatrix(client, *_dealt(client, workers, x, label), **bins)
    watched = there.DaskQuantileDMatrix(client, *_dealt(client, workers, x_watched, label_watched), ref=matrix, **bins)
    parameters = fitting.parameters(recipe, label, threads=0)
    parameters.pop("nthread")  # each worker uses its own number
    found = there.train(
        client,
        parameters,
        matrix,
        num_boost_round=recipe.xgboost.n_estimators,
        evals=[(watched, "validation")],
        early_stopping_rounds=recipe.xgboost.early_stopping_rounds,
        callbacks=[_reporter(name)],
        verbose_eval=False,
    )
    booster: Booster = found["booster"]
    return booster


def _dealt(client: Client, workers: dict[str, int], x: NDArray[np.float32], label: Floats) -> tuple[Any, Any]:
    """The rows as Dask arrays whose parts lie on the workers in turn, in order; each worker has some."""
    import dask.array as da
    from dask import delayed

    names = sorted(workers)
    count = min(len(names) * PARTS_A_WORKER, len(x))
    edges = [len(x) * number // count for number in range(count + 1)]
    columns = []
    for array in (x, label):
        pieces = [array[low:high] for low, high in pairwise(edges)]
        held = [
            client.scatter(piece, workers=[names[number % len(names)]], hash=False)
            for number, piece in enumerate(pieces)
        ]
        arrays = [
            da.from_delayed(delayed(one), shape=piece.shape, dtype=piece.dtype)
            for one, piece in zip(held, pieces, strict=True)
        ]
        columns.append(da.concatenate(arrays, axis=0))
    return columns[0], columns[1]


def _reporter(name: str) -> Any:
    """A callback that tells of each round and stops when it is asked to. It goes to the workers by value: it is made
    here because they do not have this module."""
    import xgboost

    class Reporter(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            from distributed import Event, Variable, get_client
            from xgboost import collective

            client = get_client()
            if collective.get_rank() == 0:
                news = [epoch + 1, float(evals_log["validation"]["aucpr"][-1])]
                Variable(f"{name}-news", client=client).set(news)
            asked = np.array([float(Event(f"{name}-stop", client=client).is_set())])
            return bool(collective.allreduce(asked, collective.Op.MAX)[0])

    return Reporter()
