"""manage.py leakcheck"""

import json
import sys
from typing import Any

import numpy as np
from django.core.management.base import CommandParser

from apps.core.commands import JsonCommand
from apps.core.errors import PlatformError
from apps.training import leakcheck, queries
from apps.training.management import console
from apps.training.recipes import range_parse

NOTHING = PlatformError(
    "NOTHING_TO_COMPARE",
    "No row lies before these cuts, so nothing is proven: choose more cuts or another range.",
)


class Command(JsonCommand):
    help = (
        "Look for leaks from the future: cut the stored data at random instants and compare, bit by bit, features from "
        "the cut data with features from all of it, the scorer's half hour with the whole history, labels known then "
        "with labels now, stored windows with the trades before their end, and what was kept of creators when their "
        "coins were created with what all the data says now. "
        "Status 0: no difference; 1: a leak, with examples; 2: nothing to compare or wrong use."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cuts", type=int, default=20, help="how many instants (default 20)")
        parser.add_argument("--coins", type=int, default=200, help="at most so many coins around each (default 200)")
        parser.add_argument("--seed", type=int, default=1, help="chooses instants and coins (default 1)")
        parser.add_argument(
            "--from", dest="start", help="ISO 8601: 2025-09-07 (midnight UTC); default: the first window"
        )
        parser.add_argument("--to", dest="end", help="ISO 8601 with time zone; default: the last window")
        console.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            cuts = _instants(options)
        except PlatformError as error:
            raise console.stopped(error, status=console.WRONG_USE) from None
        findings = leakcheck.check(
            cuts, coins_per_cut=options["coins"], seed=options["seed"], on_cut=console.show_progress
        )
        console.clear_progress()
        if findings.is_clean and not findings.rows_compared:
            raise console.stopped(NOTHING, status=console.WRONG_USE)
        self.stdout.write(json.dumps(findings.as_json()) if options["json"] else _text(findings))
        if not findings.is_clean:
            sys.exit(console.FAILED)


def _instants(options: dict[str, Any]) -> list[Any]:
    for name in ("cuts", "coins"):
        if options[name] < 1:
            raise PlatformError("TOO_FEW_COMPARED", f"With {options[name]} {name} nothing is proven: give at least 1.")
    span = queries.metrics_span()
    if span is None:
        raise PlatformError("NO_DATA", "There are no metric rows yet: let the stream run or import a history.")
    first, last = range_parse(options["start"] or span[0], options["end"] or span[1])
    low, high = queries.to_us(first), queries.to_us(last)
    chosen = np.random.default_rng(options["seed"]).integers(low, high, options["cuts"])
    return [queries.to_datetime(us) for us in sorted(chosen.tolist())]


def _text(findings: leakcheck.Findings) -> str:
    lines = [
        f"{findings.cuts} cuts, {findings.coins:,} coins around them",
        f"features cut against whole: {findings.rows_compared:,} rows, {findings.rows_different:,} different",
        f"scorer's half hour against whole: {findings.scorer_rows_compared:,} rows, "
        f"{findings.scorer_rows_different:,} different",
        f"labels known then against now: {findings.labels_compared:,}, {findings.labels_different:,} different",
        f"windows against their trades: {findings.windows_compared:,}, {findings.windows_different:,} different",
        f"creators then against now: {findings.creators_compared:,} coins, {findings.creators_different:,} different",
    ]
    lines += [f"  {one['check']}: {one['feature']} of {one['mint']} at {one['as_of']}" for one in findings.examples]
    lines.append("No leak found." if findings.is_clean else "A LEAK: something knew what came after the cut.")
    return "\n".join(lines)
