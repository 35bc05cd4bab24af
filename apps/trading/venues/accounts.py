"""Accounts of the chain, and token accounts read from their data (SPL token: 165 bytes, then extensions). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from solders.pubkey import Pubkey

from apps.trading.venues import programs

TOKEN_ACCOUNT_BYTES = 165
_TOKEN_OWNERS = frozenset(map(str, programs.TOKEN_PROGRAMS))


@dataclass(frozen=True, slots=True)
class Account:
    """An account: lamports, data, owning program."""

    lamports: int
    data: bytes
    owner: str


Accounts = Mapping[Pubkey, Account | None]


@dataclass(frozen=True, slots=True)
class Held:
    """A token account as its data say: whose, of what, how much, and whether anybody else may take from it."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    is_shared: bool


def held_of(account: Account | None) -> Held | None:
    """A token account read; None for anything else."""
    if account is None or account.owner not in _TOKEN_OWNERS or len(account.data) < TOKEN_ACCOUNT_BYTES:
        return None
    data = account.data
    is_shared = any(data[72:76]) or any(data[129:133])  # a delegate, a close authority
    return Held(Pubkey(data[:32]), Pubkey(data[32:64]), int.from_bytes(data[64:72], "little"), is_shared)


def tokens_of(wallet: Pubkey, mint: Pubkey, accounts: Accounts) -> int:
    """Base units of a token in the wallet's accounts among these."""
    held = map(held_of, accounts.values())
    return sum(one.amount for one in held if one is not None and (one.owner, one.mint) == (wallet, mint))
