"""`manage.py simulator`: a market of our own behind PumpPortal's protocol."""

from __future__ import annotations

import asyncio
import json
import math
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from django.conf import settings
from django.core.management.base import CommandError

from apps.core.checks import require_settings
from apps.core.commands import JsonCommand
from apps.discovery.pumpportal import market_table, simulator
from apps.discovery.pumpportal.faults import KINDS, Fault, FaultError, Faults, parse
from apps.discovery.pumpportal.market_table import Row
from apps.discovery.pumpportal.server import CONTROL_PATH, FeedServer, PortError, until_stopped


class Command(JsonCommand):
    """Runs until SIGTERM or Ctrl-C, which end it cleanly."""

    requires_system_checks: tuple[str, ...] = ()  # touches neither database nor pages
    help = (
        "Simulate a market in real time and serve it on loopback as PumpPortal would (point WS_URI at the address it "
        "prints). Creators, snipers, bots and followers trade on the exact bonding curve; most coins die. "
        "Exit status: 0 stopped by SIGTERM or Ctrl-C, 1 the port cannot be used."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=settings.SIMULATOR_PORT, help="default SIMULATOR_PORT")
        parser.add_argument(
            "--rate", type=_rate, default=settings.SIMULATOR_RATE, help="1 = a real day: 24 creates a minute"
        )
        parser.add_argument("--seed", type=int, default=settings.SIMULATOR_SEED, help="default SIMULATOR_SEED")
        parser.add_argument("--repeatable", action="store_true", help="the same coins at every start with this seed")
        parser.add_argument(
            "--warm", type=float, default=120.0, help="seconds the market has run already (default 120)"
        )
        parser.add_argument("--api-key-required", action="store_true", help="trades only with ?api-key=, as for real")
        parser.add_argument("--json", action="store_true", help="print what was sent as one JSON line at the end")
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            type=_fault,
            metavar="NAME[:key=value,...]",
            help="what goes wrong, any number of them; every=S repeats it, seconds=S is its length, share=0..1 how "
            "many frames it strikes, delay=S the pause before each frame. "
            + "; ".join(f"{name} {what}" for name, what in KINDS.items()),
        )
        parser.add_argument(
            "--tell",
            action="append",
            metavar="FAULT",
            help="start this fault in the simulator that runs on --port and print what is at work there; `clear` ends "
            "all, `list` only prints. Exit status 1: none runs there, or it knows no such fault",
        )
        parser.add_argument(
            "--table",
            type=float,
            metavar="HOURS",
            help="serve nothing: simulate so many hours (over 1; 4 take some 10 s) as fast as it goes and print the "
            "figures of the real market beside those of this one",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["table"] is not None:
            self._print_table(options)
            return
        if options["tell"]:
            self.stdout.write(told(options["port"], options["tell"]))
            return
        require_settings()
        counts: Counter[str] = Counter()
        started = time.monotonic()
        faults = Faults(options["seed"])
        server = FeedServer(
            port=options["port"],
            require_key=options["api_key_required"],
            control=lambda query: simulator.control(faults, query),
        )
        try:
            asyncio.run(self._serve(server, counts, faults, options))
        except PortError as error:
            raise CommandError(str(error)) from None
        result = {
            "seconds": round(time.monotonic() - started, 1),
            **counts,
            "sent": server.sent,
            **_prefixed(faults.begun),
        }
        text = (
            json.dumps(result) if options["json"] else ", ".join(f"{name} {value:,}" for name, value in result.items())
        )
        self.stdout.write(text)

    def _print_table(self, options: dict[str, Any]) -> None:
        rate, seconds = options["rate"], options["table"] * 3600.0
        if seconds <= market_table.LIFE_SECONDS:
            raise CommandError("--table needs more than an hour: shorter, no coin's whole life is known.")
        rows = market_table.table(
            market_table.observe(seed=options["seed"], rate=rate, seconds=seconds), rate=rate, seconds=seconds
        )
        if options["json"]:
            self.stdout.write(json.dumps({"rows": [_as_json(row) for row in rows]}))
            return
        self.stdout.write(f"{'figure':32} {'aim':>13} {'simulated':>10} {'deviation':>10} {'allowed':>8}")
        for row in rows:
            self.stdout.write(_as_line(row))
        self.stdout.write(f"{len(market_table.misfits(rows))} of {len(rows)} figures are further away than allowed.")

    async def _serve(self, server: FeedServer, counts: Counter[str], faults: Faults, options: dict[str, Any]) -> None:
        await until_stopped(self._run(server, counts, faults, options))

    async def _run(self, server: FeedServer, counts: Counter[str], faults: Faults, options: dict[str, Any]) -> None:
        async with server:
            market = simulator.open_market(
                seed=options["seed"],
                rate=options["rate"],
                warm_seconds=options["warm"],
                repeatable=options["repeatable"],
                now=time.time(),
            )
            self.stderr.write(f"Simulated market at {server.uri}, rate {options['rate']:g} (Ctrl-C stops).")
            for fault in options["fault"]:
                faults.add(fault, time.time())
            await simulator.run(server, market, counts, faults=faults)


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "figure": row.aim.name,
        "aim": [row.aim.low, row.aim.high],
        "simulated": row.simulated,
        "deviation": row.deviation,
        "allowed": row.aim.tolerance,
        "fits": row.fits,
    }


def _as_line(row: Row) -> str:
    low, high = row.aim.low, row.aim.high
    aim = f"{low:g}" if low == high else f"{low:g}-{high:g}"
    mark = "" if row.fits else "  <- too far"
    return f"{row.aim.name:32} {aim:>13} {row.simulated:>10.4g} {row.deviation:>+10.1%} {row.aim.tolerance:>8.0%}{mark}"


def _prefixed(begun: Counter[str]) -> dict[str, int]:
    return {f"fault_{name}": times for name, times in sorted(begun.items())}


def told(port: int, orders: list[str]) -> str:
    """The answer of the simulator on that port. Raises CommandError where there is none, or it refuses."""
    query: list[tuple[str, str]] = [("start", order) for order in orders if order not in ("clear", "list")]
    query += [("clear", "1")] if "clear" in orders else []
    address = f"http://127.0.0.1:{port}{CONTROL_PATH}?{urlencode(query)}"
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=5) as answer:
            return str(answer.read().decode()).strip()
    except HTTPError as error:
        raise CommandError(error.read().decode().strip()) from None
    except OSError as error:
        raise CommandError(f"No simulator answers on port {port}: {error}. Name another one with --port.") from None


def _fault(text: str) -> Fault:
    try:
        return parse(text)
    except FaultError as error:
        raise ArgumentTypeError(str(error)) from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ArgumentTypeError("the rate must be above 0")
    return rate
