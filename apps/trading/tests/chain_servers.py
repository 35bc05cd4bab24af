"""A Solana node and PumpPortal on loopback, as they behave and as they should not."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from apps.discovery import curve
from apps.trading.tests.chain import CREATOR, FEES, FINAL_AFTER, PROTOCOL, VENUE, Chain, amount_of, sold
from apps.trading.venues import programs

Answer = Callable[["Handler", Callable[[], Any]], None]


# --- The node's answers --------------------------------------------------------------------------------
def _told(account: Account | None) -> dict[str, Any] | None:
    if account is None or account.lamports == 0:
        return None
    data = base64.b64encode(bytes(account.data)).decode()
    return {"lamports": account.lamports, "owner": str(account.owner), "data": [data, "base64"], "executable": False}


class Node:
    """Each method is an RPC method, its name in snake case."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def _context(self, value: Any) -> dict[str, Any]:
        return {"context": {"slot": self.chain.slot}, "value": value}

    def get_latest_blockhash(self, *_: Any) -> Any:
        text, last = self.chain.blockhash()
        return self._context({"blockhash": text, "lastValidBlockHeight": last})

    def get_epoch_info(self, options: dict[str, str]) -> Any:
        slot = self.chain.slot - (FINAL_AFTER if options["commitment"] == "finalized" else 0)
        return {"absoluteSlot": slot, "blockHeight": slot}

    def get_first_available_block(self) -> int:
        return self.chain.first_slot

    def get_balance(self, key: str, *_: Any) -> Any:
        return self._context(self.chain.lamports(Pubkey.from_string(key)))

    def get_multiple_accounts(self, keys: list[str], *_: Any) -> Any:
        return self._context([_told(self.chain.svm.get_account(Pubkey.from_string(key))) for key in keys])

    def get_minimum_balance_for_rent_exemption(self, size: int) -> int:
        return int(self.chain.svm.minimum_balance_for_rent_exemption(size))

    def get_token_accounts_by_owner(self, owner: str, which: dict[str, str], *_: Any) -> Any:
        found = []
        for mint in self.chain.coins:
            key = programs.token_accounts(Pubkey.from_string(owner), mint)[0]
            account = self.chain.svm.get_account(key)
            wanted = which.get("mint") == str(mint) or which.get("programId") == str(programs.TOKEN)
            if account is not None and account.lamports and wanted:
                amount = {"amount": str(amount_of(bytes(account.data))), "decimals": 6}
                info = {"mint": str(mint), "owner": owner, "tokenAmount": amount}
                data = {"program": "spl-token", "parsed": {"info": info, "type": "account"}}
                row = {"lamports": account.lamports, "owner": str(account.owner), "data": data}
                found.append({"pubkey": str(key), "account": row})
        return self._context(found)

    def simulate_transaction(self, text: str, options: dict[str, Any]) -> Any:
        message = VersionedTransaction.from_bytes(base64.b64decode(text)).message
        error, after, _ = self.chain.run(message)
        wanted = map(Pubkey.from_string, options.get("accounts", {}).get("addresses", []))
        accounts = [_told(after.get(key) or self.chain.svm.get_account(key)) for key in wanted]
        return self._context({"err": error, "logs": [], "accounts": accounts})

    def send_transaction(self, text: str, *_: Any) -> str:
        return self.chain.take(base64.b64decode(text))

    def get_signature_statuses(self, signatures: list[str], *_: Any) -> Any:
        return self._context([self._status(signature) for signature in signatures])

    def _status(self, signature: str) -> Any:
        landed = self.chain.landed.get(signature)
        if landed is None:
            return None
        depth = self.chain.slot - landed.slot
        stage = "processed" if depth < 1 else "confirmed" if depth < FINAL_AFTER else "finalized"
        return {"slot": landed.slot, "err": landed.meta["err"], "confirmationStatus": stage}

    def get_transaction(self, signature: str, options: dict[str, Any]) -> Any:
        landed, status = self.chain.landed.get(signature), self._status(signature)
        if landed is None or (options["commitment"], status["confirmationStatus"]) in (
            ("confirmed", "processed"), ("finalized", "processed"), ("finalized", "confirmed"),
        ):  # fmt: skip
            return None
        meta = {name: value for name, value in landed.meta.items() if name != "undo"}
        return {"slot": landed.slot, "meta": meta, "transaction": [base64.b64encode(landed.raw).decode(), "base64"]}


# --- PumpPortal ----------------------------------------------------------------------------------------
@dataclass
class Portal:
    """Builds transactions. `twist` changes what it returns: payer and instructions to bytes."""

    chain: Chain
    asked: list[dict[str, Any]] = field(default_factory=list)
    form: str = "buy"
    fee_bps: int = 50
    twist: Callable[[list[Instruction], Pubkey], bytes] | None = None

    def build(self, asked: dict[str, Any]) -> bytes:
        self.asked.append(asked)
        wallet, mint = Pubkey.from_string(asked["publicKey"]), Pubkey.from_string(asked["mint"])
        made = self.instructions(asked, wallet, mint)
        return self.twist(made, wallet) if self.twist else packed(made, wallet)

    def instructions(self, asked: dict[str, Any], wallet: Pubkey, mint: Pubkey) -> list[Instruction]:
        priority = round(asked["priorityFee"] * 1e9)
        head = [set_compute_unit_limit(100_000), set_compute_unit_price(priority * 10)]
        slippage = asked["slippage"] / 100
        if asked["action"] == "buy":
            spend = round(asked["amount"] * 1e9)
            tokens = curve.buy_exact_in(self.chain.coins[mint], spend, FEES).token_base_units
            numbers = (spend, 0) if "exact" in self.form else (tokens, int(spend * (1 + slippage)))
            head.append(opening(wallet, mint))
        else:
            tokens = round(asked["amount"] * 1e6)
            spend = sold(self.chain.coins[mint], tokens).total_lamports
            numbers = (tokens, int(spend * (1 - slippage)))
        form = self.form if asked["action"] == "buy" else "sell"
        program = programs.PUMP if asked["pool"] == "pump" else programs.PUMP_AMM
        fee = transfer(TransferParams(from_pubkey=wallet, to_pubkey=VENUE, lamports=spend * self.fee_bps // 10_000))
        return [*head, trade(program, form, wallet, mint, *numbers), fee]


def opening(wallet: Pubkey, mint: Pubkey, owner: Pubkey | None = None) -> Instruction:
    """Open the associated token account where it is missing."""
    of = owner or wallet
    metas = [
        AccountMeta(wallet, True, True),
        AccountMeta(programs.token_accounts(of, mint)[0], False, True),
        AccountMeta(of, False, False),
        AccountMeta(mint, False, False),
        AccountMeta(programs.SYSTEM, False, False),
        AccountMeta(programs.TOKEN, False, False),
    ]
    return Instruction(programs.ASSOCIATED_TOKEN, b"\x01", metas)


def trade(program: Pubkey, form: str, wallet: Pubkey, mint: Pubkey, first: int, limit: int) -> Instruction:
    data = programs.discriminator(form) + first.to_bytes(8, "little") + limit.to_bytes(8, "little")
    writable = [programs.bonding_curve(mint), programs.token_accounts(wallet, mint)[0], PROTOCOL, CREATOR]
    metas = [AccountMeta(key, False, True) for key in writable]
    metas += [AccountMeta(mint, False, False), AccountMeta(programs.WRAPPED_SOL, False, False)]
    return Instruction(program, data, [*metas, AccountMeta(wallet, True, True)])


def packed(made: Sequence[Instruction], payer: Pubkey, *tables: AddressLookupTableAccount) -> bytes:
    """An unsigned transaction."""
    message = MessageV0.try_compile(payer, list(made), list(tables), Hash(bytes([7] * 32)))
    signatures = [Signature.default()] * message.header.num_required_signatures
    return bytes(VersionedTransaction.populate(message, signatures))


# --- The servers ---------------------------------------------------------------------------------------
class Server(ThreadingHTTPServer):
    """Node at /rpc, PumpPortal at /trade. `script[method]` holds how the next requests go wrong, in order."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, chain: Chain) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.chain, self.node, self.portal = chain, Node(chain), Portal(chain)
        self.script: dict[str, deque[Answer]] = {}
        self.calls: list[str] = []
        self.one_at_a_time = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def next(self, method: str, *answers: Answer) -> None:
        self.script.setdefault(method, deque()).extend(answers)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_node = not self.path.startswith("/trade")
        method = body["method"] if is_node else "trade"
        with self.server.one_at_a_time:
            self.server.calls.append(method)
            waiting = self.server.script.get(method)
            answer = waiting.popleft() if waiting else usual
            answer(self, lambda: self._result(method, body, is_node))

    def _result(self, method: str, body: dict[str, Any], is_node: bool) -> Any:
        if not is_node:
            return self.server.portal.build(body)
        result = getattr(self.server.node, re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), method))(
            *body["params"]
        )
        return {"jsonrpc": "2.0", "id": body["id"], "result": result}

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self) -> None:
        """Close without a word."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: object) -> None:
        pass


def usual(handler: Handler, result: Callable[[], Any]) -> None:
    made = result()
    handler.reply(200, made if isinstance(made, bytes) else json.dumps(made).encode())


def blocks_come(ticks: int) -> Answer:
    """The node answers after so many further blocks."""

    def answer(handler: Handler, result: Callable[[], Any]) -> None:
        handler.server.chain.tick(ticks)
        usual(handler, result)

    return answer


def taken_in_silence(handler: Handler, result: Callable[[], Any]) -> None:
    """Does it, and never says so."""
    result()
    handler.drop()


def silence(handler: Handler, result: Callable[[], Any]) -> None:
    handler.drop()


def says(status: int, body: bytes, **headers: str) -> Answer:
    return lambda handler, result: handler.reply(status, body, **headers)


def rpc_error(code: int, message: str = "no") -> Answer:
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}).encode()
    return says(200, body)


@contextmanager
def open_chain() -> Iterator[Server]:
    server = Server(Chain())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
