"""`/health` tells what lives."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from apps.core.models import Heartbeat
from apps.core.process import heartbeat_write, processes_alive, uptime_seconds
from apps.discovery.models import StreamState
from pumpsite.health import WORKERS


def alive(name: str, *, beat_ago: float = 0, started_ago: float = 60) -> Heartbeat:
    now = timezone.now()
    return Heartbeat.objects.create(
        instance=f"{name}@test:1",
        name=name,
        beat_at=now - timedelta(seconds=beat_ago),
        started_at=now - timedelta(seconds=started_ago),
    )


def stream(*, connected: bool = True, ago: float = 0) -> None:
    updated_at = timezone.now() - timedelta(seconds=ago)
    fields = {"connected": connected, "state": "live", "updated_at": updated_at}
    StreamState.objects.update_or_create(id=1, defaults=fields)


@pytest.fixture
def all_well(db: None) -> None:
    stream()
    for name in WORKERS:
        alive(name)


def test_all_well_is_200(client: Client, all_well: None):
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert response.headers["Cache-Control"] == "no-store"


def test_missing_worker_is_named(client: Client, all_well: None):
    Heartbeat.objects.filter(name="scorer").update(beat_at=timezone.now() - timedelta(seconds=31))
    response = client.get("/health")
    assert (response.status_code, response.json()["workers"]) == (503, {"ok": False, "missing": ["scorer"]})


@pytest.mark.parametrize(("connected", "ago", "state"), [(False, 0, "not connected"), (True, 61, "silent")])
def test_stream_that_is_not_connected_or_silent_is_unwell(
    client: Client, all_well: None, connected: bool, ago: float, state: str
):
    stream(connected=connected, ago=ago)
    response = client.get("/health")
    told = response.json()["stream"]
    assert (response.status_code, told["ok"], told["state"]) == (503, False, state)


def test_absent_redis_is_said(client: Client, all_well: None, settings: Any):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/health")
    assert (response.status_code, response.json()["redis"]["ok"]) == (503, False)


def test_absent_database_is_said_and_the_rest_unknown(client: Client, all_well: None):
    def away(*_: Any) -> Any:
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        response = client.get("/health")
    body = response.json()
    assert response.status_code == 503
    assert [body[part]["ok"] for part in ("database", "redis", "stream", "workers")] == [False, True, False, False]


def test_database_that_refuses_connections_is_said_at_once(
    client: Client, all_well: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    began = time.monotonic()
    response = client.get("/health")
    assert (response.status_code, response.json()["database"]) == (503, {"ok": False})
    assert time.monotonic() - began < 2


def test_health_tells_strangers_no_details(client: Client, all_well: None):
    text = client.get("/health").content.decode()
    assert not any(word in text for word in ("127.0.0.1", "redis://", "postgres", "@", "password"))


def test_heartbeat_keeps_the_start_and_forgets_the_dead(db: None):
    alive("scorer", beat_ago=31)
    alive("trader", beat_ago=31)
    heartbeat_write(name="scorer")
    first = Heartbeat.objects.get(name="scorer")
    heartbeat_write(name="scorer")
    again = Heartbeat.objects.get(name="scorer")
    assert (again.started_at, again.beat_at > first.beat_at) == (first.started_at, True)
    assert processes_alive(now=timezone.now()) == {"scorer"}


def test_uptime_is_that_of_the_oldest_living_process(db: None):
    assert uptime_seconds(now=timezone.now()) == 0
    alive("scorer", started_ago=100)
    alive("trader", started_ago=500, beat_ago=31)
    assert 99 <= uptime_seconds(now=timezone.now()) <= 110
