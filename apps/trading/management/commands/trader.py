"""The trader: takes alerts, judges exits and executes due paper orders, whenever the feed or the scorer says so."""

from __future__ import annotations

import gc
import threading
import time

from django.db import connection

from apps.core.durability import commits_hurry
from apps.core.listener import Listener
from apps.core.process import ServiceCommand, Stop
from apps.trading import engine, metrics, reconciliation
from apps.trading.desk import Desk
from apps.trading.models import Position, Wallet
from apps.trading.tasks import chain_reconcile

ADVISORY_LOCK = 0x7452_4144_4552  # "tRADER": only its holder trades; a second trader waits
POLL_SECONDS = 1.0
GAUGES_EVERY_SECONDS = 5.0


class Command(ServiceCommand):
    """Runs until SIGTERM or SIGINT; goes on from `trader_progress` whatever ended it."""

    help = "Trade on alerts: orders, fills, positions and exits (paper). Safe to run twice: one waits for the other."
    name = "trader"

    def run(self, stop: Stop) -> None:
        with Listener(("feed", "alerts")) as listener:
            listener.own(ADVISORY_LOCK, stop)
            commits_hurry()  # fills and exits of a round; its orders and its end wait (engine)
            gc.freeze()  # what is imported lives as long as the process: it need not be searched again and again
            if reconciliation.wallets_real():
                threading.Thread(target=chain_compare, name="chain", daemon=True).start()
            desk = Desk()
            desk.start()
            try:
                self._trade(listener, desk, stop)
            finally:
                desk.stop()

    def _trade(self, listener: Listener, desk: Desk, stop: Stop) -> None:
        """Round after round. Raises what has ended the desk: then all of it starts anew."""
        gauges_due = 0.0
        while not stop:
            if not engine.round_once():
                listener.wait(POLL_SECONDS)
            if desk.failed is not None:
                raise desk.failed
            if time.monotonic() > gauges_due:
                gauges_set()
                gauges_due = time.monotonic() + GAUGES_EVERY_SECONDS


def chain_compare() -> None:
    """Compare real wallets with the chain, beside the trading: a slow node must not keep exits waiting."""
    try:
        chain_reconcile()
    finally:
        connection.close()


def gauges_set() -> None:
    """Tell Prometheus how many positions are open and wallets active."""
    metrics.ACTIVE_POSITIONS.set(Position.objects.filter(status="OPEN").count())
    metrics.WALLETS_ACTIVE.set(Wallet.objects.filter(status="ACTIVE").count())
