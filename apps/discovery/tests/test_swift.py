"""The shorter way for common trades gives what the general way gives, for every line, or leaves it alone."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.discovery import curve
from apps.discovery.lines import Block, decode_line, entry_of, frame_line
from apps.discovery.pumpportal.load import market_frames
from apps.discovery.pumpportal.messages import SOL_MINT, Parsed, Trade
from apps.discovery.pumpportal.parse import parse
from apps.discovery.pumpportal.swift import common_trades

AT_US = 1_760_000_000_000_151
FIELDS = {
    "signature": '"' + "5" * 88 + '"',
    "mint": '"' + "M" * 40 + 'pump"',
    "traderPublicKey": '"' + "T" * 44 + '"',
    "txType": '"buy"',
    "tokenAmount": "34612903.225806",
    "solAmount": "1",
    "newTokenBalance": "34612903.225806",
    "bondingCurveKey": '"' + "B" * 44 + '"',
    "vTokensInBondingCurve": "1038387096.774194",
    "vSolInBondingCurve": "31",
    "marketCapSol": "29.853991",
    "pool": '"pump"',
}


def text(**changes: str) -> str:
    """A trade's frame, its values given as JSON."""
    return "{" + ",".join(f'"{name}":{value}' for name, value in (FIELDS | changes).items()) + "}"


def oddities(is_rounded: bool, is_off_curve: bool) -> tuple[str, ...]:
    return ("float_artefact",) * is_rounded + ("off_curve",) * is_off_curve


def by_number(block: bytes) -> dict[int, tuple[int, Parsed]]:
    """The common trades of a block by the number of their line, 0 the first, as the general way gives them."""
    trades, _ = common_trades(block, 0)
    found = {}
    for seq, at_us, signature, mint, trader, is_buy, sol, token, price, vsol, vtoken, *odd in zip(*trades, strict=True):
        trade = Trade(mint, is_buy, sol, token, price, vsol, vtoken, trader, signature, "pump", True)
        found[seq] = at_us, Parsed(trade, oddities(*odd))
    return found


def assert_same(block: bytes) -> int:
    """Compare both ways, line by line; how many lines went the shorter way."""
    found = by_number(block)
    lines = block.split(b"\n")[:-1]
    for number, (at_us, parsed) in found.items():
        entry = entry_of(lines[number], 0, 0)
        assert entry.raw is not None
        assert (at_us, parsed) == (entry.at_us, parse(entry.raw))
    left = [(number, line) for number, line in enumerate(lines) if number not in found]
    before = [number - nth for nth, (number, _) in enumerate(left)]
    assert common_trades(block, 0)[1] == list(zip(before, [line for _, line in left], strict=True))
    return len(found)


def test_market_goes_the_shorter_way() -> None:
    lines = [frame_line(AT_US, frame) for frame in islice(market_frames(3_000), 3_000)]
    assert assert_same(b"".join(lines)) > 2_700


def test_lines_have_their_numbers() -> None:
    block = frame_line(AT_US, "x") + frame_line(AT_US, text()) * 2
    trades, others = common_trades(block, 40)
    assert trades.seq == [41, 42]
    assert others == [(0, frame_line(AT_US, "x")[:-1])]


def test_common_trade_is_taken_whole() -> None:
    at_us, parsed = by_number(frame_line(AT_US, text()))[0]
    reserves = curve.Reserves(31_000_000_000, 1_038_387_096_774_194)
    assert at_us == AT_US
    assert parsed.message == Trade(
        "M" * 40 + "pump",
        True,
        10**9,
        34_612_903_225_806,
        curve.spot_price_sol(reserves),
        reserves.virtual_sol,
        reserves.virtual_token,
        "T" * 44,
        "5" * 88,
        "pump",
        True,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"mint": f'"{SOL_MINT}"'},
        {"mint": '"' + "0" * 44 + '"'},
        {"mint": '"' + "M" * 45 + '"'},
        {"signature": '"' + "5" * 63 + '"'},
        {"signature": "null"},
        {"traderPublicKey": '"\\u0054' + "T" * 40 + '"'},
        {"traderPublicKey": '"' + "ü" * 40 + '"'},
        {"bondingCurveKey": '"a,b"'},
        {"bondingCurveKey": '"a\x01b"'},
        {"bondingCurveKey": '"ü"'},
        {"txType": '"create"'},
        {"solAmount": "1e0"},
        {"solAmount": "01"},
        {"solAmount": "1."},
        {"solAmount": ".5"},
        {"solAmount": "-0"},
        {"solAmount": "1_0"},
        {"solAmount": "10000000000"},
        {"tokenAmount": "1.2.3"},
        {"newTokenBalance": "00"},
        {"newTokenBalance": "1e400"},
        {"vSolInBondingCurve": "0"},
        {"vSolInBondingCurve": "31.000032"},
        {"vSolInBondingCurve": "9" * 30},
        {"marketCapSol": "29.8543"},
        {"marketCapSol": "null"},
        {"pool": '"pump-amm"'},
        {"pool": '"pump","mint":"' + "N" * 44 + '"'},
        {"solAmount": "1." + "0" * 70 + "1"},
    ],
)
def test_unusual_line_is_left_to_the_general_way(changes: dict[str, str]) -> None:
    assert by_number(frame_line(AT_US, text(**changes))) == {}


def test_lines_that_are_no_lines_lose_nothing_else() -> None:
    line = frame_line(AT_US, text())
    strange = [
        b"\n",
        b"no json\n",
        line[:100] + b"\n",
        line[40:],
        b'{"t_wall":1,"raw":"x"}\n',
        line.replace(b".000151", b""),
    ]
    assert assert_same(b"".join([line, *strange, line])) == 2
    torn = line.replace(b"BBB", b"B\nB", 1)
    assert assert_same(line + torn + line) in (0, 2)


NUMBERS = st.one_of(
    st.decimals(min_value=0, max_value=10**11, places=9).map(str),
    st.floats(0, 1e10).map(repr),
    st.sampled_from(
        ["31.499999999999996", "30.0000000005", "31.4999999995", "30.00000000050", "0.0000000015", "0", "7e-05"]
    ),
    st.text("0123456789.eE+-_ ", min_size=1, max_size=12),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    changes=st.dictionaries(st.sampled_from(["tokenAmount", "solAmount", "newTokenBalance", "marketCapSol"]), NUMBERS)
)
def test_amounts_in_any_form_come_out_as_by_the_general_way(changes: dict[str, str]) -> None:
    assert_same(frame_line(AT_US, text(**changes)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    lamports=st.integers(30 * 10**9, 115 * 10**9),
    sol_tail=st.text("0459", max_size=9),
    token_tail=st.text("0459", max_size=9),
)
def test_reserves_with_tails_are_rounded_as_by_the_general_way(lamports: int, sol_tail: str, token_tail: str) -> None:
    base_units = curve.INITIAL.virtual_sol * curve.INITIAL.virtual_token // lamports
    line = frame_line(
        AT_US,
        text(
            vSolInBondingCurve=f"{lamports // 10**9}.{lamports % 10**9:09d}{sol_tail}",
            vTokensInBondingCurve=f"{base_units // 10**6}.{base_units % 10**6:06d}{token_tail}",
            marketCapSol=repr(curve.market_cap_sol(curve.Reserves(lamports, base_units))),
        ),
    )
    assert assert_same(line) == 1


@given(at_us=st.integers(10**15, 3_999_999_999_999_999))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_times_are_those_of_the_general_way(at_us: int) -> None:
    found, line = by_number(frame_line(at_us, text()))[0], decode_line(frame_line(at_us, text()))
    assert line is not None
    assert found[0] == line.at_us == at_us


def test_block_gives_every_line_its_number() -> None:
    block = Block(frame_line(AT_US, "a") + frame_line(AT_US + 1, text()), 7, 0, None)
    assert [(entry.seq, entry.at_us) for entry in block.entries()] == [(7, AT_US), (8, AT_US + 1)]
