"""Coins: what they are, how they are tracked, what is known of them and of their creators."""

from django.db import models

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
            models.Index(fields=["-started_at", "coin"], name="streams_newest"),
            # creators.FOLDABLE: coins that have ended and are to be summarised
            models.Index(fields=["ended_at", "coin"], name="streams_ended", condition=models.Q(is_active=False)),
        ]

    def __str__(self) -> str:
        return self.coin_id


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
