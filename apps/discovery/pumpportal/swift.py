r"""The common lines of the journal by a shorter way: trades on the standard curve with everything in its place.

Nearly all frames are such trades, with the same keys in the same order. The lines of a block are taken apart together,
as columns: what stands between their values is the same in all of them, and as text inside a JSON line has its quotes
escaped (`\"`), its backslashes say where. A value that runs to the next backslash holds no escape itself. Whatever is
unusual, however little, is left to the general way (`parse`); both give the same for every line (test_swift.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.discovery import curve
from apps.discovery.pumpportal.columns import Integers, Text, Truths
from apps.discovery.pumpportal.messages import QUOTE_MINTS
from apps.discovery.pumpportal.parse import MARKET_CAP_TOLERANCE, PRODUCT_TOLERANCE

_CLOCK, _CLOCK_STOP, _DOT = b'{"t_wall":', 27, 20
_HEAD = rb',"raw":"{\"signature\":\"'
_BUY, _SELL = (rb"\",\"txType\":\"%b\",\"tokenAmount\":" % side for side in (b"buy", b"sell"))
# What stands behind each value, and the backslash of its line (0 the first) by which it is found. Behind a number comes
# a comma before the backslash.
_BEHIND = {
    "signature": (rb"\",\"mint\":\"", 3),
    "mint": (rb"\",\"traderPublicKey\":\"", 7),
    "trader": (b"", 11),  # _BUY or _SELL
    "token": (rb",\"solAmount\":", 18),
    "sol": (rb",\"newTokenBalance\":", 20),
    "balance": (rb",\"bondingCurveKey\":\"", 22),
    "bonding_curve": (rb"\",\"vTokensInBondingCurve\":", 25),
    "vtoken": (rb",\"vSolInBondingCurve\":", 28),
    "vsol": (rb",\"marketCapSol\":", 30),
    "cap": (rb",\"pool\":\"pump\"}" + b'"}\n', 32),
}
_BACKSLASHES = 36
_KEYS = "signature", "mint", "trader", "bonding_curve"
_BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PRODUCT = float(curve.INITIAL.virtual_sol * curve.INITIAL.virtual_token)
_PRICE = curve.BASE_UNITS_PER_TOKEN / curve.LAMPORTS_PER_SOL
_MARKET_CAP = curve.SUPPLY / curve.LAMPORTS_PER_SOL
# Floats a little off decide nothing near the edge: what is not well within goes the general way.
_PRODUCT_WITHIN, _MARKET_CAP_WITHIN = PRODUCT_TOLERANCE * 0.99, MARKET_CAP_TOLERANCE * 0.99
_FROM_US, _TO_US = 10**15, 4 * 10**15
_EXACT = 2**53  # smaller integers are the same as floats

Span = tuple[Integers, Integers]
Spans = dict[str, Span]


class Trades(NamedTuple):
    """Common trades, a column for each value (`messages.Trade`), in their order. `seq`: the numbers of their lines;
    `is_rounded` and `is_off_curve` are their oddities `float_artefact` and `off_curve`."""

    seq: list[int]
    at_us: list[int]
    signature: list[str]
    mint: list[str]
    trader: list[str]
    is_buy: list[bool]
    sol_lamports: list[int]
    token_base_units: list[int]
    price_sol: list[float]
    virtual_sol: list[int]
    virtual_token: list[int]
    is_rounded: list[bool]
    is_off_curve: list[bool]


NO_TRADES = Trades(*([] for _ in Trades._fields))
Other = tuple[int, bytes]  # how many common trades stand before it in its block, and the line


def common_trades(data: bytes, first_seq: int) -> tuple[Trades, list[Other]]:
    """The common trades among whole lines, the first of which has the number `first_seq`, and all other lines."""
    text = Text(data)
    ends, line, is_buy, spans = _lines(text)
    if not len(line):
        return NO_TRADES, _others(data, ends, line)
    columns, is_common = _numbers(text, is_buy, spans)
    characters = data.decode("latin-1")  # one for each byte: places stay places
    keys = [[characters[start:stop] for start, stop in _pairs(spans[name])] for name in _KEYS]
    is_common &= _are_keys(keys)
    line, chosen = line[is_common], is_common.tolist()
    at_us, *numbers = (column[is_common].tolist() for column in columns)
    signature, mint, trader, _ = (list(compress(key, chosen)) for key in keys)
    trades = Trades((line + first_seq).tolist(), at_us, signature, mint, trader, *numbers)
    return trades, _others(data, ends, line)


def _others(data: bytes, ends: Integers, line: Integers) -> list[Other]:
    """All lines of which `line` holds not the number."""
    others = np.delete(np.arange(len(ends)), line)
    before = others - np.arange(len(others))
    spans = _pairs((_begins(ends)[others], ends[others]))
    return [(count, data[begin:end]) for count, (begin, end) in zip(before.tolist(), spans, strict=True)]


def _begins(ends: Integers) -> Integers:
    """Where pieces begin that follow each other, from the places of their last."""
    return np.concatenate([[0], ends[:-1] + 1])


def _pairs(span: Span) -> Iterator[tuple[int, int]]:
    starts, stops = span
    return zip(starts.tolist(), stops.tolist(), strict=True)


def _lines(text: Text) -> tuple[Integers, Integers, Truths, Spans]:
    """Where every line ends; of those that have all the literals of a common one the numbers (0 the first), which are
    buys, and where their values stand."""
    marks = np.flatnonzero((text.bytes == ord("\\")) | (text.bytes == ord("\n")))
    last = np.flatnonzero(text.bytes[marks] == ord("\n"))
    ends = marks[last]
    first = _begins(last)
    line = np.flatnonzero(last - first == _BACKSLASHES)
    begin, first = _begins(ends)[line], first[line]
    stops = {name: marks[first + mark] - literal.startswith(b",") for name, (literal, mark) in _BEHIND.items()}
    is_buy = text.has(stops["trader"], _BUY)
    fits = is_buy | text.has(stops["trader"], _SELL)
    fits &= text.has(begin, _CLOCK) & text.has(begin + _DOT, b".") & text.has(begin + _CLOCK_STOP, _HEAD)
    for name, (literal, _) in _BEHIND.items():
        if literal:
            fits &= text.has(stops[name], literal)
    stops = {name: stop[fits] for name, stop in stops.items()}
    return ends, line[fits], is_buy[fits], _spans(begin[fits], is_buy[fits], stops)


def _spans(begin: Integers, is_buy: Truths, stops: dict[str, Integers]) -> Spans:
    """Where the values begin and end: each begins where the literal behind the one before ends."""
    spans: Spans = {"at": (begin + len(_CLOCK), begin + _CLOCK_STOP)}
    start = begin + _CLOCK_STOP + len(_HEAD)
    for name, (literal, _) in _BEHIND.items():
        spans[name] = start, stops[name]
        start = stops[name] + (len(literal) or np.where(is_buy, len(_BUY), len(_SELL)))
    return spans


def _are_keys(keys: Sequence[Sequence[str]]) -> Truths:
    """Which lines have signatures and addresses as they should be, none of them a quote coin's."""
    signature, mint, trader, _ = keys
    lengths = [np.fromiter(map(len, key), np.int64, len(key)) for key in (signature, mint, trader)]
    right = (lengths[0] >= 64) & (lengths[0] <= 90)
    right &= (lengths[1] >= 32) & (lengths[1] <= 44) & (lengths[2] >= 32) & (lengths[2] <= 44)
    if not _is_base58("".join(map("".join, keys))):
        right &= np.array([_is_base58("".join(one)) for one in zip(*keys, strict=True)], np.bool_)
    if not QUOTE_MINTS.isdisjoint(mint):
        right &= np.array([one not in QUOTE_MINTS for one in mint], np.bool_)
    return right


def _is_base58(text: str) -> bool:
    return not text.encode("ascii", "replace").translate(None, _BASE58)


def _numbers(text: Text, is_buy: Truths, spans: Spans) -> tuple[list[NDArray[np.generic]], Truths]:
    """Receive time and the columns of `Trades` from `is_buy` on, and which lines keep to the standard curve."""
    (at_us, token, vtoken, _), six_rounded, six_right = _units(text, spans, ("at", "token", "vtoken", "balance"), 6)
    (sol, vsol, cap), nine_rounded, nine_right = _units(text, spans, ("sol", "vsol", "cap"), 9)
    is_common = six_right.all(axis=0) & nine_right.all(axis=0) & (at_us >= _FROM_US) & (at_us < _TO_US)
    is_common &= (vsol > 0) & (vtoken > 0) & (np.maximum.reduce([sol, token, vsol, vtoken]) < _EXACT)
    vsol, vtoken = np.where(is_common, vsol, 1), np.where(is_common, vtoken, 1)
    ratio = vsol / vtoken
    market_cap = ratio * _MARKET_CAP
    is_common &= np.abs(vsol * 1.0 * vtoken / _PRODUCT - 1.0) <= _PRODUCT_WITHIN
    is_common &= np.abs(cap / 1e9 - market_cap) <= _MARKET_CAP_WITHIN * market_cap
    is_rounded = six_rounded[1] | six_rounded[2] | nine_rounded[0] | nine_rounded[1]
    is_off_curve = ~_are_reproduced(is_buy, sol, token, vsol, vtoken)
    return [at_us, is_buy, sol, token, ratio * _PRICE, vsol, vtoken, is_rounded, is_off_curve], is_common


def _units(text: Text, spans: Spans, names: Sequence[str], decimals: int) -> Iterator[NDArray[Any]]:
    """`Units` of these values, each as an array with a row for each name."""
    starts, stops = (np.concatenate([spans[name][end] for name in names]) for end in (0, 1))
    return (column.reshape(len(names), -1) for column in text.units(starts, stops, decimals))


def _are_reproduced(is_buy: Truths, sol: Integers, token: Integers, vsol: Integers, vtoken: Integers) -> Truths:
    """`curve.reproduces` for columns; the reserves, positive, are those after the trade."""
    sold = ~is_buy & (token < vtoken) & _is_floor(sol, token, vsol + sol, vtoken)
    bought = is_buy & (sol < vsol)
    exact_out = bought & _is_floor(sol - 1, token, vsol - sol, vtoken)
    exact_in = bought & (sol > 1) & _is_floor(token, sol - 1, vtoken + token, np.maximum(vsol - 1, 1))
    return (token > 0) & (sold | exact_out | exact_in)


def _is_floor(floor: Integers, one: Integers, other: Integers, divisor: Integers) -> Truths:
    """Whether `floor` is one * other // divisor: whether 0 <= one * other - floor * divisor < divisor.

    The products may be beyond int64. Wrapping keeps a difference that is not, and by the floats' quotient it is not.
    """
    is_near = np.abs(one * 1.0 * other / divisor - floor) < 8
    rest = one * other - floor * divisor
    return is_near & (rest >= 0) & (rest < divisor)
