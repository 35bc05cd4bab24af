"""The real venue: PumpPortal builds a transaction, we check it, write our limits into it, sign it and follow it.

`send` does nothing that cannot be repeated until it has the signed bytes; then it notes the receipt (signature, bytes,
the last block height at which they can land) and gives them to the nodes. `look` finds out by the signature, and may
give the same bytes again. Only when that height is final and the signature is in no block, is the order `Expired`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import httpx2
from solders.address_lookup_table_account import AddressLookupTable
from solders.hash import Hash
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from apps.core.errors import PlatformError
from apps.core.units import base_units_to_tokens, lamports_to_sol
from apps.discovery.curve import BPS, Fees
from apps.trading.fills import RejectCode
from apps.trading.venues import Answer, Expired, Filled, Note, Pending, Receipt, Rejected, Ticket, Unknown, wire
from apps.trading.venues import programs as on_chain
from apps.trading.venues.chain_fill import Asked, UnreadableError, fill_of
from apps.trading.venues.checks import (
    Bounds,
    Found,
    TransactionRefusedError,
    instructions_checked,
    instructions_of,
    lookups_of,
    message_of,
)
from apps.trading.venues.outcomes import failure_of, outcome_checked, watched
from apps.trading.venues.rpc import STOPPED, Blockhash, Commitment, Kind, Rpc, RpcError, Simulation, Status
from apps.trading.venues.wire import Reply, WireError

ATTEMPTS = 2
LONGEST_PAUSE_SECONDS = 1.0
LONGEST_REASON = 200
_MAY_HAVE_MOVED = frozenset({RejectCode.CURVE_COMPLETE, "VENUE_REFUSED"})
Tables = Mapping[Pubkey, Sequence[Pubkey]]


class Signer(Protocol):
    """Who signs for wallets."""

    def address(self, wallet_id: int) -> str:
        """The wallet's address."""

    def sign(self, wallet_id: int, message: bytes) -> bytes:
        """The wallet's signature of a message. Raises PlatformError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How real orders travel. `jito_url`: where transactions with a tip go besides; empty: no tip is paid."""

    trade_url: str
    fees: Fees
    commitment: Commitment = "confirmed"
    timeout_seconds: float = 10.0
    priority_fee_cap: int = 1_000_000
    tip_cap: int = 1_000_000
    jito_url: str = ""


class VenueRefusedError(Exception):
    """Nothing was sent; `rejected` says why."""

    def __init__(self, code: str, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.rejected = Rejected(code, message, is_final=is_final)


@dataclass(frozen=True, slots=True)
class _Signed:
    raw: bytes
    signature: str
    recent: Blockhash
    fee_account: str


class PumpPortal:
    """`venues.Venue` over PumpPortal's local API and Solana nodes. Used by several threads at once."""

    def __init__(self, rpc: Rpc, signer: Signer, terms: Terms, *, pause: Callable[[float], None] = time.sleep) -> None:
        self.rpc, self.signer, self.terms = rpc, signer, terms
        self._pause = pause
        self._http: httpx2.Client = wire.client(terms.timeout_seconds)

    def close(self) -> None:
        self._http.close()
        self.rpc.close()

    # --- Sending ------------------------------------------------------------------------------------------

    def send(self, ticket: Ticket, note: Note) -> Answer | Pending | Unknown:
        """Execute an order that was never sent. Until its receipt is noted nothing that can spend money has left."""
        try:
            signed = self._signed(ticket)
        except VenueRefusedError as refusal:
            return refusal.rejected
        except TransactionRefusedError as refusal:
            return Rejected(refusal.code, f"PumpPortal's transaction {refusal}: it was not signed", is_final=True)
        except RpcError as error:
            return Rejected(error.code, f"nothing was sent: {error}")
        except PlatformError as error:
            return Rejected(error.code, error.message, is_final=True)
        note(Receipt(signed.signature, _details(signed)))
        return self._give(ticket, signed.raw, signed.signature)

    def _signed(self, ticket: Ticket) -> _Signed:
        """The transaction, checked, simulated, signed. Raises VenueRefusedError, TransactionRefusedError, RpcError."""
        bounds = self._bounds(ticket)
        pool = "pump-amm" if ticket.is_graduated else "pump"
        try:
            return self._built(ticket, bounds, pool)
        except VenueRefusedError as refusal:
            if refusal.rejected.code not in _MAY_HAVE_MOVED or ticket.is_graduated or ticket.side == "buy":
                raise
        return self._built(ticket, bounds, "auto")  # it has left its curve since the feed last said so

    def _built(self, ticket: Ticket, bounds: Bounds, pool: str) -> _Signed:
        raw = self._asked(request_of(ticket, str(bounds.wallet), pool))
        tables = self._tables(raw)
        found = instructions_checked(instructions_of(raw, bounds.wallet, tables), bounds)
        if bounds.tip and not found.tip:
            found.instructions.append(_tip(bounds, ticket))
            found.tip = bounds.tip
        recent = self.rpc.blockhash(self.terms.commitment)
        message = message_of(found.instructions, bounds.wallet, Hash.from_string(recent.blockhash), tables)
        self._simulated(message, bounds, found, tables)
        signature = Signature(self.signer.sign(ticket.wallet_id, to_bytes_versioned(message)))
        transaction = VersionedTransaction.populate(message, [signature])
        if not all(transaction.verify_with_results()):
            raise VenueRefusedError("KEY_WRONG", "the signature does not belong to the wallet", is_final=True)
        fee_account = "".join(map(str, found.venue_fee_to))  # at most one
        return _Signed(bytes(transaction), str(signature), recent, fee_account)

    def _bounds(self, ticket: Ticket) -> Bounds:
        tip = ticket.costs.tip_lamports if self.terms.jito_url else 0
        if tip > self.terms.tip_cap:
            message = f"the tip of {tip} lamports is above JITO_TIP_CAP_LAMPORTS ({self.terms.tip_cap})"
            raise VenueRefusedError("TIP_ABOVE_CAP", message, is_final=True)
        if ticket.costs.network_fee_lamports - on_chain.SIGNATURE_FEE_LAMPORTS > self.terms.priority_fee_cap:
            message = f"NETWORK_FEE_SOL is above PRIORITY_FEE_CAP_LAMPORTS ({self.terms.priority_fee_cap})"
            raise VenueRefusedError("PRIORITY_FEE_ABOVE_CAP", message, is_final=True)
        return Bounds(
            wallet=Pubkey.from_string(self.signer.address(ticket.wallet_id)),
            mint=Pubkey.from_string(ticket.mint),
            side=ticket.side,
            amount=ticket.amount,
            least_base_units=ticket.least_base_units,
            least_lamports=ticket.least_lamports,
            most_lamports=ticket.most_lamports,
            most_network_fee=on_chain.SIGNATURE_FEE_LAMPORTS + self.terms.priority_fee_cap,
            tip=tip,
        )

    def _jito(self, ticket: Ticket) -> list[str]:
        has_tip = bool(self.terms.jito_url and ticket.costs.tip_lamports)
        return [f"{self.terms.jito_url.rstrip('/')}/api/v1/transactions"] if has_tip else []

    def _asked(self, payload: dict[str, Any]) -> bytes:
        """PumpPortal's transaction. Asking again is harmless: nothing is signed yet. Raises VenueRefusedError."""
        for attempt in range(1, ATTEMPTS + 1):
            is_last, wait = attempt == ATTEMPTS, 0.2
            try:
                reply = wire.post_json(
                    self._http, self.terms.trade_url, payload, timeout_seconds=self.terms.timeout_seconds
                )
            except WireError as error:
                if is_last:
                    raise VenueRefusedError("VENUE_NO_ANSWER", f"PumpPortal: {error}; nothing was sent") from None
            else:
                if reply.status == 200:
                    return reply.body
                if is_last or not _is_busy(reply):
                    raise _refusal(reply)
                wait = min(reply.retry_after or wait, LONGEST_PAUSE_SECONDS)
            self._pause(wait)
        raise AssertionError("unreachable")

    def _tables(self, raw: bytes) -> dict[Pubkey, list[Pubkey]]:
        """The address tables of a transaction, as our own node knows them."""
        wanted = lookups_of(raw)
        if not wanted:
            return {}
        tables: dict[Pubkey, list[Pubkey]] = {}
        for key, account in zip(wanted, self.rpc.accounts([str(key) for key in wanted]), strict=True):
            try:
                tables[key] = list(AddressLookupTable.deserialize(account.data if account else b"").addresses)
            except ValueError:
                raise TransactionRefusedError("TRANSACTION_GARBAGE", "names an address table that is none") from None
        return tables

    def _simulated(self, message: MessageV0, bounds: Bounds, found: Found, tables: Tables) -> None:
        """Let our node simulate it, compare every balance that can change. Raises as `_signed`."""
        keys = [key for at, key in enumerate(message.account_keys) if message.is_maybe_writable(at)]
        keys += [tables[one.account_key][at] for one in message.address_table_lookups for at in one.writable_indexes]
        order = watched(bounds.wallet, bounds.mint, keys)
        texts = [str(key) for key in order]
        before = self.rpc.accounts(texts, self.terms.commitment)
        unsigned = bytes(VersionedTransaction.populate(message, [Signature.default()]))
        simulation: Simulation = self.rpc.simulate(unsigned, texts, self.terms.commitment)
        if simulation.error is not None:
            code, sentence = failure_of(simulation.error)
            raise VenueRefusedError(code, f"simulated: {sentence}", is_final=code == RejectCode.CURVE_COMPLETE)
        after = dict(zip(order, simulation.accounts, strict=True))
        outcome_checked(dict(zip(order, before, strict=True)), after, bounds, found)

    def _give(self, ticket: Ticket, raw: bytes, signature: str) -> Pending | Unknown:
        """Give the same bytes to the nodes; whatever they say, the signature tells the truth later."""
        try:
            said = self.rpc.send(raw, also=self._jito(ticket), may_send=ticket.may_send)
        except RpcError as error:
            if error.code == STOPPED:
                return Pending()  # what is out may still land; this does not help it
            return Unknown(error.code, f"it may have been taken: {error}")
        if said != signature:
            return Unknown("RPC_OTHER_SIGNATURE", "the node answered with another signature")
        return Pending()

    # --- Following ----------------------------------------------------------------------------------------

    def look(self, ticket: Ticket) -> Answer | Pending | Unknown:
        """Where an order with a receipt stands."""
        assert ticket.receipt is not None
        try:
            return self._looked(ticket, ticket.receipt)
        except RpcError as error:
            return Unknown(error.code, f"the node does not tell: {error}")
        except UnreadableError as error:
            return Unknown("FILL_UNREADABLE", f"it was executed, but {error}: look at the signature")

    def _looked(self, ticket: Ticket, receipt: Receipt) -> Answer | Pending | Unknown:
        final = self.rpc.height("finalized")  # before the status: what can land has landed by then
        status = self.rpc.status(receipt.signature)
        if status.commitment is not None:
            return self._landed(ticket, receipt, status)
        if final.height <= int(receipt.details["last_valid_height"]):
            return self._give(ticket, base64.b64decode(receipt.details["transaction"]), receipt.signature)
        if status.slot < final.slot:
            return Unknown("RPC_BEHIND", "the node that was asked is behind")
        if self.rpc.first_slot() > int(receipt.details["slot"]):
            return Unknown("HISTORY_MISSING", "the node no longer has the blocks: set a node with history")
        if self.rpc.transaction(receipt.signature, "finalized") is not None:
            return Pending()
        return Expired("BLOCKHASH_EXPIRED", "it was in no block before its blockhash expired, and cannot be any more")

    def _landed(self, ticket: Ticket, receipt: Receipt, status: Status) -> Answer | Pending:
        """In a block: an end once that block is as sure as asked for and the node has the balances."""
        if status.commitment == "processed" or (
            self.terms.commitment == "finalized" and status.commitment != "finalized"
        ):
            return Pending()
        answer = self.rpc.transaction(receipt.signature, self.terms.commitment)
        if answer is None:
            return Pending()
        if (error := answer["meta"].get("err")) is not None:
            code, sentence = failure_of(error)
            fee = _fee_of(answer)
            final = code == RejectCode.CURVE_COMPLETE
            return Rejected(code, sentence, network_fee=fee, is_final=final, signature=receipt.signature)
        return Filled(fill_of(answer, self._order_of(ticket), self.terms.fees), receipt.signature)

    def _order_of(self, ticket: Ticket) -> Asked:
        return Asked(
            wallet=Pubkey.from_string(self.signer.address(ticket.wallet_id)),
            mint=Pubkey.from_string(ticket.mint),
            side=ticket.side,
            quoted_base_units=ticket.quoted_base_units,
            quoted_lamports=ticket.quoted_lamports,
        )


def request_of(ticket: Ticket, address: str, pool: str) -> dict[str, Any]:
    """What PumpPortal is asked. A buy asks for as much less as its limit lies above, so that the limit is the order."""
    is_buy = ticket.side == "buy"
    spend = ticket.amount * BPS // (BPS + ticket.slippage_bps)
    amount = lamports_to_sol(spend) if is_buy else base_units_to_tokens(ticket.amount)
    priority = max(0, ticket.costs.network_fee_lamports - on_chain.SIGNATURE_FEE_LAMPORTS)
    return {
        "publicKey": address,
        "action": ticket.side,
        "mint": ticket.mint,
        "amount": _number(amount),
        "denominatedInSol": "true" if is_buy else "false",
        "slippage": _number(Decimal(ticket.slippage_bps) / 100),
        "priorityFee": _number(lamports_to_sol(priority)),
        "pool": pool,
    }


def _number(value: Decimal) -> float:
    """As a JSON number; all amounts have at most 15 digits, which a double keeps."""
    return float(value)


def _tip(bounds: Bounds, ticket: Ticket) -> Any:
    """A tip to one of Jito's accounts, spread over them by the order's number."""
    to = sorted(on_chain.JITO_TIPS, key=str)[ticket.order_id % len(on_chain.JITO_TIPS)]
    return transfer(TransferParams(from_pubkey=bounds.wallet, to_pubkey=to, lamports=bounds.tip))


def _details(signed: _Signed) -> dict[str, Any]:
    return {
        "transaction": base64.b64encode(signed.raw).decode("ascii"),
        "last_valid_height": signed.recent.last_valid_height,
        "slot": signed.recent.slot,
        "fee_account": signed.fee_account,
    }


def _is_busy(reply: Reply) -> bool:
    return reply.status == 429 or reply.status >= 500


def _refusal(reply: Reply) -> VenueRefusedError:
    if _is_busy(reply):
        return VenueRefusedError("VENUE_BUSY", f"PumpPortal says {reply.status}; nothing was sent")
    reason = reply.body[:LONGEST_REASON].decode("utf-8", "replace").replace("\0", "")
    return VenueRefusedError("VENUE_REFUSED", f"PumpPortal says {reply.status}: {reason}")


def _fee_of(answer: Mapping[str, Any]) -> int:
    fee = answer["meta"].get("fee")
    if not isinstance(fee, int) or fee < 0:
        raise RpcError(Kind.UNKNOWN, "RPC_GARBAGE", "the failed transaction has no fee")
    return fee
