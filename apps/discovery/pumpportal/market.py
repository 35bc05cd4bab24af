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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from apps.discovery import curve
from apps.discovery.curve import BASE_UNITS_PER_TOKEN, LAMPORTS_PER_SOL, Quote, Reserves, Side
from apps.discovery.pumpportal import market_draws as draws
from apps.discovery.pumpportal.market_draws import blend, quantile, share_below

Json = dict[str, object]
Timed = tuple[float, Json]

USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
WALLETS, SNIPERS, BOTS, CREATORS = 20_000, 150, 300, 4_000
MAYHEM_SHARE, MAYHEM_KEY_SHARE = 0.18, 0.45
BONK_SHARE, QUOTE_MINT_SHARE, NAMELESS_SHARE, INSTANT_MIGRATION_SHARE = 0.005, 0.004, 0.005, 0.012
EXACT_IN_SHARE, TWIN_SHARE, ARTEFACT_SHARE = 0.15, 0.02, 0.05
SMALLEST_BUY_LAMPORTS = 20_000
FRONT_LOAD = 1.7
MEAN_TRADE_SOL, PULL_SECONDS = 0.45, 150.0
MOOD_PER_ROOT_SECOND, MOOD_SECONDS = 0.03, 400.0


@dataclass(slots=True)
class Nature:
    """What nobody sees: how a coin will be treated."""

    quality: float
    trades: int
    active_seconds: float
    peak_sol: float
    peak_share: float
    floor_share: float
    fresh_wallets: float
    size: float
    wash: float
    exit_after: float
    calm_seconds: float


@dataclass(slots=True)
class Coin:
    """A coin that still trades. `holders` hold base units; `names` lists them for a fair draw of a seller."""

    mint: str
    creator: str
    curve_key: str
    created_at: float
    nature: Nature
    reserves: Reserves = curve.INITIAL
    holders: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    bots: tuple[str, ...] = ()
    trades_left: int = 0
    clock: float = 0.0
    mood: float = 0.0
    swayed_at: float = 0.0
    spoiled: float = 1.0
    stake_sol: float = 0.0

    @property
    def real_sol(self) -> float:
        return (self.reserves.virtual_sol - curve.INITIAL.virtual_sol) / LAMPORTS_PER_SOL


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
        self._at(start + draws.create_gap(self._rng, rate), self._create)

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
        self._at(at + draws.create_gap(rng, self._rate), self._create)
        self._fees = curve.fees_at(datetime.fromtimestamp(at, UTC))
        chance = rng.random()
        if chance < BONK_SHARE:
            return [self._bonk_frame()]
        coin = self._new_coin(at)
        if chance < BONK_SHARE + QUOTE_MINT_SHARE:
            coin.mint = USDC
            return [self._create_frame(coin, None)]
        first = self._first_buy(coin)
        if chance > 1.0 - INSTANT_MIGRATION_SHARE:
            self._at(at + rng.uniform(0.03, 0.24), lambda _: [self._migration_frame(coin)])
        else:
            self._plan(coin)
        return [self._create_frame(coin, first)]

    def _new_coin(self, at: float) -> Coin:
        rng = self._rng
        coin = Coin(draws.mint(rng), self._wallet(CREATORS), draws.address(rng), at, self._nature())
        coin.bots = tuple(self._wallet(BOTS) for _ in range(rng.randint(1, 3)))
        coin.trades_left, coin.swayed_at = coin.nature.trades, at
        return coin

    def _nature(self) -> Nature:
        """Draw a coin: everything leans on its quality, nothing is decided by it alone."""
        rng = self._rng
        quality, normal = rng.gauss(0.0, 1.0), rng.gauss
        fate = blend(0.75, quality, normal(0.0, 1.0))
        interest = blend(0.85, fate, normal(0.0, 1.0))
        stay = blend(0.6, interest, normal(0.0, 1.0))
        restraint = blend(0.55, quality, normal(0.0, 1.0))
        variety = blend(0.8, quality, normal(0.0, 1.0))
        return Nature(
            quality=quality,
            trades=round(quantile(draws.TRADES_PER_COIN, share_below(interest))),
            active_seconds=quantile(draws.ACTIVE_SECONDS, share_below(stay)),
            peak_sol=quantile(draws.PEAK_SOL, share_below(fate)),
            peak_share=0.01 + 0.35 * share_below(blend(0.7, quality, normal(0.0, 1.0))) * rng.random() ** 0.5,
            floor_share=rng.uniform(0.02, 0.35),
            fresh_wallets=0.35 + 0.55 * share_below(variety),
            size=math.exp(0.22 * blend(0.6, quality, normal(0.0, 1.0))),
            wash=0.35 * share_below(-variety) ** 2,
            exit_after=quantile(draws.CREATOR_EXIT_SECONDS, share_below(restraint)),
            calm_seconds=55.0 * math.exp(0.8 * blend(0.7, quality, normal(0.0, 1.0))),
        )

    def _first_buy(self, coin: Coin) -> Quote | None:
        sol = quantile(draws.INITIAL_BUY_SOL, self._rng.random())
        if sol * LAMPORTS_PER_SOL < SMALLEST_BUY_LAMPORTS:
            return None
        quote = curve.buy_exact_in(coin.reserves, int(sol * LAMPORTS_PER_SOL), self._fees)
        self._settle(coin, coin.creator, quote.token_base_units, quote)
        coin.names.remove(coin.creator)  # a creator sells by its own plan
        coin.stake_sol = coin.real_sol
        return quote

    def _plan(self, coin: Coin) -> None:
        rng, at = self._rng, coin.created_at
        for _ in range(min(coin.trades_left + 1, int(rng.expovariate(1.0 / (0.8 + 0.8 * min(3.0, coin.real_sol)))))):
            self._at(at + rng.expovariate(1.6), lambda now: self._snipe(coin, now))
        if coin.creator in coin.holders:
            self._at(at + coin.nature.exit_after, lambda now: self._creator_exit(coin, now))
        self._at(at + self._calm(coin), lambda now: self._panic(coin, now))
        self._schedule(coin)

    # --- Trading --------------------------------------------------------------------------------------------------

    def _schedule(self, coin: Coin) -> None:
        """Plan the coin's next trade: sorted uniform numbers one after the other, bent towards the beginning."""
        if coin.trades_left <= 0 or curve.is_complete(coin.reserves):
            return
        coin.clock = 1.0 - (1.0 - coin.clock) * self._rng.random() ** (1.0 / coin.trades_left)
        coin.trades_left -= 1
        at = coin.created_at + coin.nature.active_seconds * coin.clock**FRONT_LOAD
        self._at(at, lambda now: self._trade(coin, now))

    def _trade(self, coin: Coin, now: float) -> list[Json]:
        rng = self._rng
        self._schedule(coin)
        if rng.random() < coin.nature.wash:
            return self._wash(coin, now)
        self._sway(coin, now)
        if rng.random() < self._buyers_share(coin, now):
            return self._buy(coin, self._follower(coin), self._follower_sol(coin, self._wanted_sol(coin, now)), now)
        return self._sell_somebody(coin, now)

    def _buyers_share(self, coin: Coin, now: float) -> float:
        """The chance that the next trade buys: followers close the gap to what they want, at first at once, later slowly."""
        nature, age = coin.nature, now - coin.created_at
        gone = max(1e-3, age / nature.active_seconds)
        per_second = nature.trades / (FRONT_LOAD * nature.active_seconds) * gone ** (1.0 / FRONT_LOAD - 1.0)
        turnover = 2.0 * MEAN_TRADE_SOL * per_second * min(PULL_SECONDS, 4.0 + 0.8 * age)
        lean = (self._wanted_sol(coin, now) - coin.real_sol) / max(0.5, turnover)
        most = 0.16 + 0.28 * math.exp(-age / 8.0)
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
            level = 0.6 + 0.4 * share / nature.peak_share
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
        self._at(now + 1.0 + rng.expovariate(0.06), lambda later: self._leave(coin, wallet, later))
        return self._buy(coin, wallet, sol, now)

    def _leave(self, coin: Coin, wallet: str, now: float) -> list[Json]:
        return self._sell(coin, wallet, coin.holders.get(wallet, 0), now)

    def _wash(self, coin: Coin, now: float) -> list[Json]:
        """A bot trades with itself: it buys when it has nothing, and sells when it has."""
        bot = self._rng.choice(coin.bots)
        if held := coin.holders.get(bot, 0):
            return self._sell(coin, bot, held, now)
        return self._buy(coin, bot, 0.01 + 0.1 * self._rng.random(), now)

    def _creator_exit(self, coin: Coin, now: float) -> list[Json]:
        """Sell in up to three parts; followers of a poor coin lose heart at the sight."""
        rng = self._rng
        held = coin.holders.get(coin.creator, 0)
        if not held:
            return []
        part = held if rng.random() < 0.7 or held < 10**9 else held * rng.randint(40, 85) // 100
        if part < held:
            self._at(now + rng.expovariate(0.3), lambda later: self._creator_exit(coin, later))
        coin.stake_sol *= (held - part) / held
        coin.spoiled *= rng.uniform(0.3, 0.8) if coin.nature.quality < 0.7 else rng.uniform(0.75, 1.0)
        return self._sell(coin, coin.creator, part, now)

    def _calm(self, coin: Coin) -> float:
        return 2.0 + self._rng.expovariate(1.0 / coin.nature.calm_seconds)

    def _panic(self, coin: Coin, now: float) -> list[Json]:
        """Some of the largest holders sell within seconds, and fewer come back."""
        rng = self._rng
        if coin.trades_left <= 0 or curve.is_complete(coin.reserves):
            return []
        self._at(now + self._calm(coin), lambda later: self._panic(coin, later))
        coin.spoiled *= rng.uniform(0.35, 0.9)
        crowd = rng.sample(coin.names, min(len(coin.names), 30))
        crowd.sort(key=coin.holders.__getitem__, reverse=True)
        for wallet in crowd[: 1 + int(len(crowd) * rng.uniform(0.05, 0.4))]:
            coin.trades_left -= 1
            self._at(now + rng.expovariate(0.7), lambda later, who=wallet: self._leave(coin, who, later))
        return []

    def _sell_somebody(self, coin: Coin, now: float) -> list[Json]:
        if not coin.names:
            return []
        wallet = self._rng.choice(coin.names)
        held = coin.holders[wallet]
        part = held if self._rng.random() < 0.7 else held * self._rng.randint(15, 80) // 100
        return self._sell(coin, wallet, part, now)

    def _buy(self, coin: Coin, wallet: str, sol: float, now: float) -> list[Json]:
        lamports = max(SMALLEST_BUY_LAMPORTS, int(sol * LAMPORTS_PER_SOL))
        try:
            quote = curve.buy_exact_in(coin.reserves, lamports, self._fees)
            if self._rng.random() > EXACT_IN_SHARE:
                quote = curve.buy_exact_out(coin.reserves, quote.token_base_units, self._fees)
        except curve.CurveError:
            return []
        frame = self._trade_frame(coin, "buy", wallet, quote)
        if curve.is_complete(coin.reserves):
            self._at(now + self._rng.uniform(1.0, 8.0), lambda _: [self._migration_frame(coin)])
        elif self._rng.random() < TWIN_SHARE:
            return [frame, *self._twin(coin, frame)]
        return [frame]

    def _twin(self, coin: Coin, first: Json) -> list[Json]:
        """A second buy in the same transaction, from another wallet of the same bundle."""
        quote = curve.buy_exact_in(coin.reserves, self._rng.randint(10**7, 3 * 10**8), self._fees)
        frame = self._trade_frame(coin, "buy", self._wallet(WALLETS), quote)
        return [frame | {"signature": first["signature"]}]

    def _sell(self, coin: Coin, wallet: str, base_units: int, now: float) -> list[Json]:
        try:
            quote = curve.sell(coin.reserves, base_units, self._fees)
        except curve.CurveError:
            return []
        if not quote.net_lamports:
            return []
        return [self._trade_frame(coin, "sell", wallet, quote)]

    # --- Books and frames -----------------------------------------------------------------------------------------

    def _settle(self, coin: Coin, wallet: str, change: int, quote: Quote) -> int:
        """Book a trade; the wallet's new balance in base units."""
        coin.reserves = quote.after
        balance = coin.holders.get(wallet, 0) + change
        if wallet not in coin.holders:
            coin.names.append(wallet)
        coin.holders[wallet] = balance
        if not balance:
            del coin.holders[wallet]
            if wallet in coin.names:
                coin.names.remove(wallet)
        return balance

    def _trade_frame(self, coin: Coin, side: Side, wallet: str, quote: Quote) -> Json:
        before = coin.reserves
        change = quote.token_base_units if side == "buy" else -quote.token_base_units
        balance = self._settle(coin, wallet, change, quote)
        amount = _number(quote.token_base_units, BASE_UNITS_PER_TOKEN)
        if self._rng.random() < ARTEFACT_SHARE:
            tokens_before = (balance - change) / BASE_UNITS_PER_TOKEN
            amount = abs(balance / BASE_UNITS_PER_TOKEN - tokens_before)
        return {
            "signature": draws.signature(self._rng),
            "mint": coin.mint,
            "traderPublicKey": wallet,
            "txType": side,
            "tokenAmount": amount,
            "solAmount": _number(quote.net_lamports, LAMPORTS_PER_SOL),
            "newTokenBalance": _number(balance, BASE_UNITS_PER_TOKEN),
            "bondingCurveKey": coin.curve_key,
            **_reserve_fields(before, quote.after),
            "pool": "pump",
        }

    def _create_frame(self, coin: Coin, first: Quote | None) -> Json:
        rng = self._rng
        mayhem = coin.mint != USDC and rng.random() < MAYHEM_SHARE
        if mayhem and rng.random() < MAYHEM_KEY_SHARE:
            coin.curve_key = self._mayhem_key
        nameless = coin.mint == USDC or rng.random() < NAMELESS_SHARE
        return {
            "signature": draws.signature(rng),
            "mint": coin.mint,
            "traderPublicKey": coin.creator,
            "txType": "create",
            "initialBuy": _number(first.token_base_units, BASE_UNITS_PER_TOKEN) if first else 0,
            "solAmount": _number(first.net_lamports, LAMPORTS_PER_SOL) if first else 0,
            "bondingCurveKey": coin.curve_key,
            **_reserve_fields(curve.INITIAL, coin.reserves),
            **({} if nameless else self._metadata()),
            "is_mayhem_mode": mayhem,
            "pool": "pump",
        }

    def _metadata(self) -> Json:
        name, symbol = draws.name_and_symbol(self._rng)
        # A host that cannot exist: nothing a simulation says may send anybody anywhere.
        return {"name": name, "symbol": symbol, "uri": f"https://metadata.invalid/{draws.base58(self._rng, 12)}"}

    def _bonk_frame(self) -> Json:
        rng = self._rng
        tokens, sol = rng.randint(10**12, 10**14), rng.randint(10**7, 3 * 10**9)
        return {
            "signature": draws.signature(rng),
            "traderPublicKey": self._wallet(CREATORS),
            "txType": "create",
            "mint": draws.base58(rng, 40) + "bonk",
            "solInPool": _number(sol, LAMPORTS_PER_SOL),
            "tokensInPool": _number(793_100_000 * 10**6 - tokens, BASE_UNITS_PER_TOKEN),
            "initialBuy": _number(tokens, BASE_UNITS_PER_TOKEN),
            "solAmount": _number(sol, LAMPORTS_PER_SOL),
            "newTokenBalance": _number(tokens, BASE_UNITS_PER_TOKEN),
            "marketCapSol": 28.0 + sol / LAMPORTS_PER_SOL,
            **self._metadata(),
            "pool": "bonk",
        }

    def _migration_frame(self, coin: Coin) -> Json:
        return {"signature": draws.signature(self._rng), "mint": coin.mint, "txType": "migrate", "pool": "pump-amm"}

    def _wallet(self, among: int) -> str:
        """One of the first `among` wallets; the lower their number, the busier they are."""
        return self._wallets[int(among * self._rng.random() ** 1.6)]

    def _at(self, moment: float, act: Callable[[float], list[Json]]) -> None:
        self._count += 1
        heapq.heappush(self._events, (moment, self._count, act))


def _reserve_fields(before: Reserves, after: Reserves) -> Json:
    """Reserves as the real service prints them: a float sum, so `31.499999999999996` is 31.5 SOL."""
    sol = before.virtual_sol / LAMPORTS_PER_SOL + (after.virtual_sol - before.virtual_sol) / LAMPORTS_PER_SOL
    tokens = before.virtual_token / BASE_UNITS_PER_TOKEN
    tokens += (after.virtual_token - before.virtual_token) / BASE_UNITS_PER_TOKEN
    return {
        "vTokensInBondingCurve": int(tokens) if tokens.is_integer() else tokens,
        "vSolInBondingCurve": int(sol) if sol.is_integer() else sol,
        "marketCapSol": curve.market_cap_sol(after),
    }


def _number(amount: int, per: int) -> int | float:
    """An amount in SOL or tokens as JSON has it: whole numbers without a point."""
    whole, rest = divmod(amount, per)
    return amount / per if rest else whole
