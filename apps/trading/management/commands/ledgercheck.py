"""`manage.py ledgercheck`: compare every wallet with its ledger, to the lamport."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.db import transaction

from apps.core.commands import JsonCommand
from apps.trading.ledger_queries import Difference, difference_of
from apps.trading.models import Wallet
from apps.trading.orders import wallet_locked


class Command(JsonCommand):
    help = "Adds up the ledger of every wallet and compares it; exit status 1 if a lamport appeared or vanished."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found = [_checked(number) for number in Wallet.objects.order_by("alias").values_list("pk", flat=True)]
        if options["json"]:
            self.stdout.write(json.dumps({"wallets": [{**asdict(one), "total": one.total} for one in found]}))
        else:
            for one in found:
                parts = f"cash {one.cash}, reserved {one.reserved}, traded {one.traded}, unbalanced {one.unbalanced}"
                self.stdout.write(f"{one.wallet}: {'correct' if not one.total else f'off by {parts} lamports'}")
        if any(one.total for one in found):
            raise SystemExit(1)


@transaction.atomic
def _checked(wallet_id: int) -> Difference:
    return difference_of(wallet_locked(wallet_id))
