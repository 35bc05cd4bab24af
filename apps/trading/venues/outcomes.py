"""What a simulated transaction would do to the wallet, and whether the order allows it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from solders.pubkey import Pubkey

from apps.discovery.curve import BPS
from apps.trading.fills import RejectCode
from apps.trading.venues import programs
from apps.trading.venues.accounts import Accounts, held_of, tokens_of
from apps.trading.venues.checks import VENUE_FEE_MOST_BPS, Bounds, Found, TransactionRefusedError

# Errors of the pump program (domain.md, section 2).
_PUMP_ERRORS = {
    6002: RejectCode.TOO_MUCH_SOL_REQUIRED,
    6003: RejectCode.TOO_LITTLE_SOL_RECEIVED,
    6005: RejectCode.CURVE_COMPLETE,
}


def watched(wallet: Pubkey, mint: Pubkey, keys: Sequence[Pubkey]) -> list[Pubkey]:
    """The accounts to compare before and after: the wallet first, everything writable, its token accounts."""
    return list(dict.fromkeys([wallet, *programs.token_accounts(wallet, mint), *keys]))


def outcome_checked(before: Accounts, after: Accounts, bounds: Bounds, found: Found) -> None:
    """Whether the changes lie within the order. Raises TransactionRefusedError."""
    wallet, mint = bounds.wallet, bounds.mint
    change = _lamports(after, wallet) - _lamports(before, wallet)
    tokens = tokens_of(wallet, mint, after) - tokens_of(wallet, mint, before)
    _others_kept(before, after, bounds)
    if -change > bounds.most_lamports:
        message = f"would take {-change} lamports out of the wallet, more than {bounds.most_lamports}"
        raise TransactionRefusedError("SIMULATED_TOO_MUCH_OUT", message)
    if bounds.side == "buy":
        if tokens < max(1, bounds.least_base_units):
            message = f"would bring {tokens} base units, less than {bounds.least_base_units}"
            raise TransactionRefusedError("SIMULATED_TOO_LITTLE_IN", message)
        return
    if tokens != -bounds.amount:
        raise TransactionRefusedError("SIMULATED_OTHER_AMOUNT", f"would move {tokens} base units of the token")
    gross = change + found.venue_fee + found.tip + found.network_fee
    if gross < bounds.least_lamports:
        message = f"would bring {gross} lamports before fees, less than {bounds.least_lamports}"
        raise TransactionRefusedError("SIMULATED_TOO_LITTLE_IN", message)
    if found.venue_fee * BPS > max(gross, 0) * VENUE_FEE_MOST_BPS:
        raise TransactionRefusedError("TRANSACTION_OTHER_TRANSFER", f"sends {found.venue_fee} lamports elsewhere")


def _lamports(accounts: Accounts, key: Pubkey) -> int:
    account = accounts.get(key)
    return account.lamports if account is not None else 0


def _others_kept(before: Accounts, after: Accounts, bounds: Bounds) -> None:
    """No other token of the wallet may shrink, change hands or be shared with anybody."""
    for key, account in before.items():
        was, becomes = held_of(account), held_of(after.get(key))
        if was is None or was.owner != bounds.wallet:
            was = None
        if becomes is not None and becomes.owner == bounds.wallet and becomes.is_shared and not (was and was.is_shared):
            raise TransactionRefusedError("SIMULATED_APPROVAL", "would let somebody else take tokens of the wallet")
        if was is None or was.mint in (bounds.mint, programs.WRAPPED_SOL):
            continue
        if becomes is None or becomes.owner != bounds.wallet or becomes.amount < was.amount:
            raise TransactionRefusedError("SIMULATED_OTHER_TOKEN", "would take another token out of the wallet")


def failure_of(error: object) -> tuple[RejectCode, str]:
    """Code and sentence of an error of the chain (`{"InstructionError": [2, {"Custom": 6002}]}`)."""
    number = None
    if isinstance(error, dict) and isinstance(inner := error.get("InstructionError"), list) and len(inner) == 2:
        number = inner[1].get("Custom") if isinstance(inner[1], dict) else None
    code = _PUMP_ERRORS.get(number, RejectCode.TRANSACTION_FAILED) if isinstance(number, int) else None
    return code or RejectCode.TRANSACTION_FAILED, f"the program refuses: {str(error)[:200]}"
