"""A small market to trade on: coins, trades, feed time, alerts. All in the real tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django.plugin import DjangoDbBlocker

from apps.discovery import curve
from apps.discovery.curve import INITIAL, Fees, Reserves
from apps.discovery.models import Coin, CoinTransaction, StreamState
from apps.predictions.models import ActiveModel, AlertEvaluation
from apps.trading import rehearsal, services
from apps.trading.models import Strategy, TraderProgress, Wallet
from apps.trading.rehearsal import Beat, beat_write
from apps.trading.tests.backtest_desk import BEATS, COINS
from apps.training.models import Model

START = datetime(2026, 7, 4, 12, 0, tzinfo=UTC)
SOL = curve.LAMPORTS_PER_SOL
FREE = Fees(0, 0)


def at(seconds: float) -> datetime:
    """Feed time so many seconds after the start."""
    return START + timedelta(seconds=seconds)


def mint_of(number: int) -> str:
    return f"{'C' * 36}{number:04d}pump".replace("0", "z")


CALIBRATION = {"slope": 1.0, "intercept": 0.0}


def models_at_work(*numbers: int, calibration: dict[str, float] | None = CALIBRATION) -> None:
    """Models at work under these numbers, called m1, m2, ..."""
    for number in numbers:
        model = Model.objects.create(
            name=f"m{number}", recipe={}, feature_names=[], label_name="rise", horizon_seconds=60, train_from=at(-7200),
            train_to=at(-3600), data_hash="0" * 64, rows_train=1, rows_validation=1, rows_test=1, scores={},
            threshold=0.5, artifact=b"", artifact_sha256="0" * 64, made_with={"calibration": calibration},
        )  # fmt: skip
        ActiveModel.objects.create(pk=number, custom_name=f"m{number}", threshold=0.5, model=model)


class World:
    """Writes what the stream and the scorer would write."""

    def __init__(self) -> None:
        self.reserves: dict[str, Reserves] = {}
        self.seq = 0
        self.alert_id = 0

    def coin(self, number: int = 1, *, seconds: float = 0, sol: int = 40 * SOL, **fields: object) -> str:
        """A coin that somebody has bought up to `sol` virtual lamports."""
        mint = mint_of(number)
        Coin.objects.create(mint=mint, symbol=f"C{number}", first_seen_at=at(seconds), created_at=at(seconds), **fields)
        self.reserves[mint] = INITIAL
        self.trade(mint, sol - INITIAL.virtual_sol, seconds)
        return mint

    def trade(self, mint: str, lamports: int, seconds: float) -> Reserves:
        """Somebody buys for `lamports` (sells, if negative), without fees."""
        before = self.reserves[mint]
        if lamports >= 0:
            after = curve.buy_exact_in(before, lamports, FREE).after
        else:
            sol = before.virtual_sol + lamports
            after = Reserves(sol, -(-before.virtual_sol * before.virtual_token // sol))
        self.reserves[mint] = after
        self.seq += 1
        CoinTransaction.objects.create(
            mint=mint,
            timestamp=at(seconds),
            trade_key=self.seq,
            seq=self.seq,
            tx_type="buy" if lamports >= 0 else "sell",
            sol_amount=abs(after.virtual_sol - before.virtual_sol),
            token_amount=abs(after.virtual_token - before.virtual_token),
            price_sol=curve.spot_price_sol(after),
            virtual_sol_lamports=after.virtual_sol,
            virtual_token_base_units=after.virtual_token,
            is_whale=False,
            phase_id_at_time=1,
        )
        return after

    def feed(self, seconds: float, **status: object) -> datetime:
        """The tables are complete up to then."""
        fields = {"feed_at": at(seconds), "mode": "replay", "connected": True, **status}
        StreamState.objects.update_or_create(id=1, defaults=fields)
        return at(seconds)

    def alert(self, mint: str, seconds: float, *, probability: float = 0.9, model: int = 1) -> AlertEvaluation:
        """The scorer says yes."""
        self.alert_id += 1
        return AlertEvaluation.objects.create(
            active_model_id=model,
            mint=mint,
            as_of=at(seconds),
            alert_id=self.alert_id,
            fired_at=at(seconds),
            probability=probability,
            price_sol=curve.spot_price_sol(self.reserves[mint]),
            phase_id=1,
            horizon_at=at(seconds + 300),
        )

    def wallet(self, alias: str = "test", sol: int = 10, **fields: object) -> Wallet:
        return services.wallet_create(alias=alias, balance_lamports=sol * SOL, **fields)

    def strategy(self, name: str = "s", alias: str = "test", **fields: object) -> Strategy:
        defaults: dict[str, object] = {"stop_loss_bps": 2000, "take_profit_bps": 3000, "timeout_seconds": 90}
        strategy = services.strategy_create(
            name=name, wallet_alias=alias, stake_lamports=SOL // 10, **{**defaults, **fields}
        )
        Strategy.objects.filter(pk=strategy.pk).update(last_alert_id=0)
        return strategy


@pytest.fixture
def world(settings: object) -> World:
    """An empty market; orders arrive after one second and none fails on its way."""
    settings.TRADING_LATENCY_MS = settings.TRADING_LATENCY_MAX_MS = 1000  # type: ignore[attr-defined]
    settings.PAPER_FAILURE_RATE = 0.0  # type: ignore[attr-defined]
    settings.MAX_ALERT_LAG_SECONDS = 10.0  # type: ignore[attr-defined]
    return World()


@pytest.fixture
def started(world: World, db: None) -> World:
    """A market whose trader has begun at the start."""
    world.feed(0)
    TraderProgress.objects.update_or_create(id=1, defaults={"processed_at": START, "processed_seq": -1})
    return world


@pytest.fixture(scope="module")
def market_of_module(module_db: DjangoDbBlocker) -> list[Beat]:
    """The rehearsal's market with alerts in the tables; tests that want an empty database stand before."""
    beats = rehearsal.script(seed=7, beats=BEATS, coins=COINS, alerts_a_beat=2)
    with module_db.unblock():
        rehearsal.stage(coins=COINS)
        for beat in beats:
            beat_write(beat)
    return beats


@pytest.fixture
def market(market_of_module: list[Beat], settings: object, db: None) -> list[Beat]:
    """The market of the module; nobody has traded on it, and what a test does is undone."""
    settings.TRADING_LATENCY_MS, settings.TRADING_LATENCY_MAX_MS = 400, 2000  # type: ignore[attr-defined]
    settings.PAPER_FAILURE_RATE = 0.1  # type: ignore[attr-defined]
    return list(market_of_module)
