"""What the ledger says, and whether it agrees with wallets, orders and trades."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet, Sum

from apps.trading import queries
from apps.trading.ledger import ACCOUNTS
from apps.trading.models import LedgerEntry, Wallet


def entries_of(wallet: str | None = None, kind: str | None = None) -> QuerySet[LedgerEntry]:
    """The entries of a wallet (by alias; None: of all), newest first."""
    given = {name: value for name, value in (("wallet__alias", wallet), ("kind", kind)) if value is not None}
    return LedgerEntry.objects.filter(**given).select_related("wallet", "order").order_by("-id")


def accounts_of(wallet: Wallet) -> dict[str, int]:
    """What stands on each account of a wallet, in lamports; together it is zero."""
    sums = LedgerEntry.objects.filter(wallet=wallet).order_by().aggregate(**{name: Sum(name) for name in ACCOUNTS})
    return {name: int(lamports or 0) for name, lamports in sums.items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a wallet's books are wrong, in lamports; all 0 unless one appeared or vanished.

    `cash`, `reserved`: the wallet and its orders under way less their accounts. `traded`: the wallet less all its
    deposits, trades and transfers (test wallets). `unbalanced`: the sum of all accounts.
    """

    wallet: str
    cash: int
    reserved: int
    traded: int
    unbalanced: int

    @property
    def total(self) -> int:
        """0 where every lamport is accounted for."""
        return abs(self.cash) + abs(self.reserved) + abs(self.traded) + abs(self.unbalanced)


def difference_of(wallet: Wallet) -> Difference:
    """Compare a wallet with its ledger. Exact only while nothing else writes: call it in a transaction or at rest."""
    accounts = accounts_of(wallet)
    return Difference(
        wallet=wallet.alias,
        cash=wallet.cash_lamports - accounts["cash"],
        reserved=queries.reserved_lamports(wallet) - accounts["reserved"],
        traded=queries.ledger_of(wallet).difference if wallet.is_test else 0,
        unbalanced=sum(accounts.values()),
    )


LAST_DIFFERENCE = """
SELECT coalesce(sum(abs(
    CASE w.wallet_type WHEN 'REAL' THEN w.real_balance_lamports ELSE w.virtual_balance_lamports END
    - coalesce(l.cash_after, 0))), 0)::bigint
FROM wallets w
LEFT JOIN LATERAL (SELECT cash_after FROM ledger_entries WHERE wallet_id = w.id ORDER BY id DESC LIMIT 1) l ON true
"""


def difference_now() -> int:
    """By how much wallets differ from what their last entries say, together: cheap, for health."""
    with connection.cursor() as cursor:
        cursor.execute(LAST_DIFFERENCE)
        return int(cursor.fetchone()[0])
