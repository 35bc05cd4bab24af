"""The client of Solana nodes: several addresses, patience, errors by what may be done next."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from apps.trading.tests.chain_servers import Server, open_chain, rpc_error, says, silence, taken_in_silence
from apps.trading.venues.rpc import Kind, Rpc, RpcError

KEY = Keypair.from_seed(bytes([5] * 32))
OTHER = Keypair.from_seed(bytes([6] * 32)).pubkey()
NOWHERE = "http://127.0.0.1:1/secret-token"


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Server, Server]]:
    with open_chain() as first, open_chain() as second:
        yield first, second


@pytest.fixture
def pair(nodes: tuple[Server, Server]) -> Iterator[tuple[Rpc, Server, Server, Clock]]:
    clock = Clock()
    for server, lamports in zip(nodes, (111, 222), strict=True):
        server.script.clear(), server.calls.clear(), server.chain.sent.clear(), server.chain.waiting.clear()
        server.chain.fund(OTHER, lamports)
        server.chain.fund(KEY.pubkey(), 10**9)
    rpc = Rpc([server.url("/rpc") for server in nodes], timeout_seconds=2.0, clock=clock)
    yield rpc, *nodes, clock
    rpc.close()


def signed(server: Server) -> bytes:
    blockhash, _ = server.chain.blockhash()
    one = transfer(TransferParams(from_pubkey=KEY.pubkey(), to_pubkey=OTHER, lamports=5_000))
    return bytes(
        VersionedTransaction(MessageV0.try_compile(KEY.pubkey(), [one], [], Hash.from_string(blockhash)), [KEY])
    )


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (silence, Kind.UNKNOWN, "RPC_NO_ANSWER"),
        (says(502, b"bad gateway"), Kind.UNKNOWN, "RPC_NO_ANSWER"),
        (says(429, b""), Kind.RETRYABLE, "RPC_BUSY"),
        (says(200, b"<html>"), Kind.UNKNOWN, "RPC_GARBAGE"),
        (says(200, b'{"jsonrpc":"2.0","id":null}'), Kind.UNKNOWN, "RPC_GARBAGE"),
        (says(200, b'{"jsonrpc":"2.0","id":999999,"result":{"value":1}}'), Kind.UNKNOWN, "RPC_GARBAGE"),
        (says(200, b'{"jsonrpc":"2.0","id":null,"result":{"value":"much"}}'), Kind.UNKNOWN, "RPC_GARBAGE"),
        (says(200, b"[" * 100_000), Kind.UNKNOWN, "RPC_GARBAGE"),
        (says(401, b"no"), Kind.FINAL, "RPC_REFUSED"),
        (rpc_error(-32602), Kind.FINAL, "RPC_REFUSED"),
        (rpc_error(-32005), Kind.RETRYABLE, "RPC_BEHIND"),
        (rpc_error(-32603), Kind.UNKNOWN, "RPC_FAILED"),
    ],
)
def test_an_error_says_what_may_be_done_next(pair: Any, answer: Any, kind: Kind, code: str) -> None:
    rpc, first, second, _ = pair
    for server in (first, second):
        server.next("getBalance", answer)
    with pytest.raises(RpcError) as error:
        rpc.lamports(str(OTHER))
    assert (error.value.kind, error.value.code) == (kind, code)


def test_no_error_and_no_text_names_the_address_of_a_node() -> None:
    rpc = Rpc([NOWHERE])
    with pytest.raises(RpcError) as error:
        rpc.lamports(str(OTHER))
    rpc.close()
    assert error.value.kind is Kind.RETRYABLE
    assert "secret-token" not in f"{error.value} {error.value!r} {rpc!r} {error.value.__cause__}"


def test_the_second_address_answers_where_the_first_does_not(pair: Any) -> None:
    rpc, first, _, _ = pair
    assert rpc.lamports(str(OTHER)) == 111
    first.next("getBalance", silence)
    assert rpc.lamports(str(OTHER)) == 222


def test_an_address_that_asks_for_patience_is_left_alone_as_long(pair: Any) -> None:
    rpc, first, _, clock = pair
    first.next("getBalance", says(429, b"", Retry_After="30"))
    assert [rpc.lamports(str(OTHER)) for _ in range(2)] == [222, 222]
    assert first.calls == ["getBalance"]
    clock.now = 31.0
    assert rpc.lamports(str(OTHER)) == 111


def test_a_transaction_is_given_to_every_address(pair: Any) -> None:
    rpc, first, second, _ = pair
    signature = rpc.send(signed(first))
    assert first.chain.sent == second.chain.sent == [signature]


@pytest.mark.parametrize("yes, sent", [(1, (1, 0)), (0, (0, 0))])
def test_once_it_may_not_be_sent_any_more_no_further_address_gets_it(
    pair: Any, yes: int, sent: tuple[int, int]
) -> None:
    rpc, first, second, _ = pair
    answers = iter([True] * yes + [False])
    with nullcontext() if yes else pytest.raises(RpcError, match="may not be sent"):
        rpc.send(signed(first), may_send=lambda: next(answers))
    assert (len(first.chain.sent), len(second.chain.sent)) == sent


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        (taken_in_silence, says(429, b""), Kind.UNKNOWN),
        (says(429, b""), rpc_error(-32002), Kind.FINAL),
        (says(429, b""), rpc_error(-32005), Kind.RETRYABLE),
    ],
)
def test_a_sending_is_only_harmless_where_no_address_can_have_taken_it(
    pair: Any, one: Any, two: Any, kind: Kind
) -> None:
    rpc, first, second, _ = pair
    first.next("sendTransaction", one), second.next("sendTransaction", two)
    with pytest.raises(RpcError) as error:
        rpc.send(signed(first))
    assert error.value.kind is kind


def test_what_a_node_knows_is_read(pair: Any) -> None:
    rpc, first, _, _ = pair
    recent = rpc.blockhash()
    assert recent.last_valid_height > rpc.height("confirmed").height > rpc.height().height
    mint = OTHER
    first.chain.hold(KEY.pubkey(), mint, 77)
    (held,) = rpc.token_accounts(str(KEY.pubkey()), str(mint))
    assert (held.amount, held.mint, held.lamports) == (77, str(mint), rpc.rent(165))
    assert rpc.accounts([str(Keypair.from_seed(bytes([8] * 32)).pubkey())]) == [None]


def test_a_transfer_is_simulated_sent_and_followed(pair: Any) -> None:
    rpc, first, _, _ = pair
    first.chain.fund(OTHER, 10**9)
    raw = signed(first)
    simulation = rpc.simulate(raw, [str(OTHER)])
    assert simulation.error is None and simulation.accounts[0] is not None
    assert simulation.accounts[0].lamports == 10**9 + 5_000 and first.chain.lamports(OTHER) == 10**9
    signature = rpc.send(raw)
    assert rpc.status(signature).commitment is None
    first.chain.tick(2)
    assert rpc.status(signature).commitment == "confirmed"
    found = rpc.transaction(signature)
    assert found is not None and base64.b64decode(found["transaction"][0]) == raw
    assert first.chain.lamports(OTHER) == 10**9 + 5_000
    assert rpc.transaction(signature, "finalized") is None
