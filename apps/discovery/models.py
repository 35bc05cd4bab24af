"""Tables of discovery. Tables and metric columns have the names of the contract; money is in lamports, base units."""

from django.db import models
from pgvector.django import HnswIndex, VectorField

from apps.core.models import Delivery
from apps.discovery import kinds


class Phase(models.Model):
    """A stretch of a coin's life with its own window length."""

    id = models.SmallIntegerField(primary_key=True)
    name = models.CharField(max_length=50, unique=True)
    interval_seconds = models.PositiveIntegerField()
    min_age_minutes = models.PositiveIntegerField()
    max_age_minutes = models.PositiveIntegerField()

    FINISHED = 99
    GRADUATED = 100

    class Meta:
        db_table = "ref_coin_phases"
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="phase_ages_in_order", condition=models.Q(max_age_minutes__gte=models.F("min_age_minutes"))
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Coin(models.Model):
    """Every coin seen, also those that are filtered and only known."""

    class Curve(models.TextChoices):
        STANDARD = "standard"
        NONSTANDARD = "nonstandard"

    mint = models.CharField(max_length=64, primary_key=True)
    name = models.TextField(default="", blank=True)
    symbol = models.TextField(default="", blank=True)
    creator = models.CharField(max_length=64, null=True, blank=True)
    signature = models.CharField(max_length=100, null=True, blank=True)
    bonding_curve_key = models.CharField(max_length=64, null=True, blank=True)
    pool = models.CharField(max_length=32, default="", blank=True)
    curve = models.CharField(max_length=16, choices=Curve, default=Curve.STANDARD)
    is_mayhem = models.BooleanField(default=False)
    quote_mint = models.CharField(max_length=64, default="So11111111111111111111111111111111111111112")
    virtual_sol_lamports = models.BigIntegerField(null=True, help_text="reserves right after the creation")
    virtual_token_base_units = models.BigIntegerField(null=True)
    initial_buy_lamports = models.BigIntegerField(null=True)
    initial_buy_base_units = models.BigIntegerField(null=True)
    market_cap_sol = models.FloatField(null=True, help_text="at creation")
    uri = models.TextField(default="", blank=True)
    description = models.TextField(default="", blank=True)
    image_url = models.TextField(default="", blank=True)
    twitter = models.TextField(default="", blank=True)
    telegram = models.TextField(default="", blank=True)
    website = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(null=True, help_text="feed time of the create frame; NULL when it was not seen")
    first_seen_at = models.DateTimeField()
    filtered_reason = models.CharField(max_length=32, default="", blank=True)
    graduated = models.BooleanField(default=False)
    graduated_at = models.DateTimeField(null=True, blank=True)
    final_outcome = models.CharField(max_length=32, default="", blank=True)

    class Meta:
        db_table = "discovered_coins"
        ordering = ["-first_seen_at", "mint"]
        indexes = [
            models.Index(fields=["-first_seen_at", "mint"], name="coins_newest"),
            models.Index(fields=["creator", "-created_at", "mint"], name="coins_of_creator"),
            # newcomers.slice_take: coins whose creation was seen between two feed times
            models.Index(fields=["created_at", "mint"], name="coins_created"),
        ]

    def __str__(self) -> str:
        return self.symbol or self.mint[:8]

    @property
    def curve_kind(self) -> kinds.Kind:
        """Why it is not priced by formula; `standard` where it is."""
        return kinds.kind_of(curve=self.curve, pool=self.pool, is_mayhem=self.is_mayhem, quote_mint=self.quote_mint)


class CoinStream(models.Model):
    """The tracking state of a coin."""

    coin = models.OneToOneField(Coin, models.CASCADE, primary_key=True, db_column="mint", related_name="stream")
    phase = models.ForeignKey(Phase, models.PROTECT, related_name="streams")
    is_active = models.BooleanField(default=True)
    is_graduated = models.BooleanField(default=False)
    started_at = models.DateTimeField(help_text="feed time from which the coin's age counts")
    ended_at = models.DateTimeField(null=True, blank=True)
    ath_price_sol = models.FloatField(null=True)
    ath_at = models.DateTimeField(null=True)
    last_trade_at = models.DateTimeField(null=True)
    last_price_sol = models.FloatField(null=True)
    last_market_cap_sol = models.FloatField(null=True)
    virtual_sol_lamports = models.BigIntegerField(null=True)
    virtual_token_base_units = models.BigIntegerField(null=True)
    trades_total = models.PositiveIntegerField(default=0)
    volume_lamports = models.BigIntegerField(default=0)

    class Meta:
        db_table = "coin_streams"
        ordering = ["-started_at", "coin_id"]
        indexes = [
            models.Index(fields=["-started_at"], name="streams_active", condition=models.Q(is_active=True)),
            # creators.FOLDABLE: coins that have ended and are to be summarised
            models.Index(fields=["ended_at", "coin"], name="streams_ended", condition=models.Q(is_active=False)),
        ]

    def __str__(self) -> str:
        return self.coin_id


class CoinMetric(models.Model):
    """One row per coin and closed window in which it traded (hypertable by `timestamp`, the window's end)."""

    pk = models.CompositePrimaryKey("mint", "timestamp")
    mint = models.CharField(max_length=64)
    timestamp = models.DateTimeField()
    row_id = models.BigIntegerField(
        null=True, editable=False, help_text="order of commit; default from a sequence (sql/010)"
    )
    phase_id_at_time = models.SmallIntegerField()
    price_open = models.FloatField()
    price_high = models.FloatField()
    price_low = models.FloatField()
    price_close = models.FloatField()
    market_cap_close = models.FloatField()
    bonding_curve_pct = models.FloatField(null=True)
    virtual_sol_reserves = models.FloatField(null=True)
    is_koth = models.BooleanField(default=False)
    volume_sol = models.FloatField()
    buy_volume_sol = models.FloatField()
    sell_volume_sol = models.FloatField()
    num_buys = models.IntegerField()
    num_sells = models.IntegerField()
    unique_wallets = models.IntegerField(null=True)
    num_micro_trades = models.IntegerField()
    dev_sold_amount = models.FloatField(null=True)
    max_single_buy_sol = models.FloatField()
    max_single_sell_sol = models.FloatField()
    net_volume_sol = models.FloatField()
    volatility_pct = models.FloatField()
    avg_trade_size_sol = models.FloatField()
    whale_buy_volume_sol = models.FloatField()
    whale_sell_volume_sol = models.FloatField()
    num_whale_buys = models.IntegerField()
    num_whale_sells = models.IntegerField()
    buy_pressure_ratio = models.FloatField(null=True)
    unique_signer_ratio = models.FloatField(null=True)

    class Meta:
        db_table = "coin_metrics"


class CoinTransaction(models.Model):
    """Every trade (hypertable by `timestamp`, its receive time)."""

    pk = models.CompositePrimaryKey("mint", "timestamp", "trade_key")
    mint = models.CharField(max_length=64)
    timestamp = models.DateTimeField()
    trade_key = models.BigIntegerField(help_text="64-bit hash of what makes the trade unique")
    seq = models.BigIntegerField(help_text="number of the journal frame (or file line): the order inside one instant")
    signature = models.CharField(max_length=100, null=True)
    trader_public_key = models.CharField(max_length=64, null=True)
    tx_type = models.CharField(max_length=4)
    sol_amount = models.BigIntegerField(help_text="lamports, net of fees")
    token_amount = models.BigIntegerField(help_text="base units")
    price_sol = models.FloatField(help_text="SOL per token after the trade")
    virtual_sol_lamports = models.BigIntegerField(null=True, help_text="reserves after the trade")
    virtual_token_base_units = models.BigIntegerField(null=True)
    is_whale = models.BooleanField()
    phase_id_at_time = models.SmallIntegerField()

    class Meta:
        db_table = "coin_transactions"
        constraints = [
            models.CheckConstraint(name="transaction_side", condition=models.Q(tx_type__in=["buy", "sell"])),
        ]


class CoinCandle(models.Model):
    """One minute of a coin, rolled up from its trades (hypertable by `timestamp`, the minute's start)."""

    pk = models.CompositePrimaryKey("mint", "timestamp")
    mint = models.CharField(max_length=64)
    timestamp = models.DateTimeField()
    price_open = models.FloatField(help_text="SOL per token, like the other three")
    price_high = models.FloatField()
    price_low = models.FloatField()
    price_close = models.FloatField()
    volume_lamports = models.BigIntegerField()
    buy_volume_lamports = models.BigIntegerField()
    trades = models.IntegerField()
    buys = models.IntegerField()

    class Meta:
        db_table = "coin_candles_1m"


class CandleDue(models.Model):
    """A minute whose candles are to be rolled up (again): written in the transaction that writes its trades."""

    minute = models.DateTimeField()

    class Meta:
        db_table = "coin_candles_due"


class CoinPatternEmbedding(models.Model):
    """A stretch of a coin's metrics as a vector, for nearest-neighbour search."""

    mint = models.CharField(max_length=64)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    label = models.CharField(max_length=50, default="", blank=True)
    phase = models.ForeignKey(Phase, models.PROTECT, null=True)
    num_rows = models.PositiveIntegerField()
    embedding = VectorField(dimensions=128)

    class Meta:
        db_table = "coin_pattern_embeddings"
        indexes = [HnswIndex(name="embeddings_cosine", fields=["embedding"], opclasses=["vector_cosine_ops"])]
        constraints = [models.UniqueConstraint(fields=["mint", "window_start", "window_end"], name="embedding_once")]


class ExchangeRate(models.Model):
    """What one SOL cost, with where and when that was read."""

    currency = models.CharField(max_length=3, choices=[("USD", "USD"), ("EUR", "EUR")])
    rate = models.DecimalField(max_digits=18, decimal_places=6)
    source = models.CharField(max_length=50)
    at = models.DateTimeField()

    class Meta:
        db_table = "exchange_rates"
        ordering = ["-at", "currency"]
        # rates.rate_at: the newest one of a currency at a moment
        indexes = [models.Index(fields=["currency", "-at"], name="rates_by_time")]
        constraints = [models.UniqueConstraint(fields=["currency", "source", "at"], name="rate_once")]


class StreamState(models.Model):
    """The one row that says how far the tables are: journal cursor and feed time, written with the rows they cover."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    segment = models.CharField(max_length=64, default="", blank=True)
    offset = models.BigIntegerField(default=0)
    next_seq = models.BigIntegerField(default=0)
    feed_at = models.DateTimeField(null=True)
    mode = models.CharField(max_length=16, default="live")
    connected = models.BooleanField(default=False)
    state = models.CharField(max_length=32, default="starting")
    detail = models.TextField(default="", blank=True)
    updated_at = models.DateTimeField(null=True)
    frames_total = models.BigIntegerField(default=0)
    oddities = models.JSONField(default=dict, help_text="how often each kind of odd frame was seen")
    health = models.JSONField(null=True, help_text="what the stream process says of itself (feed_health.py)")

    class Meta:
        db_table = "stream_state"
        constraints = [models.CheckConstraint(name="stream_state_single_row", condition=models.Q(id=1))]


class StreamGap(models.Model):
    """A time without a connection: what was traded then is unknown.

    What can be told of it afterwards is told by `gaps.py`: a coin's reserves before and after.
    """

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    reason = models.CharField(max_length=64)
    coins_followed = models.IntegerField(null=True, help_text="coins followed when it began")
    coins_changed = models.IntegerField(null=True, help_text="of them, those whose reserves were others afterwards")
    coins_unseen = models.IntegerField(null=True, help_text="of them, those of which nothing can be told")
    moved_lamports = models.BigIntegerField(null=True, help_text="at least so much moved, summed over the coins")
    assessed_at = models.DateTimeField(null=True, help_text="feed time of the last look")

    class Meta:
        db_table = "stream_gaps"
        ordering = ["-started_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["started_at", "ended_at"], name="gap_once")]


class StreamGapCoin(models.Model):
    """A coin that was traded unseen during a gap, by its virtual reserves before and after."""

    gap = models.ForeignKey(StreamGap, models.CASCADE, related_name="coins")
    mint = models.CharField(max_length=64)
    lamports_before = models.BigIntegerField()
    lamports_after = models.BigIntegerField()

    class Meta:
        db_table = "stream_gap_coins"
        ordering = ["gap_id", "mint"]
        constraints = [models.UniqueConstraint(fields=["gap", "mint"], name="gap_coin_once")]
        indexes = [models.Index(fields=["mint"], name="gap_coins_of_mint")]  # gaps.gaps_of_coin

    @property
    def moved_lamports(self) -> int:
        """Bought (above zero) or sold on balance while nobody looked."""
        return self.lamports_after - self.lamports_before


class FeedMeter(models.Model):
    """What the feed has sent since the first frame, as it stood at the end of a minute; differences are usage.

    Minutes older than a week are thinned to the last one of each UTC day (`services.meter_thin`).
    """

    at = models.DateTimeField(primary_key=True, help_text="start of the minute, feed time")
    frames = models.BigIntegerField()
    trades = models.BigIntegerField(help_text="trade events, which the feed charges for")
    judged = models.BigIntegerField(help_text="creates and sampled trades that were checked against the curve")
    exact = models.BigIntegerField(help_text="of them, those that the curve's formulas give to the last unit")
    compared = models.BigIntegerField(help_text="sampled trades compared with the coin's reserves before")
    seamless = models.BigIntegerField(help_text="of them, those that began where the trade before ended")

    class Meta:
        db_table = "feed_meter"
        ordering = ["-at"]


class PinnedCoin(models.Model):
    """A coin whose trades must be received whatever else is left out; written by whoever needs it (a held position)."""

    mint = models.CharField(max_length=64)
    holder = models.CharField(max_length=64, help_text="who needs it, such as position:12")
    pinned_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "pinned_coins"
        ordering = ["mint", "holder"]
        constraints = [models.UniqueConstraint(fields=["mint", "holder"], name="coin_pinned_once")]


class OddFrame(models.Model):
    """A sample of a frame that was not understood or is unusual, by kind."""

    kind = models.CharField(max_length=64)
    seen_at = models.DateTimeField()
    seq = models.BigIntegerField()
    sample = models.TextField(help_text="at most 2,000 characters")

    class Meta:
        db_table = "stream_odd_frames"
        ordering = ["-seen_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["kind", "seq"], name="odd_frame_once")]


class DiscoverySetting(models.Model):
    """What may be changed while the stream runs (the environment gives the first values)."""

    key = models.CharField(max_length=64, primary_key=True)
    value = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "discovery_settings"
        ordering = ["key"]


class CreatorCoin(models.Model):
    """How a creator dealt in a coin of theirs and what it came to: kept for good, also when its trades are dropped.

    A summary of all trades up to `last_trade_at`; valid while the stream knows of none later (see `creators.py`).
    """

    coin = models.OneToOneField(Coin, models.CASCADE, primary_key=True, db_column="mint", related_name="dealings")
    trades = models.IntegerField()
    last_trade_at = models.DateTimeField()
    bought_base_units = models.BigIntegerField(help_text="by the creator, the first buy included")
    sold_base_units = models.BigIntegerField(help_text="by the creator")
    sold80_at = models.DateTimeField(null=True, help_text="when the creator had first sold 80 % of what they bought")
    top_market_cap_sol = models.FloatField(null=True, help_text="on its curve; NULL where it cannot be priced")

    class Meta:
        db_table = "creator_coins"
        ordering = ["coin_id"]

    def __str__(self) -> str:
        return self.coin_id


class CreatorHistory(models.Model):
    """What was known of a coin's creator when the coin was created; never changes afterwards (see `creators.py`)."""

    coin = models.OneToOneField(
        Coin, models.CASCADE, primary_key=True, db_column="mint", related_name="creator_history"
    )
    creator = models.CharField(max_length=64)
    as_of = models.DateTimeField()
    coins = models.IntegerField(help_text="created before")
    graduated = models.IntegerField(help_text="of the last 200 of them, those that had graduated")
    died = models.IntegerField(help_text="of the last 200 of them, those traded and then silent")
    sold80_seconds = models.FloatField(null=True, help_text="median age at which 80 % were sold")
    top_market_cap_sol = models.FloatField(null=True, help_text="median")
    since_last_seconds = models.FloatField(null=True, help_text="since the creation before")

    class Meta:
        db_table = "creator_histories"
        ordering = ["as_of", "coin_id"]

    def __str__(self) -> str:
        return self.coin_id


class CoinMetadata(models.Model):
    """Where the reading of a coin's metadata stands; what it said is in the coin's own columns."""

    class Status(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"

    coin = models.OneToOneField(Coin, models.CASCADE, primary_key=True, db_column="mint", related_name="metadata")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    is_followed = models.BooleanField(default=True, help_text="filtered coins are read last")
    created_at = models.DateTimeField(help_text="feed time of the create frame")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(help_text="not read again before; while it is being read, the end of the lease")
    read_at = models.DateTimeField(null=True)
    host = models.CharField(max_length=255, default="", blank=True, help_text="who answered, or failed last")
    error = models.CharField(max_length=200, default="", blank=True)

    class Meta:
        db_table = "coin_metadata"
        ordering = ["-created_at", "coin_id"]
        indexes = [
            # metadata_queue.coins_claim: the pending ones, followed and newest first
            models.Index(
                fields=["-is_followed", "-created_at"], name="metadata_pending", condition=models.Q(status="pending")
            ),
        ]

    def __str__(self) -> str:
        return self.coin_id


class HostPause(models.Model):
    """A host that asked us to wait, or failed: not asked again before `until`."""

    host = models.CharField(max_length=255, primary_key=True)
    until = models.DateTimeField()
    failures = models.PositiveSmallIntegerField(default=1)

    class Meta:
        db_table = "metadata_host_pauses"
        ordering = ["host"]

    def __str__(self) -> str:
        return self.host


class FeedCursor(models.Model):
    """Up to which feed time (excluded) a reader of new coins has read."""

    name = models.CharField(max_length=32, primary_key=True)
    feed_at = models.DateTimeField()

    class Meta:
        db_table = "feed_cursors"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CoinBatch(Delivery):
    """The outbox of batches of new coins for n8n."""

    ID_PREFIX = "coins"

    class Meta:
        db_table = "coin_batches"
        ordering = ["-created_at", "-id"]
        indexes = [
            # core.outbox.deliveries_claim
            models.Index(
                fields=["next_attempt_at", "id"], name="coin_batches_due", condition=models.Q(status="pending")
            ),
        ]
