"""manage.py backtest STRATEGY --from --to"""

import json
from typing import Any

from django.core.management.base import CommandParser
from django.utils import translation

from apps.core.commands import JsonCommand
from apps.core.errors import PlatformError
from apps.core.units import lamports_to_sol, sol_to_lamports
from apps.trading import backtest, backtest_runs
from apps.trading.backtest_coverage import WHY
from apps.trading.backtest_runs import ALERT_DELAY_MS, Wish
from apps.trading.models import Backtest
from apps.training.management import console
from apps.training.recipes import range_parse


class Command(JsonCommand):
    help = (
        "Trade a strategy over what is recorded in (FROM, TO], with the engine that trades on paper: the same orders, "
        "fills, fees and exits, in memory. The run is stored with its figures, as a job that the pages show; no wallet "
        "and no position changes. It goes by the stored alerts, or with --scores recomputed by what the strategy's "
        "models at work would have said. It begins with the limits of the strategy's wallet and what that was given "
        "(--balance for another sum); limits of all wallets and the block-list hold, the kill switch does not. A range "
        "in a model's training data or before them is refused unless --allow-overlap is given. Prints equity, deepest "
        "fall, orders by code, costs, results by exit, how it could have gone by chance and what was not known; --json "
        "adds the equity curve. Status 0: done; 1: failed or cancelled, with a code; 2: wrong name, range or value."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("strategy", help="name of the strategy")
        parser.add_argument("--from", dest="start", required=True, help="ISO 8601: 2025-09-05 (midnight UTC)")
        parser.add_argument("--to", dest="end", required=True, help="ISO 8601: 2025-09-08T06:30:00Z")
        parser.add_argument("--balance", metavar="SOL", help="SOL to begin with")
        parser.add_argument("--slippage-bps", type=int, help="another slippage limit than the strategy's")
        parser.add_argument("--latency-ms", type=int, nargs=2, metavar=("LEAST", "MOST"), help="other latencies")
        parser.add_argument("--failure-rate", type=float, help="another share of orders that fail on their way, 0 to 1")
        parser.add_argument("--scores", choices=Backtest.Scores.values, default="stored", help="where alerts come from")
        parser.add_argument("--alert-delay-ms", type=int, default=ALERT_DELAY_MS,
                            help="with recomputed scores: from the end of a window to its alert")  # fmt: skip
        parser.add_argument(
            "--allow-overlap", action="store_true", help="also in a model's training data or before them"
        )
        parser.add_argument("--seed", type=int, default=1, help="of what is drawn by chance (not of the trading)")
        parser.add_argument("--note", default="", help="a word to find the run again")
        parser.add_argument("--sensitivity", action="store_true", help="also with other latencies and slippage limits")
        parser.add_argument("--trades", action="store_true", help="with --json: every fill with its parts")
        console.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        job = console.job_here(lambda: backtest_runs.run_request(wish=_wish(options)).job)
        run = Backtest.objects.get(job=job)
        result = _result(run)
        if options["trades"]:
            result["trades"] = [backtest.trade_told(trade) for trade in run.trades.order_by("number")]
        self.stdout.write(json.dumps(result) if options["json"] else "\n".join(_text(result)))


def _wish(options: dict[str, Any]) -> Wish:
    start, end = range_parse(options["start"], options["end"])
    least, most = options["latency_ms"] or (None, None)
    same = ("slippage_bps", "failure_rate", "scores", "alert_delay_ms", "allow_overlap", "seed", "sensitivity")
    return Wish(
        strategy=backtest.strategy_get(options["strategy"]),
        since=start,
        until=end,
        balance_lamports=_lamports(options["balance"]) if options["balance"] is not None else None,
        latency_ms=least,
        latency_max_ms=most,
        note=options["note"][:200],
        **{name: options[name] for name in same},
    )


def _lamports(sol: str) -> int:
    try:
        return sol_to_lamports(sol)
    except (ArithmeticError, ValueError):
        raise PlatformError("AMOUNT_OUT_OF_RANGE", "Give the balance in SOL, such as 10 or 2.5.") from None


def _result(run: Backtest) -> dict[str, Any]:
    speed = run.trades_per_second
    return {
        "id": run.pk,
        **(run.figures or {}),
        "trades_in_range": run.trades_covered,
        "seconds": round(run.seconds or 0.0, 3),
        "trades_per_second": None if speed is None else round(speed),
        "equity": run.equity,
    }


def _text(result: dict[str, Any]) -> list[str]:
    seen = result["coverage"]
    lines = [
        f"{result['strategy']}: {result['from']} to {result['to']}, {result['trades_in_range']:,} trades recorded, "
        f"{result['seconds']:.1f} s (backtest {result['id']})",
        f"{seen['signals']:,} signals on {seen['coins']:,} coins; {seen['gaps']} times without data "
        f"({seen['gap_seconds']:,.0f} s), {seen['signals_touching_gaps']:,} signals touch one; "
        f"{seen['trades_without_reserves']:,} trades without reserves",
        *_warnings(result),
        f"equity {_sol(result['start_lamports'])} -> {_sol(result['end_equity_lamports'])} SOL "
        f"({result['return_ratio']:+.2%}), deepest fall {result['drawdown_ratio']:.2%}",
        f"{result['closed_positions']} positions left, {result['winners']} with a gain; "
        f"{result['open_positions']} held",
    ]
    lines += [f"  let pass by {reason}: {alerts}" for reason, alerts in result["filtered"].items()]
    lines += [f"  {_ending(one)}: {one['orders']}" for one in result["orders"]]
    lines += [
        f"  {e['exit_reason']}: {e['positions']} positions, {e['winners']} winners, {_sol(e['pnl_lamports'])} SOL"
        for e in result["exits"]
    ]
    lines.append("costs: " + ", ".join(f"{part} {_sol(value)}" for part, value in result["costs_lamports"].items()))
    return lines + _chance(result["monte_carlo"]) + _sensitivity(result.get("sensitivity", []))


def _ending(row: dict[str, Any]) -> str:
    return " ".join(filter(None, (row["side"], row["status"], row["code"])))


def _warnings(result: dict[str, Any]) -> list[str]:
    with translation.override("en"):
        lines = [str(WHY[code]) for code in result["why"]]
    seen = result["overlaps_training"]
    lines += [f"NOT A PROMISE: {one['name']} was trained until {one['train_to']}" for one in seen]
    if (found := result["recomputed"]) and found.get("scores_both"):
        lines.append(
            "recomputed scores: {scores:,}; stored too {scores_both:,}, the same {scores_equal:,}; alerts {alerts:,}, "
            "stored {alerts_stored:,}, both {alerts_both:,}".format(**found)
        )
    return lines


def _chance(found: dict[str, Any] | None) -> list[str]:
    if not found:
        return []
    lines = ["other orders of the trades: deepest fall {drawdown_p5:.2%} / {drawdown_p50:.2%} / {drawdown_p95:.2%} "
             "(5, 50, 95 %)".format(**found)]  # fmt: skip
    if drawn := found["drawn"]:
        ends = " / ".join(_sol(drawn[f"end_lamports_p{share}"]) for share in (5, 50, 95))
        lines.append(f"as many results drawn from these: end {ends} SOL, lost in {drawn['lost_share']:.0%} of draws")
    return lines


def _sensitivity(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"latency {r['latency_ms']}-{r['latency_max_ms']} ms, slippage {r['slippage_bps']} bps: "
        f"{_sol(r['pnl_lamports'])} SOL, {r['closed_positions']} positions"
        for r in rows
    ]


def _sol(lamports: int) -> str:
    return f"{lamports_to_sol(lamports):.6f}"
