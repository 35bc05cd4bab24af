"""`/health`: do the database, Redis, the stream and the workers live? Public, so it says no more than that."""

from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from apps.core.process import processes_alive
from apps.discovery.models import StreamState
from pumpsite.metrics import database_answers

WORKERS = ("scorer", "trader", "worker", "trainer", "beat")
STREAM_SILENT_AFTER = timedelta(seconds=60)


def redis_answers() -> bool:
    """Ask Redis something."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def stream_part() -> dict[str, Any]:
    """The feed: connected, and lately heard of."""
    state = StreamState.objects.first()
    if state is None:
        return {"ok": False, "state": "never started"}
    is_fresh = state.updated_at is not None and timezone.now() - state.updated_at < STREAM_SILENT_AFTER
    shown = "silent" if not is_fresh else state.state if state.connected else "not connected"
    return {"ok": is_fresh and state.connected, "state": shown, "mode": state.mode}


def workers_part() -> dict[str, Any]:
    """Every process of the Procfile that works in the background."""
    alive = processes_alive(now=timezone.now())
    missing = [name for name in WORKERS if name not in alive]
    return {"ok": not missing, "missing": missing}


def health_parts() -> dict[str, dict[str, Any]]:
    """What `/health` and the pages show: part -> `{"ok": bool, ...}`."""
    unknown: dict[str, Any] = {"ok": False, "state": "unknown without the database"}
    parts: dict[str, dict[str, Any]] = {
        "database": {"ok": database_answers()},
        "redis": {"ok": redis_answers()},
        "stream": unknown,
        "workers": unknown,
    }
    if parts["database"]["ok"]:
        try:
            parts |= {"stream": stream_part(), "workers": workers_part()}
        except (OperationalError, InterfaceError):
            parts["database"]["ok"] = False
    return parts


@login_not_required
def health(request: HttpRequest) -> JsonResponse:
    """`GET /health`: 200 where every part is well, 503 otherwise."""
    parts = health_parts()
    is_well = all(part["ok"] for part in parts.values())
    body = {"status": "ok" if is_well else "degraded", "time": timezone.now().isoformat(), **parts}
    response = JsonResponse(body, status=200 if is_well else 503)
    response.headers["Cache-Control"] = "no-store"
    return response
