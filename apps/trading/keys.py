"""Wallet keys at rest (`core.envelope`): wallet id and address are bound in, so a key opens for no other wallet."""

from __future__ import annotations

from apps.core import envelope
from apps.core.envelope import SealedError as SealedKeyError
from apps.core.envelope import master_key

__all__ = ["SealedKeyError", "master_key", "rewrap", "seal", "unseal"]


def _binding(wallet_id: int, address: str) -> bytes:
    return f"pump-platform|{wallet_id}|{address}".encode()


def seal(secret: bytes, *, wallet_id: int, address: str, master: bytes) -> bytes:
    """The stored form of `secret` for one wallet."""
    return envelope.seal(secret, bound=_binding(wallet_id, address), master=master)


def unseal(stored: bytes, *, wallet_id: int, address: str, master: bytes) -> bytes:
    """The secret of one wallet. Raises SealedKeyError."""
    return envelope.unseal(stored, bound=_binding(wallet_id, address), master=master)


def rewrap(stored: bytes, *, wallet_id: int, address: str, master: bytes, new_master: bytes) -> bytes:
    """The same sealed secret under another key-encryption key; the secret stays sealed. Raises SealedKeyError."""
    return envelope.rewrap(stored, bound=_binding(wallet_id, address), master=master, new_master=new_master)
