"""The real venue as the settings name it. Opening it sends nothing."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from apps.discovery import curve
from apps.trading import wallet_keys
from apps.trading.chain import rpc_open
from apps.trading.models import Wallet
from apps.trading.venues.pumpportal import PumpPortal, Terms


class WalletSigner:
    """Signs with the keys of the real wallets."""

    def address(self, wallet_id: int) -> str:
        return Wallet.objects.values_list("address", flat=True).get(pk=wallet_id)

    def sign(self, wallet_id: int, message: bytes) -> bytes:
        return wallet_keys.sign(Wallet.objects.get(pk=wallet_id), message)


def venue_open() -> PumpPortal:
    """The venue of real orders; the caller closes it."""
    terms = Terms(
        trade_url=settings.PUMPPORTAL_TRADE_URL,
        commitment="finalized" if settings.SOLANA_COMMITMENT == "finalized" else "confirmed",
        timeout_seconds=settings.SOLANA_TIMEOUT_SECONDS,
        priority_fee_cap=settings.PRIORITY_FEE_CAP_LAMPORTS,
        tip_cap=settings.JITO_TIP_CAP_LAMPORTS,
        jito_url=settings.JITO_BLOCK_ENGINE,
        fees=curve.fees_at(timezone.now()),
    )
    return PumpPortal(rpc_open(), WalletSigner(), terms)
