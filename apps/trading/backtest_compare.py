"""Two to four finished backtests of the same range beside each other: what each made of each coin, and what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from django.db.models import Sum

from apps.core.errors import ConflictError, PlatformError
from apps.core.sentences import worded
from apps.trading.backtest_runs import run_get
from apps.trading.models import Backtest
from apps.training.models import Job

LEAST, MOST = 2, 4
COMPARED = ("strategy_name", "strategy_version", "definition", "balance_lamports", "terms", "scores")


def runs_chosen(ids: Sequence[int]) -> list[Backtest]:
    """The runs to compare, in the order given. Raises BACKTEST_NUMBER, BACKTEST_NOT_FOUND, BACKTEST_NOT_COMPLETED,
    BACKTEST_RANGES_DIFFER."""
    chosen = list(dict.fromkeys(ids))
    if not LEAST <= len(chosen) <= MOST:
        raise PlatformError(
            "BACKTEST_NUMBER", worded("Choose %(least)s to %(most)s different backtests.", least=LEAST, most=MOST)
        )
    runs = [run_get(backtest_id=pk) for pk in chosen]
    if unfinished := [run.pk for run in runs if run.job.status != Job.Status.COMPLETED]:
        raise ConflictError("BACKTEST_NOT_COMPLETED", "Only finished backtests can be compared.", ids=unfinished)
    if len({(run.since, run.until) for run in runs}) > 1:
        raise ConflictError(
            "BACKTEST_RANGES_DIFFER", "Only backtests of the same range can be compared: run one of them again."
        )
    return runs


def compare(runs: Sequence[Backtest]) -> dict[str, Any]:
    """The runs' settings that differ, and for each pair the difference of their results with its interval.

    The seed of the drawn coins is that of the first run."""
    from apps.trading.backtest_pairs import paired_difference  # brings scipy

    made = {run.pk: result_by_coin(run) for run in runs}
    pairs = [
        {"first": one.pk, "second": other.pk, **paired_difference(made[one.pk], made[other.pk], seed=runs[0].seed)}
        for one, other in combinations(runs, 2)
    ]
    return {"differ": [name for name in COMPARED if _differs(runs, name)], "pairs": pairs}


def _differs(runs: Sequence[Backtest], name: str) -> bool:
    return any(getattr(run, name) != getattr(runs[0], name) for run in runs)


def result_by_coin(run: Backtest) -> dict[str, int]:
    """What a run made of each coin it touched: what came in less what went out, and what is held at the sell quote.

    Over all coins it is the run's result."""
    rows = run.trades.values("mint").annotate(lamports=Sum("balance_change_lamports")).order_by("mint")
    made = Counter({row["mint"]: int(row["lamports"]) for row in rows})
    for held in (run.figures or {})["held"]:
        made[held["mint"]] += held["value_lamports"]
    return dict(made)
