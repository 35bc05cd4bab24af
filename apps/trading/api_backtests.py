"""`/api/buy/backtests`: ask for backtests, follow them, read and compare what came of them.

Nothing here moves money or changes a wallet: a run works on a copy. Times are UTC, amounts lamports, ratios 0 to 1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import AwareDatetime, Field

from apps.core.pagination import Page, PageQuery, paginate
from apps.core.schemas import Body
from apps.core.tokens import read, trade
from apps.trading import backtest, backtest_compare, backtest_runs
from apps.trading.backtest_runs import ALERT_DELAY_MS, LONGEST_LATENCY_MS, MOST_SEED, Wish
from apps.trading.models import Backtest, BacktestTrade

router = Router(tags=["buy"])


class BacktestIn(Body):
    """What is to be tried; what is left out is as the settings, the strategy or its wallet say."""

    strategy: str = Field(max_length=50)
    from_: AwareDatetime = Field(alias="from", description="the range is (from, to]")
    to: AwareDatetime
    balance_lamports: int | None = Field(None, gt=0, le=10**18, description="what its wallet was given")
    latency_ms: int | None = Field(None, ge=0, le=LONGEST_LATENCY_MS, description="least time of an order to the venue")
    latency_max_ms: int | None = Field(None, ge=0, le=LONGEST_LATENCY_MS, description="most")
    failure_rate: float | None = Field(None, ge=0, le=1, description="share of orders that fail on their way")
    slippage_bps: int | None = Field(None, ge=0, le=10_000)
    scores: Literal["stored", "recomputed"] = Field(
        "stored", description="stored alerts, or what the models at work would have said"
    )
    alert_delay_ms: int = Field(
        ALERT_DELAY_MS, ge=0, le=LONGEST_LATENCY_MS, description="recomputed: from a window's end to its alert"
    )
    sensitivity: bool = Field(False, description="also with other latencies and slippage limits")
    allow_overlap: bool = Field(False, description="also in a model's training data: marked, and no promise")
    seed: int = Field(1, ge=0, le=MOST_SEED, description="of what is drawn by chance; the trading has no dice")
    note: str = Field("", max_length=200)

    def wish(self) -> Wish:
        """The same for the service. Raises STRATEGY_NOT_FOUND."""
        same = self.dict(exclude={"strategy", "from_", "to"})
        return Wish(strategy=backtest.strategy_get(self.strategy), since=self.from_, until=self.to, **same)


class BacktestOut(Schema):
    """A run and how far its job is; its main figures are null before the end."""

    id: int
    job_id: int
    strategy: str
    strategy_version: int | None
    from_: datetime = Field(alias="from")
    to: datetime
    scores: str
    balance_lamports: int
    terms: dict[str, Any]
    seed: int
    note: str
    status: str
    progress: float
    message: str
    error_code: str
    error: str
    pnl_lamports: int | None
    return_ratio: float | None
    drawdown_ratio: float | None
    closed_positions: int | None
    overlaps_training: list[dict[str, Any]]
    why: list[str] = Field(description="codes: why nothing was traded, or what is missing")
    trades_covered: int | None
    seconds: float | None
    trades_per_second: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class BacktestDetail(BacktestOut):
    """A run with all its figures and what exactly was tried."""

    figures: dict[str, Any] | None
    definition: dict[str, Any]


class BacktestFilter(PageQuery):
    """A page of runs: of one strategy, of one state, or all."""

    strategy: str | None = Field(None, max_length=50)
    status: Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"] | None = None


class PreviewOut(Schema):
    """What a run would have to go by."""

    balance_lamports: int
    coverage: dict[str, Any]
    overlaps_training: list[dict[str, Any]]


class EquityPoint(Schema):
    """Cash and positions at the sell quote."""

    at: datetime
    lamports: int


class PairOut(Schema):
    """How much more the first run made than the second; the interval is over drawn coins, null where too few differ."""

    first: int
    second: int
    difference_lamports: int
    interval_lamports: list[int] | None
    better_share: float | None
    coins: int
    coins_only_first: int
    coins_only_second: int


class ComparisonOut(Schema):
    """Runs of the same range: `differ` names what else is not the same."""

    runs: list[BacktestOut]
    differ: list[str]
    pairs: list[PairOut]


_FIGURES = ("pnl_lamports", "return_ratio", "drawdown_ratio", "closed_positions")
_OWN = (
    "id", "job_id", "strategy_version", "scores", "balance_lamports", "terms", "seed", "note", "trades_covered",
    "seconds", "trades_per_second", "created_at",
)  # fmt: skip
_OF_JOB = ("status", "progress", "message", "error_code", "error", "started_at", "finished_at")


def run_out(run: Backtest) -> dict[str, Any]:
    """A run as the API shows it."""
    figures = run.figures or {}
    return {
        **{name: getattr(run, name) for name in _OWN},
        **{name: getattr(run.job, name) for name in _OF_JOB},
        **{name: figures.get(name) for name in _FIGURES},
        "strategy": run.strategy_name,
        "from": run.since,
        "to": run.until,
        "overlaps_training": figures.get("overlaps_training", []),
        "why": figures.get("why", []),
    }


def detail_out(run: Backtest) -> dict[str, Any]:
    """The same with everything."""
    return {**run_out(run), "figures": run.figures, "definition": run.definition}


@router.post("", response={202: BacktestDetail}, auth=trade, by_alias=True)
def create_backtest(request: HttpRequest, body: BacktestIn) -> Any:
    """Queue a backtest: follow it by its id. Refused where the range lies in a model's training data, unless that is
    allowed."""
    run = backtest_runs.run_request(wish=body.wish())
    return Status(202, detail_out(backtest_runs.run_get(backtest_id=run.pk)))


@router.post("/preview", response=PreviewOut, auth=read)
def preview_backtest(request: HttpRequest, body: BacktestIn) -> Any:
    """What a run would have to go by: trades, alerts, gaps, models that know the range. Nothing is queued."""
    return backtest_runs.preview(body.wish())


@router.get("", response=Page[BacktestOut], auth=read, by_alias=True)
def backtests(request: HttpRequest, page: Query[BacktestFilter]) -> Any:
    """Runs, newest first."""
    wanted = {"strategy_name": page.strategy, "job__status": page.status}
    rows = Backtest.objects.filter(**{name: value for name, value in wanted.items() if value is not None})
    return paginate(rows.select_related("job").defer("equity", "definition"), page, run_out)


@router.get("/compare", response=ComparisonOut, auth=read, by_alias=True)
def compare_backtests(request: HttpRequest, ids: Query[list[int]]) -> Any:
    """Two to four finished runs of the same range (`?ids=1&ids=2`): paired differences with intervals."""
    runs = backtest_compare.runs_chosen(ids)
    return {"runs": [run_out(run) for run in runs], **backtest_compare.compare(runs)}


@router.get("/{int:backtest_id}", response=BacktestDetail, auth=read, by_alias=True)
def backtest_one(request: HttpRequest, backtest_id: int) -> Any:
    """One run with all its figures."""
    return detail_out(backtest_runs.run_get(backtest_id=backtest_id))


@router.get("/{int:backtest_id}/trades", response=Page[dict[str, Any]], auth=read)
def backtest_trades(request: HttpRequest, backtest_id: int, page: Query[PageQuery]) -> Any:
    """The fills and failures of a run with their parts, in order."""
    run = backtest_runs.run_get(backtest_id=backtest_id)
    return paginate(BacktestTrade.objects.filter(backtest=run), page, backtest.trade_told)


@router.get("/{int:backtest_id}/equity", response=Page[EquityPoint], auth=read)
def backtest_equity(request: HttpRequest, backtest_id: int, page: Query[PageQuery]) -> Any:
    """The equity of a run at points of time evenly apart."""
    run = backtest_runs.run_get(backtest_id=backtest_id)
    return paginate([{"at": at, "lamports": lamports} for at, lamports in run.equity], page)


@router.post("/{int:backtest_id}/cancel", response=BacktestOut, auth=trade, by_alias=True)
def cancel_backtest(request: HttpRequest, backtest_id: int) -> Any:
    """Cancel a waiting run at once, ask a running one to stop."""
    return run_out(backtest_runs.run_cancel(backtest_id=backtest_id))


@router.delete("/{int:backtest_id}", response={204: None}, auth=trade)
def delete_backtest(request: HttpRequest, backtest_id: int) -> Any:
    """Remove a run that has ended, with its trades."""
    backtest_runs.run_delete(backtest_id=backtest_id)
    return Status(204, None)
