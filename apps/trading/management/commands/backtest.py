"""manage.py backtest STRATEGY --from --to"""

import json
import time
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.core.errors import PlatformError
from apps.core.units import lamports_to_sol, sol_to_lamports
from apps.trading import backtest
from apps.trading.backtest import Task
from apps.training.management import console
from apps.training.recipes import range_parse


class Command(BaseCommand):
    help = (
        "Trade a strategy over the alerts and trades recorded in (FROM, TO], with the engine that trades on paper: the "
        "same orders, fills, fees and exits, in memory; nothing is written. It begins with the limits of the "
        "strategy's wallet and what that was given (--balance for another sum). Prints equity, drawdown, orders by "
        "code, costs, results by exit and the drawdown had the trades come in other orders; --json adds the equity "
        "curve. Status 0: done; 2: wrong name, range or value."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("strategy", help="name of the strategy")
        parser.add_argument("--from", dest="start", required=True, help="ISO 8601: 2025-09-05 (midnight UTC)")
        parser.add_argument("--to", dest="end", required=True, help="ISO 8601: 2025-09-08T06:30:00Z")
        parser.add_argument("--balance", metavar="SOL", help="SOL to begin with")
        parser.add_argument("--slippage-bps", type=int, help="another slippage limit than the strategy's")
        parser.add_argument("--latency-ms", type=int, nargs=2, metavar=("LEAST", "MOST"), help="other latencies")
        parser.add_argument("--sensitivity", action="store_true", help="also with other latencies and slippage limits")
        parser.add_argument("--trades", action="store_true", help="with --json: every fill with its parts")
        console.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            task = _task(options)
        except PlatformError as error:
            raise console.stopped(error, as_json=options["json"], status=console.WRONG_USE) from None
        began = time.perf_counter()
        try:
            run = backtest.backtest(task, progress=lambda share: console.show_progress(share, "backtest"))
            rows = None
            if options["sensitivity"]:
                rows = backtest.sensitivity(task, progress=lambda share: console.show_progress(share, "sensitivity"))
        finally:
            console.clear_progress()
        result = backtest.summary(run) | {"seconds": round(time.perf_counter() - began, 3)}
        result |= backtest.coverage(task)
        if rows is not None:
            result["sensitivity"] = rows
        if options["trades"]:
            result["trades"] = backtest.trades_told(run.book)
        self.stdout.write(json.dumps(result) if options["json"] else "\n".join(_text(result)))


def _task(options: dict[str, Any]) -> Task:
    start, end = range_parse(console.moment(options["start"]), console.moment(options["end"]))
    balance = _lamports(options["balance"]) if options["balance"] is not None else None
    task = backtest.task_of(
        strategy=backtest.strategy_get(options["strategy"]), since=start, until=end, balance_lamports=balance
    )
    if options["slippage_bps"] is not None:
        if not 0 <= options["slippage_bps"] <= 10_000:
            raise PlatformError("SLIPPAGE_OUT_OF_RANGE", "Choose a slippage limit between 0 and 10000 basis points.")
        task.strategy.slippage_bps = options["slippage_bps"]
    if options["latency_ms"] is not None:
        least, most = options["latency_ms"]
        if not 0 <= least <= most:
            raise PlatformError("LATENCY_OUT_OF_RANGE", "Give the least and the most milliseconds, from 0 on.")
        task = replace(task, terms=replace(task.terms, latency_ms=least, latency_max_ms=most))
    return task


def _lamports(sol: str) -> int:
    try:
        return sol_to_lamports(sol)
    except (ArithmeticError, ValueError):
        raise PlatformError("AMOUNT_OUT_OF_RANGE", "Give the balance in SOL, such as 10 or 2.5.") from None


def _text(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['strategy']}: {result['from']} to {result['to']}, {result['trades_in_range']:,} trades recorded",
        f"equity {_sol(result['start_lamports'])} -> {_sol(result['end_equity_lamports'])} SOL "
        f"({result['return_ratio']:+.2%}), deepest fall {result['drawdown_ratio']:.2%}",
        f"{result['closed_positions']} positions left, {result['winners']} with a gain; "
        f"{result['open_positions']} held",
    ]
    lines += [f"  {o['side']} {o['status']} {o['code']}: {o['orders']}" for o in result["orders"]]
    lines += [
        f"  {e['exit_reason']}: {e['positions']} positions, {e['winners']} winners, {_sol(e['pnl_lamports'])} SOL"
        for e in result["exits"]
    ]
    lines.append("costs: " + ", ".join(f"{part} {_sol(value)}" for part, value in result["costs_lamports"].items()))
    if result["monte_carlo"]:
        lines.append("other orders of the trades: deepest fall {drawdown_p5:.2%} / {drawdown_p50:.2%} / "
                     "{drawdown_p95:.2%} (5, 50, 95 %)".format(**result["monte_carlo"]))  # fmt: skip
    lines += [
        f"latency {r['latency_ms']}-{r['latency_max_ms']} ms, slippage {r['slippage_bps']} bps: "
        f"{_sol(r['pnl_lamports'])} SOL, {r['closed_positions']} positions"
        for r in result.get("sensitivity", [])
    ]
    return lines


def _sol(lamports: int) -> str:
    return f"{lamports_to_sol(lamports):.6f}"
