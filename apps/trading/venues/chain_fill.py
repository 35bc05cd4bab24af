"""A fill as the chain tells it: what an executed transaction did to the balances, with every part named. Pure.

The wallet's change of SOL is the truth; its parts are read from the accounts that got them. What the curve or pool
moved is its own account's change; what is left between it and the wallet are the protocol's and the creator's fees.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from apps.discovery.curve import BPS, Fees, Side
from apps.trading.fills import Fill
from apps.trading.venues import programs

MOST_FEES_BPS = 1_000  # of the traded SOL; more than that is no fee but something not understood


class UnreadableError(Exception):
    """The node's answer does not tell what was traded."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The order as its fill is compared with it."""

    wallet: Pubkey
    mint: Pubkey
    side: Side
    quoted_base_units: int
    quoted_lamports: int


@dataclass(frozen=True, slots=True)
class _Moves:
    """The lamports that each account of a transaction gained (negative: lost), and the meta it is from."""

    keys: Sequence[Pubkey]
    lamports: Mapping[Pubkey, int]
    meta: Mapping[str, Any]


def fill_of(answer: Mapping[str, Any], asked: Asked, fees: Fees) -> Fill:
    """The fill in a `getTransaction` answer (encoding base64) without error. Raises UnreadableError.

    `fees` splits protocol and creator, and stands in where the account of the curve is not to be found.
    """
    try:
        moves = _moves(answer)
        tip, venue_fee = _transfers(_message(answer), moves.keys, asked.wallet)
        network_fee = int(moves.meta["fee"])
        units = _token_change(moves.meta, asked)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreadableError(f"the answer has another shape than documented ({type(error).__name__})") from None
    if moves.keys[0] != asked.wallet:
        raise UnreadableError("another account paid")
    if (units > 0) is not (asked.side == "buy") or units == 0:
        raise UnreadableError(f"the wallet's tokens changed by {units}")
    own = {*programs.token_accounts(asked.wallet, asked.mint), *programs.volume_accounts(asked.wallet)}
    own |= set(programs.token_accounts(asked.wallet, programs.WRAPPED_SOL))
    rent = sum(moves.lamports.get(key, 0) for key in own)
    change = moves.lamports[asked.wallet]
    sign = -1 if asked.side == "buy" else 1
    traded = sign * (change + tip + venue_fee + network_fee + rent)
    curve_lamports, protocol, creator = split(traded, _curve_moved(moves, asked), asked.side, fees)
    return Fill(
        side=asked.side,
        base_units=abs(units),
        curve_lamports=curve_lamports,
        protocol_fee=protocol,
        creator_fee=creator,
        venue_fee=venue_fee,
        network_fee=network_fee,
        tip=tip,
        rent=rent,
        virtual_loss=0,
        price_impact_bps=None,
        slippage_bps=slippage_bps_of(asked.side, asked.quoted_base_units, asked.quoted_lamports, abs(units), traded),
    )


def _moves(answer: Mapping[str, Any]) -> _Moves:
    meta = answer["meta"]
    loaded = meta.get("loadedAddresses") or {}
    texts = [*loaded.get("writable", []), *loaded.get("readonly", [])]
    keys = [*_message(answer).account_keys, *map(Pubkey.from_string, texts)]
    before, after = meta["preBalances"], meta["postBalances"]
    if not len(keys) == len(before) == len(after):
        raise ValueError("balances do not fit the accounts")
    return _Moves(keys, {key: int(after[at]) - int(before[at]) for at, key in enumerate(keys)}, meta)


def _message(answer: Mapping[str, Any]) -> Any:
    return VersionedTransaction.from_bytes(base64.b64decode(answer["transaction"][0])).message


def _transfers(message: Any, keys: Sequence[Pubkey], wallet: Pubkey) -> tuple[int, int]:
    """Lamports tipped and sent elsewhere by the transaction's own transfers. `keys`: those from tables too."""
    tip = elsewhere = 0
    own = {wallet, *programs.token_accounts(wallet, programs.WRAPPED_SOL)}
    for one in message.instructions:
        data = bytes(one.data)
        if keys[one.program_id_index] != programs.SYSTEM or data[:4] != b"\x02\x00\x00\x00":
            continue
        to, lamports = keys[one.accounts[1]], int.from_bytes(data[4:12], "little")
        tip += lamports if to in programs.JITO_TIPS else 0
        elsewhere += lamports if to not in programs.JITO_TIPS and to not in own else 0
    return tip, elsewhere


def _token_change(meta: Mapping[str, Any], asked: Asked) -> int:
    """Base units of the mint that the wallet gained."""

    def held(rows: Sequence[Mapping[str, Any]]) -> int:
        ours = (row for row in rows if row["owner"] == str(asked.wallet) and row["mint"] == str(asked.mint))
        return sum(int(row["uiTokenAmount"]["amount"]) for row in ours)

    return held(meta.get("postTokenBalances") or []) - held(meta.get("preTokenBalances") or [])


def _curve_moved(moves: _Moves, asked: Asked) -> int | None:
    """Lamports that the coin's curve, or its pool's wrapped SOL, gained or lost; None where neither is there."""
    moved = abs(moves.lamports.get(programs.bonding_curve(asked.mint), 0))
    if moved:
        return moved
    changes: dict[int, int] = {}
    for sign, name in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for row in moves.meta.get(name) or []:
            if row["mint"] == str(programs.WRAPPED_SOL) and row["owner"] != str(asked.wallet):
                at = int(row["accountIndex"])
                changes[at] = changes.get(at, 0) + sign * int(row["uiTokenAmount"]["amount"])
    return max(map(abs, changes.values()), default=0) or None


def split(traded: int, moved: int | None, side: Side, fees: Fees) -> tuple[int, int, int]:
    """Lamports of curve, protocol and creator; together with the sign of the side they are `traded`.

    `moved` is what the curve's own account gained or lost; None (or what cannot be it): the rates say it.
    """
    bps = fees.protocol_bps + fees.creator_bps
    rest = None if moved is None else (traded - moved if side == "buy" else moved - traded)
    if moved is None or rest is None or not 0 <= rest * BPS <= max(moved, 1) * MOST_FEES_BPS:
        moved = traded * BPS // (BPS + bps) if side == "buy" else traded * BPS // (BPS - bps)
        rest = abs(traded - moved)
    protocol = rest * fees.protocol_bps // bps if bps else rest
    return moved, protocol, rest - protocol


def slippage_bps_of(side: Side, quoted_base_units: int, quoted_lamports: int, units: int, traded: int) -> int:
    """How much worse than quoted; 0 where nothing was quoted."""
    quoted, expected = quoted_lamports * units, traded * quoted_base_units
    worse, better = (expected, quoted) if side == "buy" else (quoted, expected)
    return (worse - better) * BPS // better if better > 0 else 0
