"""Valkey goes away and comes back: background work and live updates go on by themselves."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from apps.core import live
from apps.core.models import Heartbeat
from pumpsite.metrics import shared_metrics
from tests.servers import OwnValkey, await_true, process

CELERY = str(Path(sys.executable).parent / "celery")
# The real beat with the real schedule, in quick time.
QUICK_BEAT = """
from pumpsite.celery import app
app.conf.beat_schedule = {"uptime": {**app.conf.beat_schedule["uptime"], "schedule": 0.5}}
app.start(["beat", "--pidfile=", "--schedule", "{schedule}"])
"""


def uptime(folder: Path) -> float:
    """What the worker last measured; 0 before the first time."""
    if not folder.exists():
        return 0.0
    metrics = shared_metrics(folder)
    samples = [sample for metric in metrics if metric.name == "platform_uptime_seconds" for sample in metric.samples]
    return float(samples[0].value) if samples else 0.0


@pytest.mark.django_db(transaction=True)
def test_worker_and_beat_go_on_after_an_outage(own_valkey: OwnValkey, tmp_path: Path):
    env = {"REDIS_URL": own_valkey.url, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "prom")}
    beat = [sys.executable, "-c", QUICK_BEAT.replace("{schedule}", str(tmp_path / "schedule"))]
    worker = [CELERY, "-A", "pumpsite", "worker", "-Q", "default", "--pool", "threads", "-c", "1", "--without-mingle"]
    with process(*worker, log=tmp_path / "worker.log", **env), process(*beat, log=tmp_path / "beat.log", **env):
        await_true(lambda: uptime(tmp_path / "prom") > 0)
        own_valkey.stop()
        await_true(lambda: "not sent" in (tmp_path / "beat.log").read_text())
        await_true(lambda: "Connection to broker lost" in (tmp_path / "worker.log").read_text())
        before = uptime(tmp_path / "prom")
        own_valkey.start()
        await_true(lambda: uptime(tmp_path / "prom") > before)
        assert {"worker", "beat"} <= set(Heartbeat.objects.values_list("name", flat=True))
    assert "Traceback" not in (tmp_path / "beat.log").read_text()


@pytest.fixture
def live_on_own_valkey(own_valkey: OwnValkey, settings: Any, monkeypatch: pytest.MonkeyPatch) -> OwnValkey:
    settings.REDIS_URL = own_valkey.url
    layer = {
        **settings.CHANNEL_LAYERS["default"],
        "CONFIG": {"hosts": [own_valkey.url], "prefix": settings.LIVE_PREFIX},
    }
    settings.CHANNEL_LAYERS = {**settings.CHANNEL_LAYERS, "default": layer}
    monkeypatch.setattr(live, "_publisher", None)
    monkeypatch.setattr(live, "SILENT_SECONDS", 0.2)
    return own_valkey


def browser() -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(live.LiveConsumer.as_asgi(), "/ws/live/?topics=words")
    communicator.scope["user"] = SimpleNamespace(is_authenticated=True)
    return communicator


async def test_open_page_gets_updates_again_after_an_outage(live_on_own_valkey: OwnValkey):
    page = browser()
    assert (await page.connect(timeout=5))[0]
    live.publish("words", number=1)
    assert await page.receive_json_from(timeout=5) == {"topic": "words", "number": 1}
    live_on_own_valkey.stop()
    live.publish("words", number=2)
    live_on_own_valkey.start()
    number = 3
    while await page.receive_nothing(timeout=0.5):
        live.publish("words", number=number)
        number += 1
        assert number < 40
    assert (await page.receive_json_from())["number"] >= 3
    await page.disconnect()


async def test_page_opened_during_an_outage_is_asked_to_retry(live_on_own_valkey: OwnValkey):
    live_on_own_valkey.stop()
    accepted, code = await browser().connect(timeout=5)
    assert (accepted, code) == (False, live.TRY_AGAIN_LATER)
    live_on_own_valkey.start()
    page = browser()
    assert (await page.connect(timeout=5))[0]
    await page.disconnect()
