"""The Solana node: what the platform asks of it, over JSON-RPC, at one or several addresses.

Reading asks one address after the other until one answers. Sending gives the same signed bytes to every address: the
same signature lands once. Errors are of three kinds, which say what may be done next:

- RETRYABLE: nothing happened (no connection, 429, a node that is behind): the same call may be made again.
- FINAL: the node understood and refuses (bad parameters, a transaction that fails in its simulation).
- UNKNOWN: it may have happened (no answer, garbage): find out by the signature, never by sending something new.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import httpx2

from apps.trading.venues import wire
from apps.trading.venues.accounts import Account
from apps.trading.venues.wire import Reply, WireError

Commitment = Literal["processed", "confirmed", "finalized"]
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022_PROGRAM = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
STOPPED = "SENDING_STOPPED"  # the code of what may not be sent any more
MOST_ACCOUNTS = 100  # of one getMultipleAccounts
BUSY_SECONDS = 1.0  # an address that says 429 without saying for how long
_BUSY = frozenset({429, 502, 503, 504})
# https://github.com/anza-xyz/agave: rpc-client-api/src/custom_error.rs
_BEHIND = frozenset({-32004, -32005, -32007, -32009, -32014, -32016, -32429})


class Kind(StrEnum):
    """What an error means for the caller."""

    RETRYABLE = "RETRYABLE"
    FINAL = "FINAL"
    UNKNOWN = "UNKNOWN"


class RpcError(Exception):
    """A call that gave no result. `code` is stable; `number` is the node's own, where it gave one."""

    def __init__(
        self, kind: Kind, code: str, message: str, *, number: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind, self.code, self.number, self.retry_after = kind, code, number, retry_after


@dataclass(frozen=True, slots=True)
class Blockhash:
    """A recent blockhash and the last block height at which a transaction with it can land."""

    blockhash: str
    last_valid_height: int
    slot: int


@dataclass(frozen=True, slots=True)
class Height:
    """How far the chain is: slot and block height of one moment."""

    slot: int
    height: int


@dataclass(frozen=True, slots=True)
class Status:
    """Where a signature stands as seen from `slot`; `commitment` None: it is in no block that the node knows."""

    slot: int
    commitment: Commitment | None
    error: object = None


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """A token account of a wallet; `amount` in base units, `lamports` its rent."""

    address: str
    mint: str
    amount: int
    program: str
    lamports: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do: its error, its logs, the accounts asked for as they would be (None: gone)."""

    error: object
    logs: list[str]
    accounts: list[Account | None]
    slot: int


@dataclass
class _Address:
    url: str
    rests_until: float = 0.0


@dataclass
class Rpc:
    """Calls to the nodes at `urls`. Thread-safe as far as its HTTP client is; close it after use."""

    urls: Sequence[str]
    timeout_seconds: float = 10.0
    clock: Callable[[], float] = time.monotonic
    _http: httpx2.Client = field(init=False, repr=False)
    _addresses: list[_Address] = field(init=False, repr=False)
    _ids: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("give at least one address of a node")
        self._http = wire.client(self.timeout_seconds)
        self._addresses = [_Address(url) for url in self.urls]
        self._ids = itertools.count(1)

    def __repr__(self) -> str:
        return f"Rpc({len(self.urls)} addresses)"  # the addresses may hold keys

    def close(self) -> None:
        self._http.close()

    def each(self) -> Iterator[Rpc]:
        """A client of every single address, one after the other: for what each of them has to say for itself."""
        for url in self.urls:
            with closing(Rpc([url], self.timeout_seconds, self.clock)) as one:
                yield one

    # --- Reading ------------------------------------------------------------------------------------------

    def blockhash(self, commitment: Commitment = "confirmed") -> Blockhash:
        """A blockhash to build a transaction with; it is good for about 150 blocks."""
        result = self._call("getLatestBlockhash", [{"commitment": commitment}])
        with _reading():
            value = result["value"]
            return Blockhash(
                str(value["blockhash"]), int(value["lastValidBlockHeight"]), int(result["context"]["slot"])
            )

    def height(self, commitment: Commitment = "finalized") -> Height:
        """Slot and block height of the newest block of that commitment."""
        result = self._call("getEpochInfo", [{"commitment": commitment}])
        with _reading():
            return Height(int(result["absoluteSlot"]), int(result["blockHeight"]))

    def first_slot(self) -> int:
        """The oldest block that the node still has."""
        with _reading():
            return int(self._call("getFirstAvailableBlock", []))

    def statuses(self, signatures: Sequence[str]) -> list[Status]:
        """Where up to 256 signatures stand, searched with history."""
        result = self._call("getSignatureStatuses", [list(signatures), {"searchTransactionHistory": True}])
        with _reading():
            slot, rows = int(result["context"]["slot"]), result["value"]
            if len(rows) != len(signatures):
                raise ValueError("another number of statuses than asked for")
            return [_status(slot, row) for row in rows]

    def status(self, signature: str) -> Status:
        """Where a signature stands, searched with history."""
        return self.statuses([signature])[0]

    def transaction(self, signature: str, commitment: Commitment = "confirmed") -> dict[str, Any] | None:
        """A transaction with its meta (balances before and after), as the node gives it; None: not in a block."""
        options = {"commitment": commitment, "encoding": "base64", "maxSupportedTransactionVersion": 0}
        result = self._call("getTransaction", [signature, options])
        if result is not None and not (isinstance(result, dict) and isinstance(result.get("meta"), dict)):
            raise RpcError(Kind.UNKNOWN, "RPC_GARBAGE", "the node's transaction has no meta")
        return result

    def lamports(self, address: str, commitment: Commitment = "confirmed") -> int:
        """The balance of an address; 0 where there is no account."""
        with _reading():
            return int(self._call("getBalance", [address, {"commitment": commitment}])["value"])

    def accounts(self, addresses: Sequence[str], commitment: Commitment = "confirmed") -> list[Account | None]:
        """Accounts in the order asked for; None where there is none."""
        found: list[Account | None] = []
        for start in range(0, len(addresses), MOST_ACCOUNTS):
            part = list(addresses[start : start + MOST_ACCOUNTS])
            result = self._call("getMultipleAccounts", [part, {"commitment": commitment, "encoding": "base64"}])
            with _reading():
                rows = [_account(row) for row in result["value"]]
                if len(rows) != len(part):
                    raise ValueError("another number of accounts than asked for")
            found += rows
        return found

    def token_accounts(
        self, owner: str, mint: str | None = None, commitment: Commitment = "confirmed"
    ) -> list[TokenAccount]:
        """What a wallet holds of one token, or of all (both token programs)."""
        wanted = [{"mint": mint}] if mint else [{"programId": TOKEN_PROGRAM}, {"programId": TOKEN_2022_PROGRAM}]
        options = {"commitment": commitment, "encoding": "jsonParsed"}
        found = []
        for which in wanted:
            result = self._call("getTokenAccountsByOwner", [owner, which, options])
            with _reading():
                found += [_token_account(row) for row in result["value"]]
        return found

    def rent(self, size: int) -> int:
        """Lamports that an account of so many bytes must hold."""
        with _reading():
            return int(self._call("getMinimumBalanceForRentExemption", [size]))

    def simulate(
        self, transaction: bytes, addresses: Sequence[str] = (), commitment: Commitment = "confirmed"
    ) -> Simulation:
        """What a (signed or unsigned) transaction would do now, and what it would leave in these accounts."""
        options: dict[str, Any] = {"commitment": commitment, "encoding": "base64", "sigVerify": False}
        if addresses:
            options["accounts"] = {"addresses": list(addresses), "encoding": "base64"}
        result = self._call("simulateTransaction", [_text(transaction), options])
        with _reading():
            value = result["value"]
            accounts = [_account(row) for row in value.get("accounts") or []]
            if len(accounts) != len(addresses) and value["err"] is None:
                raise ValueError("another number of accounts than asked for")
            return Simulation(value["err"], list(value.get("logs") or []), accounts, int(result["context"]["slot"]))

    # --- Sending ------------------------------------------------------------------------------------------

    def send(self, transaction: bytes, *, also: Sequence[str] = (), may_send: Callable[[], bool] = lambda: True) -> str:
        """Give signed bytes to every address (`also`: further ones, such as Jito's); the signature.

        `may_send` is asked before each; from its first no on nobody gets them any more. The nodes neither simulate nor
        repeat it: that is the caller's. Where one took it, it counts as taken. Raises RpcError: RETRYABLE or FINAL only
        where no address can have taken it (SENDING_STOPPED: none was asked), else UNKNOWN.
        """
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        addresses = [*self._addresses, *map(_Address, also)]
        taken, failed = "", []
        for address in addresses:
            if not may_send():
                failed.append(RpcError(Kind.FINAL, STOPPED, "it may not be sent any more"))
                break
            try:
                taken = str(self._ask(address, "sendTransaction", [_text(transaction), options])) or taken
            except RpcError as error:
                failed.append(error)
        if taken:
            return taken
        unknown = next((error for error in failed if error.kind is Kind.UNKNOWN), None)
        final = next((error for error in failed if error.kind is Kind.FINAL), None)
        raise unknown or final or failed[0]

    # --- The wire -----------------------------------------------------------------------------------------

    def _call(self, method: str, params: list[Any]) -> Any:
        """Ask one address after the other, those that rest last. Raises the error that says most."""
        errors: list[RpcError] = []
        for address in sorted(self._addresses, key=lambda one: max(0.0, one.rests_until - self.clock())):
            if errors and address.rests_until > self.clock():
                continue
            try:
                return self._ask(address, method, params)
            except RpcError as error:
                if error.kind is Kind.FINAL:
                    raise
                errors.append(error)
        raise errors[-1]

    def _ask(self, address: _Address, method: str, params: list[Any]) -> Any:
        number = next(self._ids)
        payload = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        try:
            reply = wire.post_json(self._http, address.url, payload, timeout_seconds=self.timeout_seconds)
        except WireError as error:
            kind = Kind.UNKNOWN if error.may_have_arrived else Kind.RETRYABLE
            raise RpcError(kind, "RPC_NO_ANSWER", f"{method}: {error}") from None
        if reply.status in _BUSY:
            rest = BUSY_SECONDS if reply.retry_after is None else reply.retry_after
            address.rests_until = self.clock() + rest
            raise _busy(method, reply, rest)
        return _result(method, reply, number)


def _busy(method: str, reply: Reply, rest: float) -> RpcError:
    """429 was refused at the door; a gateway's 5xx may have let it through."""
    if reply.status == 429:
        return RpcError(Kind.RETRYABLE, "RPC_BUSY", f"{method}: the node asks for patience", retry_after=rest)
    message = f"{method}: the node's gateway says {reply.status}"
    return RpcError(Kind.UNKNOWN, "RPC_NO_ANSWER", message, retry_after=rest)


def _result(method: str, reply: Reply, number: int) -> Any:
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or answer.get("id") not in (number, None):
        if reply.status in (401, 403, 404):
            raise RpcError(Kind.FINAL, "RPC_REFUSED", f"{method}: the node refuses with status {reply.status}")
        raise RpcError(Kind.UNKNOWN, "RPC_GARBAGE", f"{method}: the answer is no JSON-RPC (status {reply.status})")
    if answer.get("error") is not None:
        raise _error(method, answer["error"])
    if "result" not in answer:
        raise RpcError(Kind.UNKNOWN, "RPC_GARBAGE", f"{method}: the answer has no result (status {reply.status})")
    return answer["result"]


def _error(method: str, error: object) -> RpcError:
    """The node's own error: behind or busy (again later), its inside failed (unknown), else it refuses."""
    body = error if isinstance(error, dict) else {}
    number = body.get("code") if isinstance(body.get("code"), int) else None
    message = f"{method}: {str(body.get('message', ''))[:200]} ({number})"
    if number in _BEHIND:
        return RpcError(Kind.RETRYABLE, "RPC_BEHIND", message, number=number)
    if number is None or number == -32603:
        return RpcError(Kind.UNKNOWN, "RPC_FAILED", message, number=number)
    return RpcError(Kind.FINAL, "RPC_REFUSED", message, number=number)


@contextmanager
def _reading() -> Iterator[None]:
    """Answers of another shape than documented are garbage, not a crash."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise RpcError(Kind.UNKNOWN, "RPC_GARBAGE", "the node's answer has another shape than documented") from None


def _text(transaction: bytes) -> str:
    return base64.b64encode(transaction).decode("ascii")


def _status(slot: int, row: Any) -> Status:
    if row is None:
        return Status(slot, None)
    commitment = row["confirmationStatus"]
    if commitment not in ("processed", "confirmed", "finalized"):
        raise ValueError("an unknown commitment")
    return Status(slot, commitment, row["err"])


def _account(row: Any) -> Account | None:
    if row is None:
        return None
    data, encoding = row["data"]
    if encoding != "base64":
        raise ValueError("another encoding than asked for")
    return Account(int(row["lamports"]), base64.b64decode(data), str(row["owner"]))


def _token_account(row: Any) -> TokenAccount:
    account = row["account"]
    info = account["data"]["parsed"]["info"]
    return TokenAccount(
        address=str(row["pubkey"]),
        mint=str(info["mint"]),
        amount=int(info["tokenAmount"]["amount"]),
        program=str(account["owner"]),
        lamports=int(account["lamports"]),
    )
