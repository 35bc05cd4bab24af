"""Wallet keys at rest: each secret is sealed under a fresh data key, the data key under the key of ENCRYPTION_KEY.

AES-256-GCM for both; wallet id and address are bound in, so a sealed key opens for no other wallet. The stored form is
`version (1 byte) | nonce 12 + wrapped data key 48 | nonce 12 + secret + tag 16`. Nothing here logs or shows a secret.
"""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES


class SealedKeyError(Exception):
    """A key cannot be opened: wrong ENCRYPTION_KEY, another wallet's key, or altered bytes."""


def master_key(text: str) -> bytes:
    """The key-encryption key from its base64 form. Raises ValueError, never quoting the text."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("ENCRYPTION_KEY must be 32 bytes in base64")
    return key


def _binding(wallet_id: int, address: str) -> bytes:
    return f"pump-platform|{wallet_id}|{address}".encode()


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealedKeyError("the key does not open: wrong ENCRYPTION_KEY, wrong wallet or altered bytes") from None


def seal(secret: bytes, *, wallet_id: int, address: str, master: bytes) -> bytes:
    """The stored form of `secret` for one wallet."""
    bound, data_key = _binding(wallet_id, address), os.urandom(KEY_BYTES)
    return VERSION + _encrypt(master, data_key, b"data key|" + bound) + _encrypt(data_key, secret, bound)


def unseal(stored: bytes, *, wallet_id: int, address: str, master: bytes) -> bytes:
    """The secret of one wallet. Raises SealedKeyError."""
    data_key, bound = _data_key(stored, wallet_id, address, master), _binding(wallet_id, address)
    return _decrypt(data_key, stored[1 + WRAPPED_BYTES :], bound)


def rewrap(stored: bytes, *, wallet_id: int, address: str, master: bytes, new_master: bytes) -> bytes:
    """The same sealed secret under another key-encryption key; the secret stays sealed. Raises SealedKeyError."""
    data_key = _data_key(stored, wallet_id, address, master)
    bound = b"data key|" + _binding(wallet_id, address)
    return VERSION + _encrypt(new_master, data_key, bound) + stored[1 + WRAPPED_BYTES :]


def _data_key(stored: bytes, wallet_id: int, address: str, master: bytes) -> bytes:
    if stored[:1] != VERSION:
        raise SealedKeyError("the stored key has an unknown form")
    return _decrypt(master, stored[1 : 1 + WRAPPED_BYTES], b"data key|" + _binding(wallet_id, address))
