"""What is looked at before a transaction made by others is signed. Pure.

Every instruction must be one that is known and harmless; what is known is written anew with our own limits. So what is
signed says no more than: this wallet trades this mint for at most this, pays these fees, and tips at most so much.
Anything else is refused with a code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from apps.discovery.curve import BPS, Side
from apps.trading.venues import programs
from apps.trading.venues.programs import TradeForm

MOST_BYTES = 1_232
MOST_UNITS = 1_400_000
VENUE_FEE_MOST_BPS = 100  # PumpPortal takes 50 of what it estimates


class TransactionRefusedError(Exception):
    """The transaction is not what was asked for: it is not signed. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What an order allows. `amount` is lamports for a buy (curve fees included), base units for a sale."""

    wallet: Pubkey
    mint: Pubkey
    side: Side
    amount: int
    least_base_units: int
    least_lamports: int
    most_lamports: int
    most_network_fee: int
    tip: int


@dataclass(slots=True)
class Found:
    """What a transaction does, as far as its instructions say it."""

    units: int = MOST_UNITS
    unit_price: int = 0
    venue_fee: int = 0
    venue_fee_to: set[Pubkey] = field(default_factory=set)
    tip: int = 0
    trades: int = 0
    instructions: list[Instruction] = field(default_factory=list)

    @property
    def network_fee(self) -> int:
        """Lamports for the signature and the priority."""
        return programs.SIGNATURE_FEE_LAMPORTS - (-self.units * self.unit_price // 1_000_000)


def lookups_of(raw: bytes) -> list[Pubkey]:
    """The address tables that a transaction refers to. Raises TransactionRefusedError for garbage."""
    message = _parsed(raw).message
    return [lookup.account_key for lookup in getattr(message, "address_table_lookups", [])]


def instructions_of(raw: bytes, wallet: Pubkey, tables: Mapping[Pubkey, Sequence[Pubkey]]) -> list[Instruction]:
    """The instructions of a transaction whose payer and only signer is the wallet. Raises TransactionRefusedError."""
    message = _parsed(raw).message
    keys = list(message.account_keys)
    if not keys or keys[0] != wallet:
        raise TransactionRefusedError("TRANSACTION_OTHER_PAYER", "another account would pay")
    if message.header.num_required_signatures != 1:
        raise TransactionRefusedError("TRANSACTION_OTHER_SIGNER", "somebody else would have to sign too")
    writable = {key for at, key in enumerate(keys) if _is_writable(message, at)}
    loaded, loaded_writable = _loaded(message, tables)
    keys += loaded
    writable |= loaded_writable
    try:
        return [
            Instruction(
                keys[one.program_id_index],
                bytes(one.data),
                [AccountMeta(keys[at], keys[at] == wallet, keys[at] in writable) for at in one.accounts],
            )
            for one in message.instructions
        ]
    except IndexError:
        raise TransactionRefusedError(
            "TRANSACTION_GARBAGE", "an instruction names an account that is not there"
        ) from None


def instructions_checked(instructions: Sequence[Instruction], bounds: Bounds) -> Found:
    """What the instructions do, written anew within the bounds of the order. Raises TransactionRefusedError."""
    found = Found()
    for one in instructions:
        check = _CHECKS.get(one.program_id)
        if check is None:
            raise TransactionRefusedError("TRANSACTION_OTHER_PROGRAM", f"calls the unknown program {one.program_id}")
        found.instructions.append(check(one, bounds, found))
    if found.trades != 1:
        raise TransactionRefusedError("TRANSACTION_OTHER_TRADE", f"holds {found.trades} trades instead of one")
    if found.network_fee > bounds.most_network_fee:
        message = f"asks for a network fee of {found.network_fee} lamports, above the cap of {bounds.most_network_fee}"
        raise TransactionRefusedError("TRANSACTION_FEE_TOO_HIGH", message)
    if found.tip > bounds.tip:
        raise TransactionRefusedError("TRANSACTION_TIP_TOO_HIGH", f"tips {found.tip} lamports instead of {bounds.tip}")
    if len(found.venue_fee_to) > 1:
        raise TransactionRefusedError("TRANSACTION_OTHER_TRANSFER", "sends SOL to more than one other account")
    if bounds.side == "buy" and found.venue_fee * BPS > bounds.amount * VENUE_FEE_MOST_BPS:
        raise TransactionRefusedError("TRANSACTION_OTHER_TRANSFER", f"sends {found.venue_fee} lamports elsewhere")
    return found


# --- Reading -------------------------------------------------------------------------------------------
def _parsed(raw: bytes) -> VersionedTransaction:
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except ValueError:
        raise TransactionRefusedError("TRANSACTION_GARBAGE", "the answer is not a transaction") from None
    except Exception as error:  # noqa: BLE001 - solders' own errors have no common base
        raise TransactionRefusedError(
            "TRANSACTION_GARBAGE", f"not a sane transaction ({type(error).__name__})"
        ) from None
    return transaction


def _is_writable(message: object, at: int) -> bool:
    header, count = message.header, len(message.account_keys)  # type: ignore[attr-defined]
    if at < header.num_required_signatures:
        return bool(at < header.num_required_signatures - header.num_readonly_signed_accounts)
    return bool(at < count - header.num_readonly_unsigned_accounts)


def _loaded(message: object, tables: Mapping[Pubkey, Sequence[Pubkey]]) -> tuple[list[Pubkey], set[Pubkey]]:
    """The keys that come from tables, in the order of the chain: all writable ones, then the others."""
    writable: list[Pubkey] = []
    readonly: list[Pubkey] = []
    for lookup in getattr(message, "address_table_lookups", []):
        table = tables.get(lookup.account_key, ())
        try:
            writable += [table[at] for at in lookup.writable_indexes]
            readonly += [table[at] for at in lookup.readonly_indexes]
        except IndexError:
            raise TransactionRefusedError("TRANSACTION_GARBAGE", "an address table has no such entry") from None
    return writable + readonly, set(writable)


# --- Instruction by instruction ------------------------------------------------------------------------
def _refuse(one: Instruction, what: str) -> TransactionRefusedError:
    return TransactionRefusedError("TRANSACTION_OTHER_INSTRUCTION", f"program {one.program_id}: {what}")


def _account(one: Instruction, at: int) -> Pubkey:
    if at >= len(one.accounts):
        raise _refuse(one, "too few accounts")
    key: Pubkey = one.accounts[at].pubkey
    return key


def _number(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _compute_budget(one: Instruction, bounds: Bounds, found: Found) -> Instruction:
    data = bytes(one.data)
    kind = data[:1]
    if kind == b"\x02" and len(data) == 5:
        found.units = min(_number(data, 1, 4), MOST_UNITS)
    elif kind == b"\x03" and len(data) == 9:
        found.unit_price = _number(data, 1)
    elif kind not in (b"\x01", b"\x04"):
        raise _refuse(one, "an unknown request")
    return one


def _system(one: Instruction, bounds: Bounds, found: Found) -> Instruction:
    """Transfers of ours, to our own wrapped SOL, as a tip or as PumpPortal's fee. Nothing else, no durable nonce."""
    data = bytes(one.data)
    if _number(data, 0, 4) != 2 or len(data) != 12 or _account(one, 0) != bounds.wallet:
        raise _refuse(one, "only a transfer out of the wallet is expected")
    lamports, to = _number(data, 4), _account(one, 1)
    if to in programs.JITO_TIPS:
        found.tip += lamports
    elif to not in programs.token_accounts(bounds.wallet, programs.WRAPPED_SOL) and to != bounds.wallet:
        found.venue_fee += lamports
        found.venue_fee_to.add(to)
    return one


def _token(one: Instruction, bounds: Bounds, found: Found) -> Instruction:
    """Wrapping and unwrapping SOL, closing an account of ours to ourselves. No transfer, approval or new owner."""
    data = bytes(one.data)
    if data == b"\x11":
        return one
    if data == b"\x09" and _account(one, 1) == bounds.wallet and _account(one, 2) == bounds.wallet:
        return one
    raise _refuse(one, "only closing an account to the wallet and wrapping SOL are expected")


def _associated(one: Instruction, bounds: Bounds, found: Found) -> Instruction:
    is_ours = _account(one, 0) == bounds.wallet and _account(one, 2) == bounds.wallet
    if bytes(one.data) not in (b"", b"\x00", b"\x01") or not is_ours:
        raise _refuse(one, "only opening a token account of the wallet is expected")
    if _account(one, 3) not in (bounds.mint, programs.WRAPPED_SOL):
        raise _refuse(one, "opens an account of another token")
    return one


def _trade(one: Instruction, bounds: Bounds, found: Found) -> Instruction:
    data = bytes(one.data)
    if data[:8] in programs.HARMLESS:
        return one
    form = programs.TRADES[one.program_id].get(data[:8])
    if form is None or len(data) < 24:
        raise _refuse(one, "an instruction that is not a trade")
    keys = {meta.pubkey for meta in one.accounts}
    own = programs.token_accounts(bounds.wallet, bounds.mint)
    if form.side != bounds.side or bounds.mint not in keys or bounds.wallet not in keys or not keys & set(own):
        raise TransactionRefusedError(
            "TRANSACTION_OTHER_TRADE", "trades another coin, another way or for another wallet"
        )
    if form.names_quote and programs.WRAPPED_SOL not in keys:
        raise TransactionRefusedError("TRANSACTION_OTHER_TRADE", "does not trade against SOL")
    found.trades += 1
    first, limit = _limits(form, _number(data, 8), _number(data, 16), bounds)
    numbers = first.to_bytes(8, "little") + limit.to_bytes(8, "little")
    return Instruction(one.program_id, data[:8] + numbers + data[24:], list(one.accounts))


def _limits(form: TradeForm, first: int, limit: int, bounds: Bounds) -> tuple[int, int]:
    """The two numbers of a trade within the order: the chain itself then refuses what would be worse."""
    if form.side == "sell":
        if first != bounds.amount:
            message = f"sells {first} base units instead of {bounds.amount}"
            raise TransactionRefusedError("TRANSACTION_OTHER_AMOUNT", message)
        return first, max(limit, bounds.least_lamports)
    if form.exact == "quote":
        return bounds.amount, max(limit, bounds.least_base_units)
    return max(first, bounds.least_base_units), min(limit, bounds.amount)


_CHECKS: dict[Pubkey, Callable[[Instruction, Bounds, Found], Instruction]] = {
    programs.COMPUTE_BUDGET: _compute_budget,
    programs.SYSTEM: _system,
    programs.TOKEN: _token,
    programs.TOKEN_2022: _token,
    programs.ASSOCIATED_TOKEN: _associated,
    programs.PUMP: _trade,
    programs.PUMP_AMM: _trade,
}


# --- Writing -------------------------------------------------------------------------------------------
def message_of(
    instructions: Sequence[Instruction],
    wallet: Pubkey,
    blockhash: object,
    tables: Mapping[Pubkey, Sequence[Pubkey]],
) -> MessageV0:
    """The message to sign, with a blockhash of ours. Raises TransactionRefusedError where it does not fit."""
    known = [AddressLookupTableAccount(key, list(found)) for key, found in tables.items()]
    try:
        message = MessageV0.try_compile(wallet, list(instructions), known, blockhash)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - solders' compile errors have no common base
        raise TransactionRefusedError("TRANSACTION_GARBAGE", f"cannot be written ({type(error).__name__})") from None
    if len(bytes(message)) + 66 > MOST_BYTES:
        raise TransactionRefusedError("TRANSACTION_TOO_LARGE", "is larger than the network takes")
    return message
