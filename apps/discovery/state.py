"""What the stream remembers between two commits, and what it hands to one commit. Plain values, no database.

Times are epoch microseconds of feed time. Everything here can be rebuilt from the tables as of the last commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from apps.discovery.lifecycle import Phases, Rules
from apps.discovery.meter import Reading
from apps.discovery.windows import TOKENS, MetricRow, Thresholds, Window

TRADE_COLUMNS = (
    "mint",
    "timestamp",
    "trade_key",
    "seq",
    "signature",
    "trader_public_key",
    "tx_type",
    "sol_amount",
    "token_amount",
    "price_sol",
    "virtual_sol_lamports",
    "virtual_token_base_units",
    "is_whale",
    "phase_id_at_time",
)
TradeRow = tuple[str | int | float | bool | None, ...]


Gap = tuple[int, int, str]  # from, to, reason
CREATES_ONLY, NO_TRADES = "creates_only", "the feed sends no trades without a funded API key"
REFUSED = "refused"  # the reason of a gap in which there was a connection, but no trades without a funded key


@dataclass(frozen=True, slots=True)
class Config:
    """What may be changed while the stream runs."""

    phases: Phases
    rules: Rules
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the journal: everything before `next_seq`, which stands at `offset` of `segment`, is in the tables."""

    segment: str = ""
    offset: int = 0
    next_seq: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the journal: a frame's exact text, or a gap (from, to, reason)."""

    seq: int
    at_us: int
    raw: str | None
    gap: Gap | None = None


@dataclass(slots=True)
class TrackedCoin:
    """A coin as the tables know it, with its open window.

    `started_us` None: only known, never followed (filtered, or seen in nothing but a migration). `check_us`: nothing in
    its life changes before then unless it is traded.
    """

    mint: str
    created: bool = False
    creator: str | None = None
    is_standard: bool = True
    filtered: str = ""
    started_us: int | None = None
    is_active: bool = False
    is_graduated: bool = False
    ended_us: int | None = None
    phase_id: int = 0
    check_us: int = 0
    ath_price_sol: float | None = None
    ath_us: int | None = None
    last_trade_us: int | None = None
    last_price_sol: float | None = None
    virtual_sol: int | None = None
    virtual_token: int | None = None
    trades_total: int = 0
    volume_lamports: int = 0
    window: Window | None = None


STREAM_COLUMNS = (
    "mint",
    "phase_id",
    "is_active",
    "is_graduated",
    "started_at",
    "ended_at",
    "ath_price_sol",
    "ath_at",
    "last_trade_at",
    "last_price_sol",
    "last_market_cap_sol",
    "virtual_sol_lamports",
    "virtual_token_base_units",
    "trades_total",
    "volume_lamports",
)
StreamRow = tuple[str | int | float | bool | None, ...]


def stream_row(coin: TrackedCoin) -> StreamRow:
    """The coin as it is now, as a row of `coin_streams` in the order of STREAM_COLUMNS."""
    price = coin.last_price_sol
    return (
        coin.mint,
        coin.phase_id,
        coin.is_active,
        coin.is_graduated,
        coin.started_us,
        coin.ended_us,
        coin.ath_price_sol,
        coin.ath_us,
        coin.last_trade_us,
        price,
        None if price is None else price * TOKENS,
        coin.virtual_sol,
        coin.virtual_token,
        coin.trades_total,
        coin.volume_lamports,
    )


@dataclass(frozen=True, slots=True)
class CoinRow:
    """A row of `discovered_coins` as the stream first writes it."""

    mint: str
    first_seen_us: int
    name: str = ""
    symbol: str = ""
    creator: str | None = None
    signature: str | None = None
    bonding_curve_key: str | None = None
    pool: str = ""
    curve: str = "standard"
    is_mayhem: bool = False
    virtual_sol_lamports: int | None = None
    virtual_token_base_units: int | None = None
    initial_buy_lamports: int | None = None
    initial_buy_base_units: int | None = None
    market_cap_sol: float | None = None
    uri: str = ""
    created_us: int | None = None
    filtered_reason: str = ""


@dataclass(frozen=True, slots=True)
class OddSample:
    kind: str
    seen_us: int
    seq: int
    sample: str


@dataclass(frozen=True, slots=True)
class RecentCreate:
    """What the burst filter remembers of a create."""

    at_us: int
    creator: str | None
    name: str
    symbol: str


@dataclass(slots=True)
class Snapshot:
    """What the tables say when the stream starts."""

    cursor: Cursor = field(default_factory=Cursor)
    feed_us: int = 0
    frames_total: int = 0
    oddities: dict[str, int] = field(default_factory=dict)
    state: str = "starting"
    refused_us: int = 0  # since when trades are refused
    coins: list[TrackedCoin] = field(default_factory=list)
    recent_creates: list[RecentCreate] = field(default_factory=list)
    recent_keys: list[tuple[int, int]] = field(default_factory=list)
    reading: Reading | None = None


@dataclass(slots=True)
class Batch:
    """What one transaction writes. Everything is absolute, so that writing it twice is writing it once; nothing in it
    changes any more, so that another thread may write it."""

    before: Cursor
    cursor: Cursor
    feed_us: int
    frames_total: int
    oddities: dict[str, int]
    state: str
    trades: list[TradeRow] = field(default_factory=list)
    windows: list[MetricRow] = field(default_factory=list)
    coins: dict[str, CoinRow] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    nonstandard: set[str] = field(default_factory=set)
    streams: list[StreamRow] = field(default_factory=list)
    odd_frames: list[OddSample] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    open_gap: Gap | None = None  # grows from batch to batch
    counts: Counter[str] = field(default_factory=Counter)
    readings: list[Reading] = field(default_factory=list)
    oldest_us: int = 0  # receive time of its first frame, 0 without one

    @property
    def is_empty(self) -> bool:
        """Whether nothing but time has passed."""
        return self.cursor == self.before and not self.windows and not self.streams


class Store(Protocol):
    """Where coins that are not in memory are looked up."""

    def load_coins(self, mints: Collection[str]) -> list[TrackedCoin]:
        """The known ones among `mints`, as committed."""
        ...
