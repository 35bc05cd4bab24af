"""Tables of discovery. Tables and metric columns have the names of the contract."""

from apps.discovery.models.coins import (
    Coin,
    CoinMetadata,
    CoinStream,
    CreatorCoin,
    CreatorHistory,
    Phase,
)
from apps.discovery.models.feed import (
    DiscoverySetting,
    FeedCursor,
    FeedMeter,
    HostPause,
    OddFrame,
    PinnedCoin,
    StreamGap,
    StreamGapCoin,
    StreamState,
)
from apps.discovery.models.market import (
    CandleDue,
    CoinCandle,
    CoinMetric,
    CoinPatternEmbedding,
    CoinTransaction,
    ExchangeRate,
)

__all__ = [
    "CandleDue",
    "Coin",
    "CoinCandle",
    "CoinMetadata",
    "CoinMetric",
    "CoinPatternEmbedding",
    "CoinStream",
    "CoinTransaction",
    "CreatorCoin",
    "CreatorHistory",
    "DiscoverySetting",
    "ExchangeRate",
    "FeedCursor",
    "FeedMeter",
    "HostPause",
    "OddFrame",
    "Phase",
    "PinnedCoin",
    "StreamGap",
    "StreamGapCoin",
    "StreamState",
]
