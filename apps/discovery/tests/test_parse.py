"""Frames to messages: exact, complete, and never an exception."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.discovery.pumpportal.messages import USDC_MINT, Control, Create, Migrate, Parsed, Trade
from apps.discovery.pumpportal.parse import created_mint, parse
from apps.discovery.tests.frames import create, text_of

MINT = "M" * 40 + "pump"
BUY: dict[str, object] = {
    "signature": "5" * 88,
    "mint": MINT,
    "traderPublicKey": "T" * 40,
    "txType": "buy",
    "tokenAmount": Decimal("34612903.225806"),
    "solAmount": 1,
    "newTokenBalance": 1,
    "bondingCurveKey": "B" * 40,
    "vTokensInBondingCurve": Decimal("1038387096.774194"),
    "vSolInBondingCurve": 31,
    "marketCapSol": Decimal("29.853991"),
    "pool": "pump",
}


def frames(recordings: Path) -> list[str]:
    lines = (recordings / "frames_2026-07-03.jsonl").read_text().splitlines()
    return [json.loads(line)["raw"] for line in lines]


def traded(**changes: object) -> Parsed:
    return parse(text_of({name: value for name, value in {**BUY, **changes}.items() if value is not None}))


def test_buy_becomes_exact_integers() -> None:
    trade = traded().message
    assert isinstance(trade, Trade)
    assert (trade.sol_lamports, trade.token_base_units) == (1_000_000_000, 34_612_903_225_806)
    assert (trade.virtual_sol, trade.virtual_token) == (31_000_000_000, 1_038_387_096_774_194)
    assert trade.price_sol == 31_000_000_000 / 1_038_387_096_774_194 * 1e-3
    assert trade.is_buy and trade.is_standard


@pytest.mark.parametrize(
    ("changes", "kind", "usable"),
    [
        ({"signature": None}, "no_signature", True),
        ({"signature": "x" * 200}, "no_signature", True),
        ({"traderPublicKey": None}, "no_trader", True),
        ({"traderPublicKey": "with space" * 4}, "no_trader", True),
        ({"tokenAmount": Decimal("25765429.120095998")}, "float_artefact", True),
        ({"pool": "moon"}, "unknown_pool", True),
        ({"pool": None}, "unknown_pool", True),
        ({"pool": "bonk"}, "bonk", True),
        ({"vSolInBondingCurve": 33}, "identity_mismatch", True),
        ({"vSolInBondingCurve": None}, "no_reserves", True),
        ({"name": 5}, "wrong_type", True),
        ({"solAmount": None}, "bad_amount", False),
        ({"solAmount": -1}, "bad_amount", False),
        ({"solAmount": Decimal("1e30")}, "bad_amount", False),
        ({"tokenAmount": "lots"}, "bad_amount", False),
        ({"mint": None}, "bad_mint", False),
        ({"mint": "short"}, "bad_mint", False),
        ({"mint": "0" * 44}, "bad_mint", False),
        ({"txType": "burn"}, "unknown_type", False),
    ],
)
def test_odd_trade_is_named_and_kept_where_it_can_be(changes: dict[str, object], kind: str, usable: bool) -> None:
    parsed = traded(**changes)
    assert kind in parsed.oddities
    assert (parsed.message is not None) is usable


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"name": ""}, "missing_name"),
        ({"name": "   "}, "missing_name"),
        ({"symbol": None}, "missing_symbol"),
        ({"uri": ""}, "missing_uri"),
        ({"name": "x" * 33}, "overlong_name"),
        ({"name": "ü" * 17}, "overlong_name"),
        ({"symbol": "x" * 14}, "overlong_symbol"),
        ({"uri": "x" * 201}, "overlong_uri"),
        ({"name": "tail "}, "untrimmed_name"),
        ({"name": "a\x00b"}, "nul_character"),
        ({"is_mayhem_mode": True}, "mayhem"),
        ({"mint": USDC_MINT}, "quote_mint_create"),
        ({"solAmount": -1}, "bad_amount"),
    ],
)
def test_odd_create_is_named_and_kept(changes: dict[str, object], kind: str) -> None:
    text = create(**{"mint": MINT, **changes})  # type: ignore[arg-type]
    parsed = parse(text)
    assert kind in parsed.oddities
    assert isinstance(parsed.message, Create)
    assert created_mint(text) == parsed.message.mint
    assert "\x00" not in parsed.message.name


def test_lone_surrogate_and_wrong_types_lose_nothing_else() -> None:
    text = create(MINT).replace(f'"Coin {MINT[:4]}"', '"a\\ud800b"').replace('"is_mayhem_mode": false', '"x": 1')
    message = parse(text).message
    assert isinstance(message, Create)
    assert message.name == "a?b" and message.virtual_sol == 30_000_000_000


def test_nonstandard_coins_have_no_reserves_of_the_curve() -> None:
    bonk = traded(pool="bonk").message
    assert isinstance(bonk, Trade)
    assert bonk.virtual_sol is None and not bonk.is_standard
    assert bonk.price_sol == pytest.approx(29.853991e-9)


def test_trade_on_a_pool_is_priced_by_the_pool() -> None:
    pool = traded(
        pool="pump-amm",
        vSolInBondingCurve=None,
        vTokensInBondingCurve=None,
        marketCapSol=None,
        solInPool=100,
        tokensInPool=200_000_000,
    )
    assert pool.oddities == ()
    assert isinstance(pool.message, Trade) and pool.message.price_sol == pytest.approx(5e-7)


@pytest.mark.parametrize("text", ["", "x", "[]", "1", "null", "{}", '{"errors":"x"}', "[" * 100_000, "\x00", '"a"'])
def test_what_is_no_frame_is_named(text: str) -> None:
    parsed = parse(text)
    assert parsed.message is None
    assert parsed.oddities[0] in ("not_json", "unknown_frame")


def test_refusal_of_trades_is_understood() -> None:
    refusal = (
        "'subscribeTokenTrade' and 'subscribeAccountTrade' methods are only available when connecting with an API key"
    )
    message = parse(json.dumps({"message": refusal + " funded with at least 0.02 SOL."})).message
    assert isinstance(message, Control) and message.refuses_trades


@given(st.text(max_size=300))
@example('{"txType":"buy","mint":"' + MINT + '","solAmount":1e999999999,"tokenAmount":1}')
@example('{"txType":"buy","mint":"' + MINT + '","solAmount":"NaN","tokenAmount":"Infinity"}')
@example('{"txType":"create","mint":"' + MINT + '","marketCapSol":"sNaN"}')
@example('{"solAmount":' + "9" * 5_000 + "}")
def test_parser_never_raises_on_any_text(text: str) -> None:
    assert isinstance(parse(text), Parsed)
    created_mint(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_keys = st.sampled_from([*BUY, "initialBuy", "name", "symbol", "uri", "is_mayhem_mode", "message", "solInPool"])


@given(st.dictionaries(_keys, _values, max_size=14), st.sampled_from(["buy", "sell", "create", "migrate", None]))
def test_parser_never_raises_on_any_json_of_the_known_keys(fields: dict[str, object], kind: str | None) -> None:
    for mint in (fields.get("mint"), MINT):
        text = json.dumps({**fields, "mint": mint, **({"txType": kind} if kind else {})})
        parsed = parse(text)
        assert created_mint(text) == (parsed.message.mint if isinstance(parsed.message, Create) else None)
        if isinstance(parsed.message, Trade):
            assert 0 <= parsed.message.sol_lamports < 2**63 and parsed.message.price_sol > 0


@given(st.integers(0, 9 * 10**18), st.integers(1, 9 * 10**18))
def test_integers_survive_the_text_unchanged(lamports: int, base_units: int) -> None:
    sol, tokens = f"{lamports // 10**9}.{lamports % 10**9:09d}", f"{base_units // 10**6}.{base_units % 10**6:06d}"
    text = '{"txType":"sell","mint":"%s","solAmount":%s,"tokenAmount":%s,"pool":"x","marketCapSol":30}'
    message = parse(text % (MINT, sol, tokens)).message
    assert isinstance(message, Trade)
    assert (message.sol_lamports, message.token_base_units) == (lamports, base_units)


def test_every_recorded_frame_is_understood(recordings: Path) -> None:
    parsed = [parse(raw) for raw in frames(recordings)]
    kinds = Counter(type(one.message) for one in parsed)
    assert kinds == {Create: 198, Migrate: 7, Control: 3}
    oddities = Counter(kind for one in parsed for kind in one.oddities)
    raw = [json.loads(text, parse_float=Decimal) for text in frames(recordings)]
    creates = [frame for frame in raw if frame.get("txType") == "create"]
    assert oddities["quote_mint_create"] == sum(frame["mint"] == USDC_MINT for frame in creates)
    assert oddities["mayhem"] == sum(bool(frame.get("is_mayhem_mode")) for frame in creates) == 36
    assert oddities["bonk"] == 1
    for name in ("name", "symbol", "uri"):
        assert oddities[f"missing_{name}"] == sum(not str(frame.get(name, "")).strip() for frame in creates)
    assert set(oddities) == {
        *("float_artefact", "mayhem", "quote_mint_create", "bonk"),
        *("missing_name", "missing_symbol", "missing_uri", "untrimmed_name", "untrimmed_symbol"),
    }


def test_every_decoded_trade_is_exact(recordings: Path) -> None:
    lines = (recordings / "trades_decoded_2026-07-04.jsonl").read_text().splitlines()
    for line in lines:
        trade, source = parse(line).message, json.loads(line, parse_float=Decimal)
        assert isinstance(trade, Trade)
        assert trade.sol_lamports == Decimal(source["solAmount"]) * 10**9
        assert trade.token_base_units == Decimal(source["tokenAmount"]) * 10**6
        assert trade.virtual_sol == Decimal(source["vSolInBondingCurve"]) * 10**9
        assert trade.virtual_token == Decimal(source["vTokensInBondingCurve"]) * 10**6
