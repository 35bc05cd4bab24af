"""Secret keys of wallets: the forms they are written in, and what binds a sealed one to its wallet. Pure.

A key is 64 bytes: 32 of the seed and 32 of the address (the public key). People carry it as base58 or as a JSON array
of 64 numbers. Errors never quote what was given.
"""

from __future__ import annotations

import json

from solders.keypair import Keypair
from solders.pubkey import Pubkey

KEY_BYTES = 64
LONGEST_TEXT = 1_000
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class KeyTextError(ValueError):
    """The text is not a secret key; says what to give, never what was given."""


def binding(wallet_id: int, address: str) -> bytes:
    """What a sealed key is bound to: it opens for no other wallet."""
    return f"pump-platform|{wallet_id}|{address}".encode()


def key_new() -> bytes:
    """A new key, from the system's randomness."""
    return bytes(Keypair())


def key_of_text(text: str) -> bytes:
    """The key written as base58 or as a JSON array. Raises KeyTextError."""
    text = text.strip()
    key = b""
    if len(text) <= LONGEST_TEXT:
        key = _of_json(text) if text.startswith("[") else base58_decode(text)
    if len(key) != KEY_BYTES:
        raise KeyTextError("Give the secret key as base58 (87 or 88 characters) or as a JSON array of 64 numbers.")
    if bytes(Keypair.from_seed(key[:32]).pubkey()) != key[32:]:
        raise KeyTextError("The two halves of this key do not belong together: a character is wrong or missing.")
    return key


def key_text(key: bytes) -> str:
    """A key as base58, as wallets take it."""
    return str(Keypair.from_seed(key[:32]))


def address_of(key: bytes) -> str:
    """The address that a key signs for."""
    return str(Keypair.from_seed(key[:32]).pubkey())


def signature_of(key: bytes, message: bytes) -> bytes:
    """The signature of a message by a key."""
    return bytes(Keypair.from_seed(key[:32]).sign_message(message))


def is_address(text: str) -> bool:
    """Whether a text is the address of a key (a point on the curve: one that can sign)."""
    key = base58_decode(text) if len(text) <= 44 else b""
    return len(key) == 32 and Pubkey(key).is_on_curve()


def base58_decode(text: str) -> bytes:
    """The bytes of a base58 text; empty where it is none."""
    number = 0
    for char in text:
        value = _ALPHABET.find(char)
        if value < 0:
            return b""
        number = number * 58 + value
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _of_json(text: str) -> bytes:
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        return b""
    if not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        return b""
    return bytes(numbers)
