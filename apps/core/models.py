"""API tokens (hashed, scoped, expiring), the heartbeats of processes, webhooks: who gets them and what was sent."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models


class ApiToken(models.Model):
    """A bearer token of a program. Only its SHA-256 is kept; the token itself is shown once."""

    class Scope(models.TextChoices):
        READ = "read"
        TRADE = "trade"
        ADMIN = "admin"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, help_text="first characters, to recognise it")
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_tokens"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.name


class Heartbeat(models.Model):
    """A process that was alive at `beat_at`; `/health` and the uptime gauge read it."""

    instance = models.CharField(max_length=200, primary_key=True, help_text="name@host:pid")
    name = models.CharField(max_length=32)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()

    class Meta:
        db_table = "process_heartbeats"
        ordering = ["name", "instance"]

    def __str__(self) -> str:
        return self.instance


class WebhookKind(models.TextChoices):
    """What an endpoint can be told of."""

    COINS = "coins"
    ALERTS = "alerts"
    PREDICTIONS = "predictions"
    OUTCOMES = "outcomes"
    TRADES = "trades"


class WebhookEndpoint(models.Model):
    """An address that gets webhooks. Its secrets are sealed (`webhooks.secret_open`) and never shown again.

    `setting` names the environment variable that gives the address, where one does. `kinds` is what it is told of by
    itself; a model at work names the endpoint of its own beside that.
    """

    class Off(models.TextChoices):
        """Why it is off."""

        GONE = "gone"
        FAILING = "failing"
        PERSON = "person"
        SETTING = "setting"

    uid = models.UUIDField(default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    url = models.URLField(max_length=500)
    setting = models.CharField(max_length=32, default="", blank=True)
    kinds = models.JSONField(default=list, blank=True)
    model_ids = models.JSONField(default=list, blank=True, help_text="models at work it is told of; empty means all")
    enabled = models.BooleanField(default=True)
    off_reason = models.CharField(max_length=8, choices=Off, default="", blank=True)
    off_at = models.DateTimeField(null=True)
    secret = models.BinaryField(null=True, editable=False)
    old_secret = models.BinaryField(null=True, editable=False)
    old_secret_until = models.DateTimeField(null=True)
    header_name = models.CharField(max_length=100, default="", blank=True)
    header_value = models.BinaryField(null=True, editable=False)
    failures = models.PositiveIntegerField(default=0, help_text="in a row")
    failing_since = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, default="", blank=True)
    last_success_at = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True, help_text="a worker sends to it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "webhook_endpoints"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["setting"], name="endpoint_of_setting", condition=~models.Q(setting="")),
            models.UniqueConstraint(fields=["url"], name="endpoint_of_url", condition=models.Q(setting="")),
            models.CheckConstraint(
                name="endpoint_off_has_reason",
                condition=models.Q(enabled=True, off_reason="") | (models.Q(enabled=False) & ~models.Q(off_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WebhookMessage(models.Model):
    """A row of the outbox of webhooks (`outbox`): written with what it tells, sent by a task."""

    TEST: ClassVar[str] = "test"

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    uid = models.UUIDField(default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="messages", db_index=False)
    kind = models.CharField(max_length=16)
    active_model_id = models.BigIntegerField(null=True)
    body = models.TextField(help_text="JSON, exactly as it is signed and sent")
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    attempts_before = models.PositiveSmallIntegerField(default=0, help_text="made before it was last sent again")
    next_attempt_at = models.DateTimeField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=300, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "webhook_messages"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"], name="webhooks_due", condition=models.Q(status="pending")
            ),
            models.Index(fields=["endpoint", "-id"], name="webhooks_of_endpoint"),
            models.Index(
                fields=["active_model_id", "-id"],
                name="webhooks_of_model",
                condition=models.Q(active_model_id__isnull=False),
            ),
        ]

    @property
    def webhook_id(self) -> str:
        """The same at every attempt, and never used again, also where tables are restored."""
        return f"msg_{self.uid.hex}"


class WebhookAttempt(models.Model):
    """One attempt to send a message, and what was answered."""

    message = models.ForeignKey(WebhookMessage, models.CASCADE, related_name="tries", db_index=False)
    number = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    duration_ms = models.FloatField()
    response_status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=300, default="", blank=True)
    answer = models.TextField(default="", blank=True, help_text="its first 1,024 bytes")

    class Meta:
        db_table = "webhook_attempts"
        ordering = ["message_id", "number", "id"]
        constraints = [models.UniqueConstraint(fields=["message", "number"], name="attempt_once")]


class SharedEntry(models.Model):
    """What all processes must know together for minutes: failed logins. Django's database cache reads and writes it."""

    cache_key = models.CharField(max_length=255, primary_key=True, db_collation="C")
    value = models.TextField()
    expires = models.DateTimeField()

    class Meta:
        db_table = "shared_entries"
        verbose_name_plural = "shared entries"

    def __str__(self) -> str:
        return self.cache_key
