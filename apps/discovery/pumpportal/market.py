"""A market of its own: coins are made, sniped, followed, washed, sold out by their creators, and mostly die.

Every coin has a hidden quality. It decides, through much noise, how far followers would carry it, how long they stay,
how many different wallets they are, how much they put in and how long the creator keeps its tokens; so it can be
learned from the flow, but not read off it. Trades follow the exact curve; times are simulated. The same seed, start
and rate give the same frames, byte for byte. Coins that are done are forgotten.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from random import Random

from apps.discovery import curve
from apps.discovery.curve import LAMPORTS_PER_SOL, Quote
from apps.discovery.pumpportal import market_draws as draws
from apps.discovery.pumpportal import market_frames as frames
from apps.discovery.pumpportal.market_coin import Coin, draw_nature
from apps.discovery.pumpportal.market_draws import quantile
from apps.discovery.pumpportal.market_frames import USDC, Json

Timed = tuple[float, Json]

WALLETS, SNIPERS, BOTS, CREATORS = 20_000, 150, 300, 4_000
BONK_SHARE, QUOTE_MINT_SHARE, INSTANT_MIGRATION_SHARE = 0.005, 0.004, 0.003
EXACT_IN_SHARE, TWIN_SHARE = 0.15, 0.02
SMALLEST_BUY_LAMPORTS = 20_000
PAUSE_MEMORY = 0.45
MEAN_TRADE_SOL, PULL_SECONDS = 0.45, 150.0
MOOD_PER_ROOT_SECOND, MOOD_SECONDS = 0.04, 400.0


class Market:
    """An endless stream of (epoch seconds, frame) in order of time: `until` takes what is due, iterating takes all."""

    def __init__(self, seed: int | str, start: float, rate: float = 1.0) -> None:
        self._rng = Random(seed)
        self._rate = rate
        self._events: list[tuple[float, int, Callable[[float], list[Json]]]] = []
        self._count = 0
        self._fees = curve.fees_at(datetime.fromtimestamp(start, UTC))
        self._wallets = [draws.address(self._rng) for _ in range(WALLETS)]
        self._mayhem_key = draws.address(self._rng)
        self._pause = 0.0
        self._at(start + self._create_gap(), self._create)

    def __iter__(self) -> Iterator[Timed]:
        return self.until(math.inf)

    def until(self, moment: float) -> Iterator[Timed]:
        """The frames up to and including `moment` that were not taken yet."""
        while self._events[0][0] <= moment:
            at, _, act = heapq.heappop(self._events)
            for frame in act(at):
                yield at, frame

    @property
    def pending(self) -> int:
        """Events that lie ahead: a measure of the memory in use."""
        return len(self._events)

    # --- Creating -------------------------------------------------------------------------------------------------

    def _create(self, at: float) -> list[Json]:
        rng = self._rng
        self._at(at + self._create_gap(), self._create)
        self._fees = curve.fees_at(datetime.fromtimestamp(at, UTC))
        chance = rng.random()
        if chance < BONK_SHARE:
            return [frames.create_bonk(rng, self._wallet(CREATORS))]
        coin = self._new_coin(at)
        if chance < BONK_SHARE + QUOTE_MINT_SHARE:
            coin.mint = USDC
            return [frames.create(rng, coin, None, self._mayhem_key)]
        first = self._first_buy(coin)
        if chance > 1.0 - INSTANT_MIGRATION_SHARE:
            self._at(at + rng.uniform(0.03, 0.24), lambda _: [frames.migration(self._rng, coin)])
        else:
            self._plan(coin)
        return [frames.create(rng, coin, first, self._mayhem_key)]

    def _create_gap(self) -> float:
        """Short gaps follow short ones: creates come in bursts, and some minutes are far busier than others."""
        self._pause = draws.blend(PAUSE_MEMORY, self._pause, self._rng.gauss(0.0, 1.0))
        return draws.create_gap(self._pause, self._rate)

    def _new_coin(self, at: float) -> Coin:
        rng = self._rng
        coin = Coin(draws.mint(rng), self._wallet(CREATORS), draws.address(rng), at, draw_nature(rng))
        coin.bots = tuple(self._wallet(BOTS) for _ in range(rng.randint(1, 3)))
        coin.trades_left, coin.swayed_at = coin.nature.trades, at
        return coin

    def _first_buy(self, coin: Coin) -> Quote | None:
        sol = quantile(draws.INITIAL_BUY_SOL, self._rng.random())
        if sol * LAMPORTS_PER_SOL < SMALLEST_BUY_LAMPORTS:
            return None
        quote = curve.buy_exact_in(coin.reserves, int(sol * LAMPORTS_PER_SOL), self._fees)
        coin.settle(coin.creator, quote.token_base_units, quote)
        coin.names.remove(coin.creator)  # a creator sells by its own plan
        coin.stake_sol = coin.real_sol
        return quote

    def _plan(self, coin: Coin) -> None:
        rng, at = self._rng, coin.created_at
        if coin.creator in coin.holders:
            coin.trades_left -= 1
            self._at(at + coin.nature.exit_after, partial(self._creator_exit, coin))
        snipers = int(rng.expovariate(1.0 / (0.8 + 0.8 * min(3.0, coin.real_sol))))
        for _ in range(min((coin.trades_left + 1) // 2, snipers)):
            coin.trades_left -= 2
            self._at(at + rng.expovariate(1.6), partial(self._snipe, coin))
        self._at(at + self._calm(coin), partial(self._panic, coin))
        self._schedule(coin)

    # --- Trading --------------------------------------------------------------------------------------------------

    def _schedule(self, coin: Coin) -> None:
        """Plan the coin's next trade: sorted uniform numbers one after the other, bent towards the beginning."""
        if coin.trades_left <= 0 or curve.is_complete(coin.reserves):
            return
        coin.clock = 1.0 - (1.0 - coin.clock) * self._rng.random() ** (1.0 / coin.trades_left)
        coin.trades_left -= 1
        at = coin.created_at + coin.nature.active_seconds * coin.clock**coin.nature.front_load
        self._at(at, partial(self._trade, coin))

    def _trade(self, coin: Coin, now: float) -> list[Json]:
        rng = self._rng
        self._schedule(coin)
        if rng.random() < coin.nature.wash:
            return self._wash(coin, now)
        self._sway(coin, now)
        if rng.random() < self._buyers_share(coin, now):
            return self._buy(coin, self._follower(coin), self._follower_sol(coin, self._wanted_sol(coin, now)), now)
        return self._sell_somebody(coin)

    def _buyers_share(self, coin: Coin, now: float) -> float:
        """The chance that the next trade buys: followers close the gap to what they want, first fast, then slowly."""
        nature, age = coin.nature, now - coin.created_at
        gone = max(1e-3, age / nature.active_seconds)
        per_second = nature.trades / (nature.front_load * nature.active_seconds)
        per_second *= math.pow(gone, 1.0 / nature.front_load - 1.0)
        turnover = 2.0 * MEAN_TRADE_SOL * per_second * min(PULL_SECONDS, 4.0 + 0.8 * age)
        lean = (self._wanted_sol(coin, now) - coin.real_sol) / max(0.5, turnover)
        most = 0.20 + 0.28 * math.exp(-age / 12.0)
        return 0.5 + max(-0.35, min(most, lean))

    def _sway(self, coin: Coin, now: float) -> None:
        """Let the mood of the followers wander for the time that has passed; it forgets within minutes."""
        passed = now - coin.swayed_at
        coin.swayed_at = now
        wander = MOOD_PER_ROOT_SECOND * math.sqrt(min(passed, 60.0))
        coin.mood = coin.mood * math.exp(-passed / MOOD_SECONDS) + wander * self._rng.gauss(0.0, 1.0)

    def _wanted_sol(self, coin: Coin, now: float) -> float:
        """How much real SOL the followers would have in the curve now: up to the peak, then down to the floor."""
        nature = coin.nature
        share = (now - coin.created_at) / nature.active_seconds
        if share < nature.peak_share:
            level = 0.3 + 0.7 * share / nature.peak_share
        else:
            fall = (share - nature.peak_share) / (1.0 - nature.peak_share)
            level = nature.floor_share + (1.0 - nature.floor_share) * math.exp(-6.0 * fall)
        return nature.peak_sol * level * coin.spoiled * math.exp(coin.mood) + 0.8 * coin.stake_sol

    def _follower(self, coin: Coin) -> str:
        if coin.names and self._rng.random() > coin.nature.fresh_wallets:
            return self._rng.choice(coin.names)
        return self._wallet(WALLETS)

    def _follower_sol(self, coin: Coin, wanted: float) -> float:
        sol = quantile(draws.TRADE_SOL, self._rng.random()) * coin.nature.size
        return min(sol, 0.4 * wanted + 0.25)

    def _snipe(self, coin: Coin, now: float) -> list[Json]:
        """Buy at once, be gone within a minute."""
        rng = self._rng
        wallet = self._wallet(SNIPERS)
        sol = min(quantile(draws.TRADE_SOL, 0.35 + 0.62 * rng.random()), 0.6 + 0.3 * coin.nature.peak_sol)
        self._at(now + 1.0 + rng.expovariate(0.06), partial(self._leave, coin, wallet))
        return self._buy(coin, wallet, sol, now)

    def _leave(self, coin: Coin, wallet: str, _: float) -> list[Json]:
        return self._sell(coin, wallet, coin.holders.get(wallet, 0))

    def _wash(self, coin: Coin, now: float) -> list[Json]:
        """A bot trades with itself: it buys when it has nothing, and sells when it has."""
        bot = self._rng.choice(coin.bots)
        if held := coin.holders.get(bot, 0):
            return self._sell(coin, bot, held)
        return self._buy(coin, bot, 0.01 + 0.1 * self._rng.random(), now)

    def _creator_exit(self, coin: Coin, now: float) -> list[Json]:
        """Sell in up to three parts; followers of a poor coin lose heart at the sight."""
        rng = self._rng
        held = coin.holders.get(coin.creator, 0)
        if not held:
            return []
        part = held if rng.random() < 0.7 or held < 10**9 else held * rng.randint(40, 85) // 100
        if part < held:
            self._at(now + rng.expovariate(0.3), partial(self._creator_exit, coin))
        coin.stake_sol *= (held - part) / held
        coin.spoiled *= rng.uniform(0.3, 0.8) if coin.nature.quality < 0.7 else rng.uniform(0.75, 1.0)
        return self._sell(coin, coin.creator, part)

    def _calm(self, coin: Coin) -> float:
        return 2.0 + self._rng.expovariate(1.0 / coin.nature.calm_seconds)

    def _panic(self, coin: Coin, now: float) -> list[Json]:
        """Some of the largest holders sell within seconds, and fewer come back."""
        rng = self._rng
        if coin.trades_left <= 0 or curve.is_complete(coin.reserves):
            return []
        self._at(now + self._calm(coin), partial(self._panic, coin))
        coin.spoiled *= rng.uniform(0.35, 0.9)
        crowd = rng.sample(coin.names, min(len(coin.names), 30))
        crowd.sort(key=coin.holders.__getitem__, reverse=True)
        for wallet in crowd[: 1 + int(len(crowd) * rng.uniform(0.05, 0.4))]:
            coin.trades_left -= 1
            self._at(now + rng.expovariate(0.7), partial(self._leave, coin, wallet))
        return []

    def _sell_somebody(self, coin: Coin) -> list[Json]:
        if not coin.names:
            return []
        wallet = self._rng.choice(coin.names)
        held = coin.holders[wallet]
        part = held if self._rng.random() < 0.6 else held * self._rng.randint(15, 80) // 100
        return self._sell(coin, wallet, part)

    def _buy(self, coin: Coin, wallet: str, sol: float, now: float) -> list[Json]:
        lamports = max(SMALLEST_BUY_LAMPORTS, int(sol * LAMPORTS_PER_SOL))
        try:
            quote = curve.buy_exact_in(coin.reserves, lamports, self._fees)
            if self._rng.random() > EXACT_IN_SHARE:
                quote = curve.buy_exact_out(coin.reserves, quote.token_base_units, self._fees)
        except curve.CurveError:
            return []
        sold = [frames.trade(self._rng, coin, "buy", wallet, quote)]
        if self._rng.random() < TWIN_SHARE and not curve.is_complete(coin.reserves):
            sold.append(self._twin(coin) | {"signature": sold[0]["signature"]})
        if curve.is_complete(coin.reserves):
            self._at(now + self._rng.uniform(1.0, 8.0), lambda _: [frames.migration(self._rng, coin)])
        return sold

    def _twin(self, coin: Coin) -> Json:
        """A second buy for the same transaction, by another wallet of the same bundle."""
        quote = curve.buy_exact_in(coin.reserves, self._rng.randint(10**7, 3 * 10**8), self._fees)
        return frames.trade(self._rng, coin, "buy", self._wallet(WALLETS), quote)

    def _sell(self, coin: Coin, wallet: str, base_units: int) -> list[Json]:
        try:
            quote = curve.sell(coin.reserves, base_units, self._fees)
        except curve.CurveError:
            return []
        if not quote.net_lamports:
            return []
        return [frames.trade(self._rng, coin, "sell", wallet, quote)]

    # --- Helpers --------------------------------------------------------------------------------------------------

    def _wallet(self, among: int) -> str:
        """One of the first `among` wallets; the lower their number, the busier they are."""
        return self._wallets[int(among * self._rng.random() ** 1.6)]

    def _at(self, moment: float, act: Callable[[float], list[Json]]) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, act))
