"""The feed: how far the tables are, what was missed, what it costs, and what may be changed while it runs."""

from django.db import models


class StreamState(models.Model):
    """The one row that says how far the tables are: journal cursor and feed time, written with the rows they cover."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    journal_id = models.CharField(
        max_length=36, default="", db_default="", blank=True, help_text="of the journal that the cursor is a place in"
    )
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
    """A time without a connection, or with one that brought no trades: what was traded then is unknown.

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
