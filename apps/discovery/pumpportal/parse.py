"""PumpPortal's JSON text to messages. Never raises; what is odd is named, what is exact stays exact.

Amounts go from the text through Decimal to integers (lamports, base units), never through a float. An amount with more
digits than its unit has is a float artefact of the sender and is rounded to the nearest unit. Oddities (domain.md,
section 1) do not stop a frame unless what makes it usable is missing: a mint, and for a trade its amounts and a price.
"""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import msgspec

from apps.discovery import curve
from apps.discovery.pumpportal.messages import (
    QUOTE_MINTS,
    SUBSCRIBED_KEYS,
    TRADES_NEED_KEY,
    Control,
    Create,
    Message,
    Migrate,
    Parsed,
    Trade,
)

# What is kept as a sample every time: the frame said something that no row of ours can hold.
UNUSABLE = frozenset({"not_json", "unknown_frame", "bad_mint", "bad_amount", "unknown_control", "unknown_type"})

MAX_TEXT = 2_000
_KNOWN_CONTROLS = (
    "Successfully subscribed to token",
    "Subscribed to 'migration'",
    SUBSCRIBED_KEYS,
    "replay finished",  # our own replay's last word
)
_LIMITS = {"name": 32, "symbol": 13, "uri": 200}
_multiply = Context(prec=80, rounding=ROUND_HALF_EVEN).multiply
_ZERO, _INT64 = Decimal(0), Decimal(2**63)
_LEAST_MARKET_CAP_SOL = 1e-9  # below it a price is nothing but rounding, and nothing can be divided by it
_LAMPORTS, _BASE_UNITS = Decimal(curve.LAMPORTS_PER_SOL), Decimal(curve.BASE_UNITS_PER_TOKEN)
_TOKENS = curve.SUPPLY // curve.BASE_UNITS_PER_TOKEN
_PRODUCT = curve.INITIAL.virtual_sol * curve.INITIAL.virtual_token
PRODUCT_TOLERANCE = 1e-6
MARKET_CAP_TOLERANCE = 1e-5  # histories keep four decimals of it
_is_address = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}").fullmatch
_is_signature = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,90}").fullmatch


class Wire(msgspec.Struct, rename="camel", gc=False):
    """Every key a frame may hold; all optional, because every one was missing in some frame."""

    tx_type: str | None = None
    mint: str | None = None
    signature: str | None = None
    trader_public_key: str | None = None
    pool: str | None = None
    token_amount: Decimal | None = None
    sol_amount: Decimal | None = None
    initial_buy: Decimal | None = None
    bonding_curve_key: str | None = None
    v_tokens_in_bonding_curve: Decimal | None = None
    v_sol_in_bonding_curve: Decimal | None = None
    tokens_in_pool: Decimal | None = None
    sol_in_pool: Decimal | None = None
    market_cap_sol: float | None = None  # a statistic, not an amount
    name: str | None = None
    symbol: str | None = None
    uri: str | None = None
    is_mayhem_mode: bool | None = msgspec.field(default=None, name="is_mayhem_mode")
    message: str | None = None


_FIELDS = {info.encode_name: info for info in msgspec.structs.fields(Wire)}
_DECIMALS = {name for name, info in _FIELDS.items() if info.type == Decimal | None}
_FLOATS = {name for name, info in _FIELDS.items() if info.type == float | None}
_decode = msgspec.json.Decoder(Wire).decode


class _Head(msgspec.Struct, rename="camel", gc=False):
    """What tells a create."""

    tx_type: str | None = None
    mint: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode


class _UnusableError(Exception):
    """The frame cannot become a message; the argument is the kind of oddity."""


def parse(text: str) -> Parsed:
    """The meaning of one frame. Never raises, whatever the text."""
    odd: list[str] = []
    try:
        try:
            wire = _decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            wire = _decode_loosely(text, odd)
        return Parsed(_message(wire, odd), tuple(odd))
    except _UnusableError as error:
        return Parsed(None, (*odd, str(error)))


def created_mint(text: str) -> str | None:
    """The coin that a create announces, None for every other frame: what `parse` says, ten times as fast."""
    try:
        head = _decode_head(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        message = parse(text).message
        return message.mint if isinstance(message, Create) else None
    mint = head.mint
    return mint if head.tx_type == "create" and mint is not None and _is_address(mint) else None


def _decode_loosely(text: str, odd: list[str]) -> Wire:
    """For what is JSON but not of the expected types: the fields that fit are kept, the others dropped by name."""
    try:
        data = json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError, InvalidOperation):
        raise _UnusableError("not_json") from None
    if not isinstance(data, dict):
        raise _UnusableError("unknown_frame")
    kept: dict[str, Any] = {}
    for name, value in data.items():
        if name in _FIELDS and value is not None:
            if _fits(name, value):
                kept[_FIELDS[name].name] = _kept(name, value)
            else:
                odd.append("wrong_type")
    return Wire(**kept)


def _fits(name: str, value: object) -> bool:
    if name in _DECIMALS or name in _FLOATS:
        return isinstance(value, int | Decimal) and not isinstance(value, bool)
    return isinstance(value, bool if name == "is_mayhem_mode" else str)


def _kept(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return _wellformed(value)
    return float(Decimal(value)) if name in _FLOATS else value


def _wellformed(text: str) -> str:
    """Lone surrogates, which no database takes, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _message(wire: Wire, odd: list[str]) -> Message:
    kind = wire.tx_type
    if kind == "buy" or kind == "sell":
        return _trade(wire, odd)
    if kind == "create":
        return _create(wire, odd)
    if kind == "migrate":
        return Migrate(_mint(wire), _signature(wire, odd), _pool(wire, odd))
    if kind is None:
        return _control(wire, odd)
    raise _UnusableError("unknown_type")


def _control(wire: Wire, odd: list[str]) -> Control:
    if wire.message is None:
        raise _UnusableError("unknown_frame")
    text = _text(wire.message, odd)
    if not text.startswith(_KNOWN_CONTROLS) and TRADES_NEED_KEY not in text:
        odd.append("unknown_control")
    return Control(text)


def _trade(wire: Wire, odd: list[str]) -> Trade:
    mint, is_buy, pool = _mint(wire), wire.tx_type == "buy", _pool(wire, odd)
    if mint in QUOTE_MINTS:
        odd.append("quote_mint_trade")
    sol, tokens = _amount(wire.sol_amount, _LAMPORTS, odd), _amount(wire.token_amount, _BASE_UNITS, odd)
    if sol is None or tokens is None:
        raise _UnusableError("bad_amount")
    reserves = _reserves(wire, odd)
    price = _price(reserves, wire, sol, tokens)
    standard = False
    virtual_sol = virtual_token = None
    if reserves is not None:
        virtual_sol, virtual_token = reserves.virtual_sol, reserves.virtual_token
        standard = _is_standard(reserves, wire, odd)
        if standard and not curve.reproduces("buy" if is_buy else "sell", sol, tokens, reserves):
            odd.append("off_curve")
    trader, signature = _trader(wire, odd), _signature(wire, odd)
    return Trade(mint, is_buy, sol, tokens, price, virtual_sol, virtual_token, trader, signature, pool, standard)


def _create(wire: Wire, odd: list[str]) -> Create:
    mint, pool = _mint(wire), _pool(wire, odd)
    if mint in QUOTE_MINTS:
        odd.append("quote_mint_create")
    if wire.is_mayhem_mode:
        odd.append("mayhem")
    reserves = _reserves(wire, odd)
    standard = pool == "pump" and not wire.is_mayhem_mode and mint not in QUOTE_MINTS
    standard = _is_standard(reserves, wire, odd) and standard
    sol, tokens = _amount(wire.sol_amount, _LAMPORTS, odd), _amount(wire.initial_buy, _BASE_UNITS, odd)
    if sol is None or tokens is None:
        odd.append("bad_amount")
    creator, signature = _trader(wire, odd), _signature(wire, odd)
    market_cap = _market_cap(wire)
    return Create(
        mint=mint,
        name=_described(wire.name, "name", odd),
        symbol=_described(wire.symbol, "symbol", odd),
        uri=_described(wire.uri, "uri", odd),
        creator=creator,
        signature=signature,
        bonding_curve_key=wire.bonding_curve_key if _is_address(wire.bonding_curve_key or "") else None,
        pool=pool,
        is_mayhem=bool(wire.is_mayhem_mode),
        is_standard=standard,
        initial_buy_lamports=sol,
        initial_buy_base_units=tokens,
        virtual_sol=reserves.virtual_sol if reserves else None,
        virtual_token=reserves.virtual_token if reserves else None,
        market_cap_sol=market_cap,
        first_buy=_first_buy(wire, reserves, sol, tokens, creator, signature, pool, standard),
    )


def _first_buy(
    wire: Wire,
    reserves: curve.Reserves | None,
    sol: int | None,
    tokens: int | None,
    creator: str | None,
    signature: str | None,
    pool: str,
    standard: bool,
) -> Trade | None:
    """The creator's purchase inside the create. The market saw it, so it is a trade like any other.

    A separate buy frame of the same transaction has the same identity (signature, mint, trader, side, tokens) and
    therefore counts once.
    """
    if not sol or not tokens or not wire.mint:
        return None
    virtual_sol, virtual_token = (reserves.virtual_sol, reserves.virtual_token) if reserves else (None, None)
    price = _price(reserves, wire, sol, tokens)
    return Trade(wire.mint, True, sol, tokens, price, virtual_sol, virtual_token, creator, signature, pool, standard)


def _mint(wire: Wire) -> str:
    mint = wire.mint
    if mint is None or not _is_address(mint):
        raise _UnusableError("bad_mint")
    return mint


def _trader(wire: Wire, odd: list[str]) -> str | None:
    trader = wire.trader_public_key
    if trader is not None and _is_address(trader):
        return trader
    odd.append("no_trader")
    return None


def _signature(wire: Wire, odd: list[str]) -> str | None:
    signature = wire.signature
    if signature is not None and _is_signature(signature):
        return signature
    odd.append("no_signature")
    return None


def _pool(wire: Wire, odd: list[str]) -> str:
    pool = wire.pool or ""
    if pool == "bonk":
        odd.append("bonk")
    elif pool not in ("pump", "pump-amm"):
        odd.append("unknown_pool")
        return _text(pool, odd)[:32]
    return pool


def _amount(value: Decimal | int | None, unit: Decimal, odd: list[str]) -> int | None:
    """The decimal times `unit` as an integer, or None if it is missing, negative, not finite or beyond int64."""
    if value is None:
        return None
    try:
        scaled = _multiply(value, unit)
        if not _ZERO <= scaled < _INT64:
            return None
    except ArithmeticError:  # not a number, or an exponent beyond all bounds
        return None
    whole = int(scaled)
    if whole != scaled:
        whole = round(scaled)  # half to even
        if "float_artefact" not in odd:
            odd.append("float_artefact")
    return whole if whole < _INT64 else None


def _reserves(wire: Wire, odd: list[str]) -> curve.Reserves | None:
    """The virtual reserves after the frame; None away from pool `pump` or where they make no sense."""
    if wire.pool != "pump":
        return None
    sol = _amount(wire.v_sol_in_bonding_curve, _LAMPORTS, odd)
    tokens = _amount(wire.v_tokens_in_bonding_curve, _BASE_UNITS, odd)
    if not sol or not tokens:
        odd.append("no_reserves")
        return None
    return curve.Reserves(sol, tokens)


def _is_standard(reserves: curve.Reserves | None, wire: Wire, odd: list[str]) -> bool:
    """Whether the frame keeps the identities of the standard curve."""
    if reserves is None:
        return False
    product = reserves.virtual_sol * reserves.virtual_token / _PRODUCT
    market_cap, expected = _market_cap(wire), curve.market_cap_sol(reserves)
    if abs(product - 1.0) > PRODUCT_TOLERANCE or (
        market_cap is not None and abs(market_cap - expected) > MARKET_CAP_TOLERANCE * expected
    ):
        odd.append("identity_mismatch")
        return False
    return True


def _market_cap(wire: Wire) -> float | None:
    value = wire.market_cap_sol
    return value if value is not None and _LEAST_MARKET_CAP_SOL <= value < 1e15 else None


def _price(reserves: curve.Reserves | None, wire: Wire, sol: int, tokens: int) -> float:
    """SOL per token after the trade: from the curve, else the sender's market cap, the pool, or the trade itself."""
    if reserves is not None:
        return curve.spot_price_sol(reserves)
    market_cap = _market_cap(wire)
    if market_cap is not None:
        return market_cap / _TOKENS
    pool_sol, pool_tokens = _amount(wire.sol_in_pool, _LAMPORTS, []), _amount(wire.tokens_in_pool, _BASE_UNITS, [])
    if pool_sol and pool_tokens:
        return curve.spot_price_sol(curve.Reserves(pool_sol, pool_tokens))
    if sol and tokens:
        return curve.spot_price_sol(curve.Reserves(sol, tokens))
    raise _UnusableError("bad_amount")


def _text(value: str, odd: list[str]) -> str:
    """Text a database takes: no NUL, at most MAX_TEXT characters."""
    if "\x00" in value:
        odd.append("nul_character")
        value = value.replace("\x00", "\ufffd")
    return value[:MAX_TEXT]


def _described(value: str | None, field: str, odd: list[str]) -> str:
    """What the creator wrote, as written (untrimmed); never a key, always escaped where it is shown."""
    if value is None or not value.strip():
        odd.append(f"missing_{field}")
        return _text(value or "", odd)
    if len(value.encode("utf-8", "replace")) > _LIMITS[field]:
        odd.append(f"overlong_{field}")
    if value != value.strip():
        odd.append(f"untrimmed_{field}")
    return _text(value, odd)
