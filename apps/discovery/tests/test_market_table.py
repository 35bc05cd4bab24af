"""The table of the simulated market beside the real one; whether they are alike is in `test_market.py`."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from apps.discovery.pumpportal import market_table
from apps.discovery.pumpportal.market_table import AIMS, Aim, Observed, Row


@pytest.mark.parametrize(
    ("simulated", "deviation", "fits"),
    [(10.0, 0.0, True), (15.0, 0.0, True), (22.0, 0.1, True), (23.0, 0.15, False), (8.0, -0.2, False)],
)
def test_deviation_is_the_distance_from_the_nearer_end(simulated: float, deviation: float, fits: bool) -> None:
    row = Row(Aim("", 10.0, 20.0, 0.1), simulated)
    assert row.deviation == pytest.approx(deviation)
    assert row.fits is fits


def test_aim_of_nothing_is_met_by_nothing_only() -> None:
    assert Row(Aim("", 0.0, 0.0, 0.1), 0.0).fits
    assert not Row(Aim("", 0.0, 0.0, 0.1), 0.001).fits


def test_creator_has_sold_when_four_fifths_of_all_bought_are_gone() -> None:
    seen = Observed()
    base = {"mint": "A", "traderPublicKey": "W", "solAmount": 1.0, "marketCapSol": 30.0}
    seen.add(0.0, base | {"txType": "create", "pool": "pump", "initialBuy": 100.0})
    for at, side, amount, balance in ((1, "buy", 100.0, 200.0), (2, "sell", 150.0, 50.0), (3, "sell", 10.0, 40.0)):
        assert seen.lives["A"].exited_at != seen.lives["A"].exited_at
        seen.add(at, base | {"txType": side, "tokenAmount": amount, "newTokenBalance": balance})
    assert seen.lives["A"].exited_at == 3
    assert seen.lives["A"].trades == 3


def test_an_hour_is_too_short_for_a_table() -> None:
    with pytest.raises(ValueError, match="more than an hour"):
        market_table.table(Observed(), rate=1.0, seconds=3600.0)


def test_command_prints_the_table_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("simulator", table=1.1, seed=8, rate=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["figure", "aim", "simulated", "deviation", "allowed"]
    assert len([line for line in lines if line.startswith(tuple(aim.name for aim in AIMS))]) == len(AIMS)
    call_command("simulator", table=1.1, seed=8, rate=0.2, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert [row["figure"] for row in printed["rows"]] == [aim.name for aim in AIMS]


def test_command_refuses_a_table_of_an_hour() -> None:
    with pytest.raises(CommandError, match="more than an hour"):
        call_command("simulator", table=1.0)
