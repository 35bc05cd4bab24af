"""Conversions between the chain's integers and what people read. Pure.

1 SOL = 10^9 lamports, 1 token = 10^6 base units (domain.md, section 1).
"""

from decimal import ROUND_HALF_EVEN, Decimal

LAMPORTS_PER_SOL = 1_000_000_000
BASE_UNITS_PER_TOKEN = 1_000_000
BPS_PER_ONE = 10_000

_LAMPORTS = Decimal(LAMPORTS_PER_SOL)
_BASE_UNITS = Decimal(BASE_UNITS_PER_TOKEN)


def sol_to_lamports(sol: Decimal | int | str) -> int:
    """Decimal SOL to lamports, rounded to the nearest lamport; raises `decimal.InvalidOperation` on bad text."""
    return int((Decimal(sol) * _LAMPORTS).to_integral_value(rounding=ROUND_HALF_EVEN))


def tokens_to_base_units(tokens: Decimal | int | str) -> int:
    """Decimal tokens to base units, rounded to the nearest (feeds carry float artefacts such as 25765429.120095998)."""
    return int((Decimal(tokens) * _BASE_UNITS).to_integral_value(rounding=ROUND_HALF_EVEN))


def lamports_to_sol(lamports: int) -> Decimal:
    """Lamports to exact decimal SOL."""
    return Decimal(lamports) / _LAMPORTS


def base_units_to_tokens(base_units: int) -> Decimal:
    """Base units to exact decimal tokens."""
    return Decimal(base_units) / _BASE_UNITS
