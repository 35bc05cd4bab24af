"""What `/api/find/` takes and gives: the shapes of its requests and answers."""

from datetime import datetime

from ninja import Field, Schema

from apps.core.pagination import PageQuery
from apps.core.schemas import Body
from apps.discovery import services
from apps.discovery.kinds import Kind
from apps.discovery.models import CoinStream


class HealthOut(Schema):
    """How the stream is; `lag_seconds` is how far feed time is behind the clock (null in a replay)."""

    status: str
    mode: str
    state: str
    connected: bool
    detail: str
    feed_at: datetime | None
    updated_at: datetime | None
    lag_seconds: float | None
    frames_total: int
    journal_segment: str
    journal_next_seq: int
    oddities: dict[str, int]
    gaps_total: int


class ConfigOut(Schema):
    """What may be changed while the stream runs, and (read only) where the feed comes from."""

    bad_names_pattern: str
    spam_burst_window: int
    spam_burst_coins: int
    coin_cache_seconds: int
    stale_seconds: int
    whale_threshold_sol: float
    koth_market_cap_sol: float
    feed_mode: str
    ws_uri: str
    has_api_key: bool


class ConfigIn(Body):
    """Only what is given is changed; a name that there is not is an error."""

    bad_names_pattern: str | None = Field(None, max_length=1_000)
    spam_burst_window: int | None = None
    spam_burst_coins: int | None = None
    coin_cache_seconds: int | None = None
    stale_seconds: int | None = None
    whale_threshold_sol: float | None = None
    koth_market_cap_sol: float | None = None


class PhaseOut(Schema):
    id: int
    name: str
    interval_seconds: int
    min_age_minutes: int
    max_age_minutes: int


class PhaseIn(Body):
    name: str = Field(min_length=1, max_length=50, pattern=r"\S")
    interval_seconds: int = Field(ge=1, le=services.MOST_INTERVAL_SECONDS)
    min_age_minutes: int = Field(ge=0, le=services.MOST_AGE_MINUTES)
    max_age_minutes: int = Field(ge=1, le=services.MOST_AGE_MINUTES)


class StreamOut(Schema):
    """A tracked coin. Prices are SOL per token."""

    mint: str = Field(alias="coin_id")
    name: str = Field(alias="coin.name")
    symbol: str = Field(alias="coin.symbol")
    phase_id: int
    phase: str = Field(alias="phase.name")
    is_active: bool
    is_graduated: bool
    started_at: datetime
    ended_at: datetime | None
    ath_price_sol: float | None
    ath_at: datetime | None
    last_trade_at: datetime | None
    last_price_sol: float | None
    last_market_cap_sol: float | None
    virtual_sol_lamports: int | None
    virtual_token_base_units: int | None
    trades_total: int
    volume_lamports: int
    volume_sol: float

    @staticmethod
    def resolve_volume_sol(stream: CoinStream) -> float:
        return stream.volume_lamports / 1e9


class PhaseCount(Schema):
    id: int
    name: str
    active: int
    total: int


class StatsOut(Schema):
    total: int
    active: int
    graduated: int
    trades: int
    volume_lamports: int
    last_trade_at: datetime | None
    phases: list[PhaseCount]


class MetricOut(Schema):
    """A closed window; `timestamp` is its end."""

    mint: str
    timestamp: datetime
    phase_id_at_time: int
    price_open: float
    price_high: float
    price_low: float
    price_close: float
    market_cap_close: float
    bonding_curve_pct: float | None
    virtual_sol_reserves: float | None
    is_koth: bool
    volume_sol: float
    buy_volume_sol: float
    sell_volume_sol: float
    num_buys: int
    num_sells: int
    unique_wallets: int | None
    num_micro_trades: int
    dev_sold_amount: float | None
    max_single_buy_sol: float
    max_single_sell_sol: float
    net_volume_sol: float
    volatility_pct: float
    avg_trade_size_sol: float
    whale_buy_volume_sol: float
    whale_sell_volume_sol: float
    num_whale_buys: int
    num_whale_sells: int
    buy_pressure_ratio: float | None
    unique_signer_ratio: float | None
    touches_gap: bool = Field(False, description="the feed was away during a part of it: trades may be missing")


class LiveWindowOut(MetricOut):
    """The window that is open now, so far; `timestamp` is when it will end."""

    started_at: datetime


class CoinOut(Schema):
    """Master data. What the creator wrote (name, symbol, texts, addresses) is untrusted input."""

    mint: str
    name: str
    symbol: str
    creator: str | None
    signature: str | None
    bonding_curve_key: str | None
    pool: str
    curve: str
    curve_kind: Kind
    is_mayhem: bool
    quote_mint: str
    virtual_sol_lamports: int | None
    virtual_token_base_units: int | None
    initial_buy_lamports: int | None
    initial_buy_base_units: int | None
    market_cap_sol: float | None
    uri: str
    description: str
    image_url: str
    twitter: str
    telegram: str
    website: str
    created_at: datetime | None
    first_seen_at: datetime
    filtered_reason: str
    graduated: bool
    graduated_at: datetime | None
    final_outcome: str


class CoinDetailOut(Schema):
    coin: CoinOut
    stream: StreamOut | None
    metrics: list[MetricOut]
    live_window: LiveWindowOut | None


class AnalyticsWindow(Schema):
    window: str
    seconds: int
    trades: int
    buys: int
    sells: int
    volume_lamports: int
    volume_sol: float
    net_volume_sol: float
    buy_pressure_ratio: float | None
    price_open: float | None
    price_close: float | None
    price_high: float | None
    price_low: float | None
    price_change_pct: float | None


class AnalyticsOut(Schema):
    mint: str
    as_of: datetime
    windows: list[AnalyticsWindow]


class CandleOut(Schema):
    """`time` is the candle's start; prices are SOL per token. `touches_gap`: trades may be missing (feed was away)."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume_lamports: int
    volume_sol: float
    buy_volume_lamports: int
    trades: int
    buys: int
    touches_gap: bool


class CandlesOut(Schema):
    mint: str
    bucket_seconds: int
    items: list[CandleOut]
    count: int


class StreamFilter(PageQuery):
    active: bool | None = None
    phase_id: int | None = Field(None, ge=-32_768, le=32_767)
    search: str = Field("", max_length=100)


class MetricFilter(PageQuery):
    mint: str | None = Field(None, max_length=64)
