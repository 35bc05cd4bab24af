"""The market: trades, windows, candles, vectors and exchange rates. Money is in lamports and base units."""

from django.db import models
from pgvector.django import HnswIndex, VectorField

from apps.discovery.models.coins import Phase


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
