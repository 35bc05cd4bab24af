r"""The common line of the journal by a shorter way: a trade on the standard curve with everything in its place.

Nearly all frames are such trades, with the same keys in the same order. One expression takes the lines of a whole block
apart; as text inside a JSON line has its quotes escaped (`\"`), a value that runs to the next backslash holds no escape
itself. Amounts go from their text to integers, addresses and numbers are checked for the block together. Whatever is
unusual, however little, is left to the general way (`parse`); both give the same for every line (test_swift.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from apps.discovery import curve
from apps.discovery.pumpportal.messages import QUOTE_MINTS, Parsed, Trade
from apps.discovery.pumpportal.parse import MARKET_CAP_TOLERANCE, PRODUCT_TOLERANCE

_TEXT, _AMOUNT = r'\\"([^\\]*)\\"', r"(0|[1-9][0-9]*)(?:\.([0-9]+))?"
_NUMBER = _AMOUNT.replace("(0", "(?:0").replace("([0", "(?:[0")
_KEYS = {
    "signature": _TEXT,
    "mint": _TEXT,
    "traderPublicKey": _TEXT,
    "txType": r'\\"(buy|sell)\\"',
    "tokenAmount": _AMOUNT,
    "solAmount": _AMOUNT,
    "newTokenBalance": _NUMBER,
    "bondingCurveKey": _TEXT,
    "vTokensInBondingCurve": _AMOUNT,
    "vSolInBondingCurve": _AMOUNT,
    "marketCapSol": f"({_NUMBER})",
    "pool": r'\\"pump\\"',
}
_FRAME = ",".join(rf'\\"{name}\\":{value}' for name, value in _KEYS.items())
_split = re.compile(rf'\{{"t_wall":([1-3][0-9]{{9}})\.([0-9]{{6}}),"raw":"\{{{_FRAME}\}}"\}}\n|[^\n]*\n').findall
_BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PRODUCT = float(curve.INITIAL.virtual_sol * curve.INITIAL.virtual_token)
_PRICE = curve.BASE_UNITS_PER_TOKEN / curve.LAMPORTS_PER_SOL
_MARKET_CAP = curve.SUPPLY / curve.LAMPORTS_PER_SOL
# Floats a little off decide nothing near the edge: what is not well within goes the general way.
_PRODUCT_WITHIN, _MARKET_CAP_WITHIN = PRODUCT_TOLERANCE * 0.99, MARKET_CAP_TOLERANCE * 0.99
_TENS = tuple(10**power for power in range(10))
_MOST_DIGITS = 60  # beyond it the general way rounds twice
_INT64 = 2**63
_PLAIN: tuple[str, ...] = ()
_ARTEFACT = ("float_artefact",)

Found = tuple[str, ...]
Swift = tuple[int, Parsed]  # receive time in epoch microseconds, and the trade


def common_trades(block: bytes) -> list[Swift | None]:
    """For each line of a block of whole lines its trade, or None where the general way has to look."""
    found = _split(block.decode("latin-1"))
    if len(found) != block.count(b"\n"):
        return [None] * block.count(b"\n")
    trades = [one for one in found if one[0]]
    plain = _are_base58(trades)
    return [_trade(one) if one[0] and (plain or _are_base58([one])) else None for one in found]


def _are_base58(found: Sequence[Found]) -> bool:
    """Whether signatures and addresses are all written in their digits."""
    text = "".join(["".join((one[2], one[3], one[4], one[10])) for one in found])
    return not text.encode("ascii", "replace").translate(None, _BASE58)


def _trade(found: Found) -> Swift | None:
    second, rest, signature, mint, trader, side, token, token_rest, sol, sol_rest, _, vtoken, vtoken_rest, *more = found
    vsol, vsol_rest, cap = more
    if not (32 <= len(mint) <= 44 and 32 <= len(trader) <= 44 and 64 <= len(signature) <= 90) or mint in QUOTE_MINTS:
        return None
    odd: list[int] = []
    try:
        lamports, base_units = _units(sol, sol_rest, 9, odd), _units(token, token_rest, 6, odd)
        virtual_sol, virtual_token = _units(vsol, vsol_rest, 9, odd), _units(vtoken, vtoken_rest, 6, odd)
    except ValueError:
        return None
    if (
        not virtual_sol
        or not virtual_token
        or abs(virtual_sol * 1.0 * virtual_token / _PRODUCT - 1.0) > _PRODUCT_WITHIN
    ):
        return None
    ratio = virtual_sol / virtual_token
    market_cap = ratio * _MARKET_CAP
    if abs(float(cap) - market_cap) > _MARKET_CAP_WITHIN * market_cap:
        return None
    is_buy = side == "buy"
    oddities = _ARTEFACT if odd else _PLAIN
    if not curve.is_reproduced(is_buy, lamports, base_units, virtual_sol, virtual_token):
        oddities = (*oddities, "off_curve")
    trade = Trade(
        mint, is_buy, lamports, base_units, ratio * _PRICE, virtual_sol, virtual_token, trader, signature, "pump", True
    )
    return int(second + rest), Parsed(trade, oddities)


def _units(whole: str, rest: str, digits: int, odd: list[int]) -> int:
    """The decimal `whole`.`rest` with `digits` places as an integer, rounded half to even; `odd` grows if so.

    Raises ValueError for one beyond int64.
    """
    missing = digits - len(rest)
    units = int(whole + rest) * _TENS[missing] if missing >= 0 else _rounded(whole, rest, digits, odd)
    if units >= _INT64:
        raise ValueError("beyond int64")
    return units


def _rounded(whole: str, rest: str, digits: int, odd: list[int]) -> int:
    kept, beyond = int(whole + rest[:digits]), rest[digits:].rstrip("0")
    if not beyond:
        return kept
    if len(whole) + len(rest) > _MOST_DIGITS:
        raise ValueError("the general way rounds twice")
    odd.append(1)
    return kept + (beyond > "5" or (beyond == "5" and kept % 2))
