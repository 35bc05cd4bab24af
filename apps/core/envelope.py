"""Secrets at rest: each is sealed under a fresh data key, the data key under the key of ENCRYPTION_KEY.

AES-256-GCM for both. What a secret belongs to (`bound`) is bound in, so a sealed secret opens in no other place. The
stored form is `version (1 byte) | nonce 12 + wrapped data key 48 | nonce 12 + secret + tag 16`. Nothing here logs or
shows a secret. Pure.
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


class SealedError(Exception):
    """A secret cannot be opened: wrong ENCRYPTION_KEY, another place, or altered bytes."""


def master_key(text: str) -> bytes:
    """The key-encryption key from its base64 form. Raises ValueError, never quoting the text."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("ENCRYPTION_KEY must be 32 bytes in base64")
    return key


def seal(secret: bytes, *, bound: bytes, master: bytes) -> bytes:
    """The stored form of `secret`."""
    data_key = os.urandom(KEY_BYTES)
    return VERSION + _encrypt(master, data_key, b"data key|" + bound) + _encrypt(data_key, secret, bound)


def unseal(stored: bytes, *, bound: bytes, master: bytes) -> bytes:
    """The secret. Raises SealedError."""
    return _decrypt(_data_key(stored, bound, master), stored[1 + WRAPPED_BYTES :], bound)


def rewrap(stored: bytes, *, bound: bytes, master: bytes, new_master: bytes) -> bytes:
    """The same sealed secret under another key-encryption key; the secret stays sealed. Raises SealedError."""
    data_key = _data_key(stored, bound, master)
    return VERSION + _encrypt(new_master, data_key, b"data key|" + bound) + stored[1 + WRAPPED_BYTES :]


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealedError("the key does not open: wrong ENCRYPTION_KEY, wrong place or altered bytes") from None


def _data_key(stored: bytes, bound: bytes, master: bytes) -> bytes:
    if stored[:1] != VERSION:
        raise SealedError("the stored key has an unknown form")
    return _decrypt(master, stored[1 : 1 + WRAPPED_BYTES], b"data key|" + bound)
