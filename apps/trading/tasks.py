"""Background work of trading beside the trader."""

from celery import shared_task
from django.utils import timezone

from apps.trading import comparison, equity, queries, reconciliation, sending
from apps.trading.chain import rpc_open


@shared_task(ignore_result=True)
def transfers_follow() -> int:
    """Send and follow transfers of real wallets; how many are on their way."""
    if not sending.transfers_in_flight():
        return 0
    rpc = rpc_open()
    try:
        return sending.round_once(rpc, timezone.now())
    finally:
        rpc.close()


@shared_task(ignore_result=True)
def chain_reconcile() -> int:
    """Compare real wallets with the chain; how many differences are open."""
    if not reconciliation.wallets_real():
        return 0
    rpc = rpc_open()
    try:
        return reconciliation.wallets_check(rpc, timezone.now())
    finally:
        rpc.close()


@shared_task(ignore_result=True)
def shadows_fill() -> int:
    """Give real orders what paper would have made of them; how many."""
    return comparison.shadows_fill()


@shared_task(ignore_result=True)
def equity_thin() -> int:
    """Keep less of the equity the older it is; how many points went."""
    return equity.equity_thin(queries.feed_at() or timezone.now())
