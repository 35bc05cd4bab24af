"""Journal entries to rows: the one way of the live stream, of a restart and of a replay.

Parse, leave out doubles, follow each coin's life, fold its window. No clock, no database: time comes with the entries,
unknown coins are asked of a `Store`, rows leave in a `Batch` that goes into one transaction. Cut the entries anywhere,
rebuild from what was committed, go on: the tables come out the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from apps.discovery import curve
from apps.discovery.blocks import Frame, Raw, frame_of, take_apart, text_of
from apps.discovery.lifecycle import SpamMemory, filter_reason, spam_keys
from apps.discovery.lines import Block
from apps.discovery.meter import CANARY_EVERY, Meter
from apps.discovery.pumpportal.messages import QUOTE_MINTS, Control, Create, Message, Migrate, Parsed, Trade
from apps.discovery.pumpportal.parse import UNUSABLE
from apps.discovery.pumpportal.swift import NO_TRADES, Trades
from apps.discovery.rows import Doubles, coin_row, signed_key, trade_key, trade_row
from apps.discovery.state import (
    CREATES_ONLY,
    REFUSED,
    Batch,
    CoinRow,
    Config,
    Cursor,
    Entry,
    Gap,
    OddSample,
    RecentCreate,
    Snapshot,
    Store,
    StreamRow,
    TrackedCoin,
    TradeRow,
    stream_row,
)
from apps.discovery.tracking import Tracker

SAMPLES_UNUSABLE = 1_000
SAMPLES_USUAL = 20
SAMPLE_LENGTH = 2_000
_ODDITIES = {
    (False, False): (),
    (True, False): ("float_artefact",),
    (False, True): ("off_curve",),
    (True, True): ("float_artefact", "off_curve"),
}
_KEPT = UNUSABLE | {"quote_mint_create", "quote_mint_trade", "filtered_trade", "duplicate_create"}


def is_due_again(count: int) -> bool:
    """Whether a kind of oddity seen so often is sampled once more: 1,000, 1,100, … 10,000, 11,000, …"""
    return not count % 100 and count >= SAMPLES_UNUSABLE and count % 10 ** (len(str(count)) - 2) == 0


class Pipeline:
    """One feed's way into the tables. Not thread-safe; write what `take` hands out before the next `take` and call
    `committed` after it."""

    def __init__(self, config: Config, store: Store, snapshot: Snapshot) -> None:
        self.store = store
        self.tracker = Tracker(config)
        self.tracker.now_us = snapshot.feed_us
        self.tracker.remember(snapshot.coins)
        self.cursor, self.state, self._refused_us = snapshot.cursor, snapshot.state, snapshot.refused_us
        self.oddities = Counter(snapshot.oddities)
        self.meter = Meter(snapshot.reading)
        self._frames_before = snapshot.frames_total - self.meter.frames
        self._doubles = Doubles(snapshot.recent_keys)
        self._spam = SpamMemory()
        for create in snapshot.recent_creates:
            self._remember_create(create)
        self._oldest_us = 0  # when the first frame not yet committed came
        self._start_batch()

    @property
    def feed_us(self) -> int:
        """Feed time so far, epoch microseconds."""
        return self.tracker.now_us

    @property
    def frames_total(self) -> int:
        """All frames there ever were."""
        return self._frames_before + self.meter.frames

    def feed(self, entries: Sequence[Entry], cursor: Cursor) -> None:
        """Take consecutive journal entries; `cursor` is the place after them."""
        frames = [frame_of(entry) for entry in entries]
        self._begin(frames)
        for frame in frames:
            self._take_entry(frame)
        self.cursor = cursor

    def feed_block(self, block: Block, cursor: Cursor) -> None:
        """The same for lines as they stand in the journal: common trades by the shorter way."""
        trades, frames = take_apart(block)
        self._begin(frames, trades)
        rows, taken = zip(*trades, strict=True), 0
        for frame in frames:
            if frame.before > taken:
                self._take_common(islice(rows, frame.before - taken), block)
                taken = frame.before
            self._take_entry(frame)
        self._take_common(rows, block)
        self.cursor = cursor

    def _begin(self, frames: Sequence[Frame], trades: Trades = NO_TRADES) -> None:
        """Note when the first of them came, and learn of all coins in them that are not in memory."""
        if not self._oldest_us:
            first = [frame.entry.at_us for frame in frames[:1] if not frame.before] or trades.at_us
            self._oldest_us = first[0] if first else 0
        messages = (frame.parsed.message for frame in frames if frame.parsed is not None)
        mints = {message.mint for message in messages if message is not None and not isinstance(message, Control)}
        known = self.tracker.coins
        if unknown := {mint for mint in mints.union(trades.mint) if mint not in known} - QUOTE_MINTS:
            self.tracker.remember(self.store.load_coins(unknown))

    def _take_entry(self, frame: Frame) -> None:
        entry = frame.entry
        if entry.at_us > self.tracker.now_us:
            self.advance(entry.at_us)
        if entry.gap is not None:
            self._gaps.append(entry.gap)
        if frame.parsed is not None:
            self._take_frame(frame.parsed, entry.seq, entry.raw or "")

    def advance(self, now_us: int) -> None:
        """Let feed time pass; it never goes back."""
        if now_us > self.tracker.now_us:
            self.tracker.now_us = now_us
            if now_us >= self.meter.end_us:
                self.meter.turn(now_us)

    def reconfigure(self, config: Config) -> None:
        """From now on by other phases, rules and thresholds."""
        self.tracker.reconfigure(config)

    @property
    def pending_rows(self) -> int:
        return len(self._trades) + len(self._coins) + len(self.tracker.windows)

    @property
    def has_changes(self) -> bool:
        """Whether a frame came since the last `take`."""
        return self.cursor != self._before

    @property
    def active_count(self) -> int:
        return len(self.active_mints)

    def take(self) -> Batch:
        """Close what is over by feed time and hand out everything not yet committed."""
        tracker = self.tracker
        tracker.close_windows()
        tracker.age_coins()
        batch = Batch(
            before=self._before,
            cursor=self.cursor,
            feed_us=tracker.now_us,
            frames_total=self.frames_total,
            oddities=dict(self.oddities),
            state=self.state,
            trades=self._trades,
            windows=tracker.windows,
            coins=self._coins,
            outcomes=tracker.outcomes,
            nonstandard=tracker.nonstandard,
            streams=self._stream_rows(),
            odd_frames=self._odd_frames,
            gaps=self._gaps,
            open_gap=self._open_gap,
            counts=tracker.counts,
            readings=self.meter.take(),
            oldest_us=self._oldest_us,
        )
        tracker.start_batch()
        self._start_batch()
        return batch

    def committed(self) -> None:
        """The batch last taken is in the tables: whatever has not changed since may be forgotten."""
        self.tracker.forget_idle(self._coins)

    def _stream_rows(self) -> list[StreamRow]:
        coins = self.tracker.coins
        changed = [coins[mint] for mint in sorted(self.tracker.dirty)]
        return [stream_row(coin) for coin in changed if coin.started_us is not None]

    def take_followed(self) -> dict[str, bool]:
        """Coins whose trades are wanted (True) or no longer wanted (False) since the last call."""
        changes, self.tracker.followed = self.tracker.followed, {}
        return changes

    @property
    def active_mints(self) -> list[str]:
        return [mint for mint, coin in self.tracker.coins.items() if coin.is_active]

    def _start_batch(self) -> None:
        self._before = self.cursor
        self._trades: list[TradeRow] = []
        self._coins: dict[str, CoinRow] = {}
        self._odd_frames: list[OddSample] = []
        self._gaps: list[Gap] = []
        self._oldest_us = 0

    # --- one frame --------------------------------------------------------------------------------------

    def _take_frame(self, parsed: Parsed, seq: int, raw: Raw) -> None:
        self.meter.frames += 1
        for kind in parsed.oddities:
            self._note(kind, seq, raw)
        message = parsed.message
        if type(message) is Trade and message.mint not in QUOTE_MINTS:
            self._run()  # by a trade of its own, not by the first buy that every create carries
            self.meter.trades += 1
            if not seq % CANARY_EVERY:
                self._judge(message)
            self._trade(message, seq, raw)
        elif message is not None:
            self._take_other(message, seq, raw)
        elif not seq % CANARY_EVERY:
            self.meter.judged += 1  # what is not understood is not exact

    def _take_common(self, trades: Iterable[tuple[Any, ...]], block: Block) -> None:
        """Common trades that follow each other, as rows of `Trades`. Nearly all of them only go into the open window of
        their coin; the others go on as every trade does."""
        tracker, meter, is_double, add = self.tracker, self.meter, self._doubles.is_double, self._trades.append
        whale_lamports = tracker.config.thresholds.whale_lamports
        for seq, at_us, signature, mint, trader, is_buy, lamports, tokens, price, sol, token, rounded, off in trades:
            if at_us > tracker.now_us:
                self.advance(at_us)
            coin = tracker.quiet_coin(mint)
            if coin is None or token <= curve.TOKENS_AT_COMPLETION or off:
                trade = Trade(mint, is_buy, lamports, tokens, price, sol, token, trader, signature, "pump", True)
                self._take_frame(Parsed(trade, _ODDITIES[rounded, off]), seq, block)
                continue
            if self.state != "running":
                self._run()
            meter.frames += 1
            meter.trades += 1
            if rounded:
                self._note("float_artefact", seq, block)
            if not seq % CANARY_EVERY:
                self._judge(Trade(mint, is_buy, lamports, tokens, price, sol, token, trader, signature, "pump", True))
            side, now_us = "buy" if is_buy else "sell", tracker.now_us
            key = signed_key(f"{signature} {mint} {trader} {side} {tokens}")
            if is_double(key, now_us):
                self._note("duplicate_trade", seq, block)
                continue
            whale = lamports >= whale_lamports
            phase = tracker.fold(coin, is_buy, lamports, price, sol, token, trader)
            add((mint, now_us, key, seq, signature, trader, side, lamports, tokens, price, sol, token, whale, phase))

    def _take_other(self, message: Message, seq: int, raw: Raw) -> None:
        """A frame that is no trade of a coin."""
        if self.state == "starting":
            self.state = "running"
        if isinstance(message, Control):
            self._obey(message)
        elif message.mint in QUOTE_MINTS:
            if isinstance(message, Migrate):
                self._note("quote_mint_migrate", seq, raw)
        elif isinstance(message, Create):
            self._create(message, seq, raw)
            self._give_back(message.mint)
        elif isinstance(message, Migrate):
            self._migrate(message)

    def _note(self, kind: str, seq: int, raw: Raw) -> None:
        """Count an oddity, and keep the frame where it says something no row holds (a few samples otherwise; of what is
        common ever fewer, about ninety for ten times as many frames, so that a sample is never old for its kind)."""
        count = self.oddities[kind]
        self.oddities[kind] = count + 1
        if count < (SAMPLES_UNUSABLE if kind in _KEPT else SAMPLES_USUAL) or is_due_again(count):
            sample = text_of(raw, seq)[:SAMPLE_LENGTH].replace("\x00", "\ufffd")
            self._odd_frames.append(OddSample(kind, self.feed_us, seq, sample))

    def _obey(self, control: Control) -> None:
        if control.grants_trades:
            self._run()
        elif control.refuses_trades and self.state != CREATES_ONLY:
            self.state, self._refused_us = CREATES_ONLY, self.feed_us

    def _run(self) -> None:
        """Trades come; while they were refused nothing was known of them."""
        if self._open_gap is not None:
            self._gaps.append(self._open_gap)
        self.state = "running"

    @property
    def _open_gap(self) -> Gap | None:
        """The time since trades are refused, as far as it is."""
        is_open = self.state == CREATES_ONLY and self._refused_us < self.feed_us
        return (self._refused_us, self.feed_us, REFUSED) if is_open else None

    def _judge(self, trade: Trade) -> None:
        """Hold a trade of a standard coin against the curve; a doubled one, which changes nothing, is left out."""
        coin = self.tracker.coins.get(trade.mint)
        if coin is None or not coin.is_standard or coin.filtered:
            return
        if coin.virtual_sol is None or coin.virtual_token is None:
            self.meter.judge_trade(trade, None)
        elif (coin.virtual_sol, coin.virtual_token) != (trade.virtual_sol, trade.virtual_token):
            self.meter.judge_trade(trade, curve.Reserves(coin.virtual_sol, coin.virtual_token))

    def _trade(self, trade: Trade, seq: int, raw: Raw) -> None:
        coin = self.tracker.coins.get(trade.mint)
        if coin is not None and coin.filtered:
            self._note("filtered_trade", seq, raw)
            return
        tracker = self.tracker
        now_us = tracker.now_us
        key = trade_key(trade, now_us)
        if self._doubles.is_double(key, now_us):
            self._note("duplicate_trade", seq, raw)
            return
        coin = coin or self._coin_of_trade(trade)
        phase_id = tracker.trade(coin, trade)
        whale_lamports = tracker.config.thresholds.whale_lamports
        self._trades.append(trade_row(trade, key, seq, now_us, phase_id, whale_lamports))

    def _coin_of_trade(self, trade: Trade) -> TrackedCoin:
        """A coin whose creation was not seen: its age counts from now, its creator stays unknown."""
        coin = self.tracker.add(trade.mint)
        coin.is_standard = trade.is_standard
        self._coins[trade.mint] = CoinRow(
            mint=trade.mint,
            first_seen_us=self.feed_us,
            pool=trade.pool,
            curve="standard" if trade.is_standard else "nonstandard",
        )
        return coin

    def _migrate(self, migrate: Migrate) -> None:
        coin = self.tracker.coins.get(migrate.mint)
        if coin is None:
            coin = self.tracker.add(migrate.mint)
            self._coins[coin.mint] = CoinRow(mint=coin.mint, first_seen_us=self.feed_us)
        self.tracker.graduate(coin)

    # --- a create ---------------------------------------------------------------------------------------

    def _create(self, create: Create, seq: int, raw: Raw) -> None:
        coin = self.tracker.coins.get(create.mint)
        if coin is not None and coin.created:
            self._note("duplicate_create", seq, raw)
            return
        self.meter.judge_create(create)
        coin = coin or self.tracker.add(create.mint)
        self.tracker.close_window_over(coin)
        self._describe(coin, create)
        if coin.filtered:
            return
        if coin.started_us is None:
            self.tracker.start(coin)
        self.tracker.dirty.add(coin.mint)
        if create.virtual_sol and create.virtual_token and coin.last_trade_us is None:
            coin.virtual_sol, coin.virtual_token = create.virtual_sol, create.virtual_token
            coin.last_price_sol = curve.spot_price_sol(curve.Reserves(create.virtual_sol, create.virtual_token))
        if create.first_buy is not None:
            self._trade(create.first_buy, seq, raw)

    def _give_back(self, mint: str) -> None:
        """The client asks for the trades of every create at once, whether it is tracked or not."""
        if not self.tracker.coins[mint].is_active:
            self.tracker.followed[mint] = False

    def _describe(self, coin: TrackedCoin, create: Create) -> None:
        """What the create says of the coin, and whether it is worth following; a coin already followed stays so."""
        coin.created, coin.creator = True, create.creator
        coin.is_standard = coin.is_standard and create.is_standard
        seen = RecentCreate(self.feed_us, create.creator, create.name, create.symbol)
        reason = self._filter_reason(seen)
        if coin.started_us is None:
            coin.filtered = reason
        if coin.filtered:
            self.tracker.counts[f"filtered {reason}"] += 1
        before = self._coins.get(coin.mint)  # by a trade or a migration of the same batch
        first_seen_us = before.first_seen_us if before is not None else self.feed_us
        self._coins[coin.mint] = coin_row(coin, create, self.feed_us, first_seen_us)

    def _filter_reason(self, create: RecentCreate) -> str:
        return filter_reason(
            self.tracker.config.rules,
            self._spam,
            at_us=create.at_us,
            creator=create.creator,
            name=create.name,
            symbol=create.symbol,
        )

    def _remember_create(self, create: RecentCreate) -> None:
        rules, keys = self.tracker.config.rules, spam_keys(create.creator, create.name, create.symbol)
        self._spam.is_burst(create.at_us, keys, rules.spam_window_us, rules.spam_coins)
