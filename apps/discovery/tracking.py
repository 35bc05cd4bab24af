"""The coins in memory: their lives, their open windows, what of them a commit must write. No clock, no database.

Whether a coin is given up, finished or graduated depends only on the entries, never on when a batch was committed:
every change has the feed time at which it was due, and a trade first brings its coin up to date.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Container, Iterable

from apps.discovery import curve
from apps.discovery.lifecycle import FINISHED, GRADUATED, open_window_bounds, window_bounds
from apps.discovery.pumpportal.messages import Trade
from apps.discovery.state import Config, TrackedCoin
from apps.discovery.windows import MetricRow, Window, metric_row

MOST_LAMPORTS = 2**63 - 1  # what its column holds; no real coin comes near


class Tracker:
    """Follows coins through feed time; the changes since the last `start_batch` are in its public fields."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.coins: dict[str, TrackedCoin] = {}
        self.followed: dict[str, bool] = {}
        self.now_us = 0
        self._open: list[tuple[int, str]] = []
        self._due: list[tuple[int, str]] = []
        self._idle: set[str] = set()
        self.start_batch()

    def start_batch(self) -> None:
        self.windows: list[MetricRow] = []
        self.outcomes: dict[str, tuple[str, int | None]] = {}
        self.nonstandard: set[str] = set()
        self.dirty: set[str] = set()
        self.counts: Counter[str] = Counter()

    def reconfigure(self, config: Config) -> None:
        """From now on by other phases, rules and thresholds; open windows end where the new phases say."""
        self.config = config
        for coin in self.coins.values():
            coin.check_us = 0
            if coin.window is not None:
                self._redraw(coin, coin.window)
        self._due = [(0, mint) for mint in sorted(self.coins)]

    def remember(self, coins: Iterable[TrackedCoin]) -> None:
        """Coins as committed, with their open windows."""
        for coin in coins:
            self.coins[coin.mint] = coin
            if coin.window is not None:
                heapq.heappush(self._open, (coin.window.end_us, coin.mint))
            if coin.is_active:
                heapq.heappush(self._due, (self.now_us, coin.mint))
            else:
                self._idle.add(coin.mint)

    def forget_idle(self, changed: Container[str]) -> None:
        """Drop coins that are no longer followed, owe no window and have not changed since the last `start_batch`,
        beyond those in `changed`: the tables know them once everything before is committed."""
        for mint in list(self._idle):
            coin = self.coins[mint]
            if coin.is_active:
                self._idle.discard(mint)
            elif coin.window is None and not (
                mint in changed or mint in self.dirty or mint in self.outcomes or mint in self.nonstandard
            ):
                del self.coins[mint]
                self._idle.discard(mint)

    # --- a coin's life ----------------------------------------------------------------------------------

    def add(self, mint: str) -> TrackedCoin:
        """A coin seen for the first time, not yet followed."""
        coin = self.coins[mint] = TrackedCoin(mint)
        self._idle.add(mint)
        self.counts["discovered"] += 1
        return coin

    def start(self, coin: TrackedCoin) -> None:
        """Its age counts from now; it is followed unless it has graduated already."""
        coin.started_us = self.now_us
        self.dirty.add(coin.mint)
        if coin.is_graduated:
            coin.phase_id, coin.ended_us = GRADUATED, self.now_us
            return
        first = self.config.phases.at(0)
        coin.phase_id = first.id if first else FINISHED
        self._activate(coin)

    def graduate(self, coin: TrackedCoin) -> None:
        """It left the curve; its open window still closes at its end."""
        if coin.is_graduated:
            return
        coin.is_graduated = True
        self.outcomes[coin.mint] = ("graduated", self.now_us)
        if coin.started_us is not None:
            coin.phase_id = GRADUATED
            self.counts["phase_switches"] += 1
            self._deactivate(coin, self.now_us)

    def _activate(self, coin: TrackedCoin) -> None:
        coin.is_active, coin.ended_us, coin.check_us = True, None, self.now_us
        self.followed[coin.mint] = True
        heapq.heappush(self._due, (self.now_us, coin.mint))

    def _deactivate(self, coin: TrackedCoin, ended_us: int) -> None:
        if coin.is_active:
            self.followed[coin.mint] = False
        coin.is_active, coin.ended_us = False, ended_us
        self.dirty.add(coin.mint)
        self._idle.add(coin.mint)

    def age_coins(self) -> None:
        """Bring every coin whose time has come up to now."""
        while self._due and self._due[0][0] <= self.now_us:
            coin = self.coins.get(heapq.heappop(self._due)[1])
            if coin is not None and coin.is_active and self._age(coin):
                heapq.heappush(self._due, (coin.check_us, coin.mint))

    def _age(self, coin: TrackedCoin) -> bool:
        """Bring an active coin up to now and note when to look again; False when it is no longer followed."""
        assert coin.started_us is not None
        phases = self.config.phases
        traded_us = coin.last_trade_us if coin.last_trade_us != coin.started_us else None
        given_up_us = self.config.rules.given_up_at(coin.started_us, traded_us)
        phase = phases.at(min(self.now_us, given_up_us) - coin.started_us)
        self._enter(coin, phase.id if phase else FINISHED)
        if phase is not None and given_up_us > self.now_us:
            coin.check_us = min(coin.started_us + phase.end_us, given_up_us)
            return True
        self._deactivate(coin, min(coin.started_us + phases.end_us, given_up_us))
        self.outcomes[coin.mint] = ("finished" if phase is None else "abandoned", None)
        return False

    def _enter(self, coin: TrackedCoin, phase_id: int) -> None:
        if phase_id != coin.phase_id:
            coin.phase_id = phase_id
            self.counts["phase_switches"] += 1
            self.dirty.add(coin.mint)

    # --- a trade ----------------------------------------------------------------------------------------

    def trade(self, coin: TrackedCoin, trade: Trade) -> int:
        """Fold a trade into its coin, now; the phase it fell into."""
        if coin.started_us is None:
            self.start(coin)
        if coin.is_active and coin.check_us <= self.now_us:
            self._age(coin)
        self.close_window_over(coin)
        if not trade.is_standard or trade.pool == "pump-amm":
            self._judge_curve(coin, trade)
        window = None if coin.is_graduated else coin.window or self._open_window(coin)
        lamports, price, virtual_sol, token = (
            trade.sol_lamports,
            trade.price_sol,
            trade.virtual_sol,
            trade.virtual_token,
        )
        if window is not None:
            whale_lamports = self.config.thresholds.whale_lamports
            window.add(trade.is_buy, lamports, price, virtual_sol, trade.trader, coin.creator, whale_lamports)
        self.touch(coin, lamports, price, virtual_sol, token)
        if window is None:
            return GRADUATED if coin.is_graduated else FINISHED
        if coin.is_standard and token is not None and token <= curve.TOKENS_AT_COMPLETION:
            self.graduate(coin)
        elif not coin.is_active:
            self._activate(coin)
            self.outcomes[coin.mint] = ("", None)
        return window.phase_id

    def _judge_curve(self, coin: TrackedCoin, trade: Trade) -> None:
        if coin.is_graduated:
            return
        if trade.pool == "pump-amm":
            self.graduate(coin)  # its migration was missed
        elif coin.is_standard and not trade.is_standard:
            coin.is_standard = False
            self.nonstandard.add(coin.mint)

    def touch(
        self, coin: TrackedCoin, lamports: int, price_sol: float, virtual_sol: int | None, virtual_token: int | None
    ) -> None:
        """Keep what the newest trade says of its coin."""
        volume = coin.volume_lamports + lamports
        coin.last_trade_us, coin.last_price_sol = self.now_us, price_sol
        coin.virtual_sol, coin.virtual_token = virtual_sol, virtual_token
        coin.trades_total += 1
        coin.volume_lamports = volume if volume < MOST_LAMPORTS else MOST_LAMPORTS
        if coin.ath_price_sol is None or price_sol > coin.ath_price_sol:
            coin.ath_price_sol, coin.ath_us = price_sol, self.now_us
        self.dirty.add(coin.mint)

    def quiet_coin(self, mint: str) -> TrackedCoin | None:
        """The coin, if a trade on the standard curve, now, changes nothing of its life: unless it completes the curve,
        `fold` is all there is to do."""
        coin, now_us = self.coins.get(mint), self.now_us
        if coin is None or coin.window is None or not coin.is_active or coin.filtered:
            return None
        return coin if now_us < coin.window.end_us and now_us < coin.check_us else None

    def fold(
        self,
        coin: TrackedCoin,
        is_buy: bool,
        lamports: int,
        price_sol: float,
        virtual_sol: int,
        virtual_token: int,
        trader: str,
    ) -> int:
        """Fold a trade of a quiet coin into its window; the phase it fell into."""
        window = coin.window
        assert window is not None
        whale_lamports = self.config.thresholds.whale_lamports
        window.add(is_buy, lamports, price_sol, virtual_sol, trader, coin.creator, whale_lamports)
        self.touch(coin, lamports, price_sol, virtual_sol, virtual_token)
        return window.phase_id

    # --- windows ----------------------------------------------------------------------------------------

    def _open_window(self, coin: TrackedCoin) -> Window | None:
        assert coin.started_us is not None
        phase = self.config.phases.at(self.now_us - coin.started_us)
        if phase is None:
            return None
        coin.window = Window(phase.id, *window_bounds(phase, coin.started_us, self.now_us))
        heapq.heappush(self._open, (coin.window.end_us, coin.mint))
        return coin.window

    def _redraw(self, coin: TrackedCoin, window: Window) -> None:
        """Give an open window the end that the phases say now; what is over is closed before."""
        assert coin.started_us is not None
        if self.now_us >= window.end_us:
            self._close(coin, window)
            return
        phase_id, _, window.end_us = open_window_bounds(self.config.phases, coin.started_us, self.now_us)
        window.phase_id = phase_id or window.phase_id
        heapq.heappush(self._open, (window.end_us, coin.mint))

    def close_window_over(self, coin: TrackedCoin) -> None:
        """Close the coin's window if it is over by now: before anything is learned of the coin, because a row says what
        was known at its end, whenever it is written."""
        if coin.window is not None and self.now_us >= coin.window.end_us:
            self._close(coin, coin.window)

    def close_windows(self) -> None:
        """Close every window that is over by now."""
        while self._open and self._open[0][0] <= self.now_us:
            end_us, mint = heapq.heappop(self._open)
            coin = self.coins.get(mint)
            if coin is not None and coin.window is not None and coin.window.end_us == end_us:
                self._close(coin, coin.window)

    def _close(self, coin: TrackedCoin, window: Window) -> None:
        koth = self.config.thresholds.koth_market_cap_sol
        self.windows.append(
            metric_row(coin.mint, window, is_standard=coin.is_standard, creator=coin.creator, koth_market_cap_sol=koth)
        )
        coin.window = None
