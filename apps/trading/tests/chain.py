"""A small chain in memory.

LiteSVM executes what it can: signatures' fees, transfers, token accounts. The pump program is not to be had: its buy
and sell are done here, by the curve's formulas, on the accounts that LiteSVM keeps. Blocks come when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.token.state import Mint
from solders.transaction import VersionedTransaction

from apps.discovery import curve
from apps.discovery.curve import Fees, Quote, Reserves
from apps.trading.venues import programs

FEES = Fees(95, 30)
PROTOCOL, CREATOR, VENUE, POOL = (Keypair.from_seed(bytes([n] * 32)).pubkey() for n in (1, 2, 3, 4))
TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
RENT = 2_039_280
FINAL_AFTER = 32
GOOD_FOR = 150


@dataclass
class Landed:
    """A transaction in a block."""

    raw: bytes
    slot: int
    meta: dict[str, Any]


@dataclass
class Chain:
    """The state: accounts in LiteSVM, curves of the coins, blocks."""

    svm: LiteSVM = field(default_factory=LiteSVM)
    coins: dict[Pubkey, Reserves] = field(default_factory=dict)
    slot: int = 1_000
    landed: dict[str, Landed] = field(default_factory=dict)
    waiting: dict[str, bytes] = field(default_factory=dict)
    blockhashes: dict[str, int] = field(default_factory=dict)
    tables: dict[Pubkey, list[Pubkey]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    takes: bool = True
    lands: bool = True
    first_slot: int = 0
    mischief: Callable[[dict[Pubkey, Account]], None] | None = None

    def __post_init__(self) -> None:
        self.svm.with_sigverify(False)
        self.svm.with_blockhash_check(False)
        for key in (PROTOCOL, CREATOR, VENUE, POOL, *programs.JITO_TIPS):
            self.svm.airdrop(key, 10**9)

    def fund(self, wallet: Pubkey, lamports: int) -> None:
        self.svm.set_account(wallet, Account(lamports, b"", programs.SYSTEM))

    def coin(self, mint: Pubkey, reserves: Reserves) -> None:
        """A coin whose curve stands at `reserves`."""
        self.coins[mint] = reserves
        self.svm.set_account(mint, Account(1_461_600, bytes(Mint(None, curve.SUPPLY, 6, True, None)), programs.TOKEN))
        lamports = 10**9 + reserves.virtual_sol
        self.svm.set_account(programs.bonding_curve(mint), Account(lamports, b"", programs.PUMP))

    def table(self, key: Pubkey, addresses: list[Pubkey]) -> AddressLookupTableAccount:
        """An address table that transactions may refer to."""
        self.tables[key] = addresses
        head = (1).to_bytes(4, "little") + b"\xff" * 8 + bytes(8 + 1) + b"\0" + bytes(34)
        self.svm.set_account(key, Account(10**7, head + b"".join(map(bytes, addresses)), TABLES))
        return AddressLookupTableAccount(key, addresses)

    def forget(self, key: Pubkey) -> None:
        """An account that was never there."""
        self.svm.set_account(key, Account(0, b"", programs.SYSTEM))

    def hold(self, wallet: Pubkey, mint: Pubkey, base_units: int) -> Pubkey:
        """Give a wallet some of another coin; its token account."""
        self.coin(mint, curve.INITIAL)
        data = bytes(mint) + bytes(wallet) + base_units.to_bytes(8, "little") + bytes(36) + b"\x01" + bytes(56)
        key = programs.token_accounts(wallet, mint)[0]
        self.svm.set_account(key, Account(2_039_280, data, programs.TOKEN))
        return key

    def harm(self, effect: str, wallet: Pubkey, own: Pubkey, other: Pubkey, accounts: dict[Pubkey, Account]) -> None:
        """What a program could do beside what it was called for."""
        match effect:
            case "more out":
                accounts[wallet] = _with(accounts[wallet], lamports=accounts[wallet].lamports - 10**9)
            case "less in":
                accounts[own] = _with(accounts[own], data=_amount(bytes(accounts[own].data), 1))
            case "approval":
                data = bytes(accounts[own].data)
                accounts[own] = _with(accounts[own], data=data[:72] + b"\x01\0\0\0" + bytes(PROTOCOL) + data[108:])
            case "other token":
                account = self.svm.get_account(other)
                accounts[other] = _with(account, data=_amount(bytes(account.data), 0))

    def lamports(self, key: Pubkey) -> int:
        return int(self.svm.get_balance(key) or 0)

    def tokens(self, wallet: Pubkey, mint: Pubkey) -> int:
        account = self.svm.get_account(programs.token_accounts(wallet, mint)[0])
        return amount_of(bytes(account.data)) if account is not None else 0

    # --- Blocks ---------------------------------------------------------------------------------------

    def blockhash(self) -> tuple[str, int]:
        text = str(Hash(self.slot.to_bytes(32, "big")))
        self.blockhashes[text] = self.slot + GOOD_FOR
        return text, self.slot + GOOD_FOR

    def tick(self, slots: int = 1) -> None:
        """Blocks go by; what was sent lands in the first of them, or dies with its blockhash."""
        self.slot += 1
        if self.lands:
            for signature, raw in list(self.waiting.items()):
                self._land(signature, raw)
        self.slot += slots - 1

    def reorganise(self) -> None:
        """The newest block is taken back: its transactions wait again, as they were."""
        for signature, landed in list(self.landed.items()):
            if landed.slot == self.slot:
                for key, account in landed.meta.pop("undo"):
                    self.svm.set_account(key, account)
                self.waiting[signature] = landed.raw
                del self.landed[signature]

    def take(self, raw: bytes) -> str:
        """What sendTransaction does: the same bytes twice are one transaction."""
        transaction = VersionedTransaction.from_bytes(raw)
        assert all(transaction.verify_with_results()), "a wrong signature was sent"
        signature = str(transaction.signatures[0])
        self.sent.append(signature)
        if signature not in self.landed and self.takes:
            self.waiting[signature] = raw
        return signature

    def _land(self, signature: str, raw: bytes) -> None:
        message = VersionedTransaction.from_bytes(raw).message
        del self.waiting[signature]
        if self.slot > self.blockhashes.get(str(message.recent_blockhash), 0):
            return
        loaded = self.loaded(message)
        keys = [*message.account_keys, *loaded["writable"], *loaded["readonly"]]
        before = {key: self.svm.get_account(key) for key in keys}
        error, after, fee = self.run(message)
        if error is not None:
            after = {keys[0]: _with(before[keys[0]], lamports=before[keys[0]].lamports - fee)}
        for key, account in after.items():
            self.svm.set_account(key, account)
        if error is None:
            self._trade(message, {}, commit=True)
        ends = {key: after.get(key, before[key]) for key in keys}
        meta = _meta(keys, before, ends, error, fee)
        meta["loadedAddresses"] = {name: [str(key) for key in found] for name, found in loaded.items()}
        meta["undo"] = [(key, account or Account(0, b"", programs.SYSTEM)) for key, account in before.items()]
        self.landed[signature] = Landed(raw, self.slot, meta)

    def loaded(self, message: Any) -> dict[str, list[Pubkey]]:
        """The accounts that a message takes from address tables."""
        found: dict[str, list[Pubkey]] = {"writable": [], "readonly": []}
        for one in message.address_table_lookups:
            found["writable"] += [self.tables[one.account_key][at] for at in one.writable_indexes]
            found["readonly"] += [self.tables[one.account_key][at] for at in one.readonly_indexes]
        return found

    def instructions(self, message: Any) -> list[Instruction]:
        """The instructions of a message, with their accounts."""
        loaded = self.loaded(message)
        keys = [*message.account_keys, *loaded["writable"], *loaded["readonly"]]
        return [
            Instruction(
                keys[one.program_id_index],
                bytes(one.data),
                [AccountMeta(keys[at], at == 0, message.is_maybe_writable(at)) for at in one.accounts],
            )
            for one in message.instructions
        ]

    # --- Execution ------------------------------------------------------------------------------------

    def run(self, message: Any) -> tuple[object, dict[Pubkey, Account], int]:
        """Error, accounts afterwards and fee of a message, without doing it."""
        known = [one for one in self.instructions(message) if one.program_id not in (programs.PUMP, programs.PUMP_AMM)]
        rest = MessageV0.try_compile(message.account_keys[0], known, [], self.svm.latest_blockhash())
        result = self.svm.simulate_transaction(VersionedTransaction.populate(rest, [Signature.default()]))
        fee = 5_000 + priority_of(known)
        if not hasattr(result, "post_accounts"):
            return str(result.err()), {}, fee
        accounts = dict(result.post_accounts())
        error = self._trade(message, accounts, commit=False)
        if self.mischief and error is None:
            self.mischief(accounts)
        return error, accounts, fee

    def _trade(self, message: Any, accounts: dict[Pubkey, Account], *, commit: bool) -> object:
        """Do the pump instruction on `accounts`; the program's error. `commit` moves the curve."""
        for number, one in enumerate(self.instructions(message)):
            data = bytes(one.data)
            form = programs.TRADES.get(one.program_id, {}).get(data[:8])
            if form is None:
                continue
            mint = next(meta.pubkey for meta in one.accounts if meta.pubkey in self.coins)
            first, limit = int.from_bytes(data[8:16], "little"), int.from_bytes(data[16:24], "little")
            side, reserves = form.side, self.coins[mint]
            if one.program_id == programs.PUMP and curve.is_complete(reserves):
                return {"InstructionError": [number, {"Custom": 6005}]}
            if side == "sell":
                quote = sold(reserves, first)
                bad = 6003 if quote.total_lamports < limit else 0
            elif form.exact == "quote":
                quote = curve.buy_exact_in(reserves, first, FEES)
                bad = 6002 if quote.token_base_units < limit else 0
            else:
                quote = curve.buy_exact_out(reserves, first, FEES)
                bad = 6002 if quote.total_lamports > limit else 0
            if bad:
                return {"InstructionError": [number, {"Custom": bad}]}
            if commit:
                self.coins[mint] = quote.after
            else:
                self._move(message.account_keys[0], mint, quote, side, accounts)
        return None

    def _move(self, wallet: Pubkey, mint: Pubkey, quote: Any, side: str, accounts: dict[Pubkey, Account]) -> None:
        sign = 1 if side == "buy" else -1
        own = programs.token_accounts(wallet, mint)[0]
        moved = {
            wallet: -sign * quote.total_lamports,
            programs.bonding_curve(mint): sign * quote.net_lamports,
            PROTOCOL: quote.protocol_fee,
            CREATOR: quote.creator_fee,
        }
        for key, lamports in moved.items():
            account = accounts.get(key) or self.svm.get_account(key)
            accounts[key] = _with(account, lamports=account.lamports + lamports)
        token = accounts.get(own) or self.svm.get_account(own)
        amount = amount_of(bytes(token.data)) + sign * quote.token_base_units
        accounts[own] = _with(
            token, data=bytes(token.data[:64]) + amount.to_bytes(8, "little") + bytes(token.data[72:])
        )


def sold(reserves: Reserves, base_units: int) -> Quote:
    """A sale at the curve, or at the pool, which opens where the curve ends."""
    if not curve.is_complete(reserves):
        return curve.sell(reserves, base_units, FEES)
    gross = base_units * reserves.virtual_sol // (reserves.virtual_token + base_units)
    protocol, creator = curve.fee(gross, FEES.protocol_bps), curve.fee(gross, FEES.creator_bps)
    return Quote(gross, protocol, creator, base_units, gross - protocol - creator, reserves)


def priority_of(known: Sequence[Instruction]) -> int:
    units = price = 0
    for one in known:
        data = bytes(one.data)
        if one.program_id == programs.COMPUTE_BUDGET:
            units = int.from_bytes(data[1:5], "little") if data[0] == 2 else units
            price = int.from_bytes(data[1:9], "little") if data[0] == 3 else price
    return -(-units * price // 1_000_000)


def amount_of(data: bytes) -> int:
    return int.from_bytes(data[64:72], "little")


def _amount(data: bytes, base_units: int) -> bytes:
    return data[:64] + base_units.to_bytes(8, "little") + data[72:]


def _with(account: Account, *, lamports: int | None = None, data: bytes | None = None) -> Account:
    kept = account.lamports if lamports is None else lamports
    return Account(kept, bytes(account.data) if data is None else data, account.owner)


def _meta(keys: list[Pubkey], before: Any, after: Any, error: object, fee: int) -> dict[str, Any]:
    def tokens(accounts: Any) -> list[dict[str, Any]]:
        rows = []
        for at, key in enumerate(keys):
            account = accounts[key]
            if account is not None and account.owner == programs.TOKEN and len(account.data) >= 165:
                data = bytes(account.data)
                row = {"accountIndex": at, "mint": str(Pubkey(data[:32])), "owner": str(Pubkey(data[32:64]))}
                rows.append({**row, "uiTokenAmount": {"amount": str(amount_of(data)), "decimals": 6}})
        return rows

    return {
        "err": error,
        "fee": fee,
        "preBalances": [before[key].lamports if before[key] else 0 for key in keys],
        "postBalances": [after[key].lamports if after[key] else 0 for key in keys],
        "preTokenBalances": tokens(before),
        "postTokenBalances": tokens(after),
    }
