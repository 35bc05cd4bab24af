"""API tokens (hashed, scoped, expiring), the heartbeats of processes, what every outbox holds."""

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


class Delivery(models.Model):
    """A row of an outbox of webhooks (`outbox`): written with what it tells, delivered by a task."""

    ID_PREFIX: ClassVar[str] = "delivery"

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    url = models.URLField()
    payload = models.JSONField()
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    response_status = models.PositiveSmallIntegerField(null=True)
    error = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
