"""`manage.py crashtest`: kill the trader many times in a scratch database and count what that has broken."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from apps.core.scratch import scratch_database
from apps.trading.crashes import crash_run


class Command(BaseCommand):
    help = "Kills the real trader process at random points of its work; exit status 1 if anything was doubled or lost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kills", type=int, default=100, help="default 100; each takes less than a second")
        parser.add_argument("--orders", type=int, default=2000, help="orders in the whole run, about (default 2000)")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--json", action="store_true", help="print the result as one JSON line")

    def handle(self, *args: Any, kills: int, orders: int, seed: int, **options: Any) -> None:
        with scratch_database():
            damage = crash_run(kills=kills, orders=orders, seed=seed, say=self.stderr.write)
        result = {"kills": kills, **asdict(damage)}
        text = json.dumps(result) if options["json"] else "  ".join(f"{name}: {n}" for name, n in result.items())
        self.stdout.write(text)
        if damage.doubled or damage.lost or damage.ledger_difference or damage.different:
            raise SystemExit(1)
