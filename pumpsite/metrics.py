"""`/metrics`: what all processes counted, and the names of metrics that nothing has counted yet."""

import hmac
import ipaddress
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from apps.core import metrics as core
from apps.core.errors import PlatformError
from apps.core.middleware import error_response
from apps.core.prometheus import forget_dead
from apps.core.tokens import bearer_of
from apps.discovery import metrics as discovery
from apps.predictions import metrics as predictions
from apps.trading import metrics as trading
from apps.training import metrics as training

# Importing them makes this process know their names.
METRICS_OF_APPS = (core, discovery, training, predictions, trading)
DATABASE_PATIENCE_SECONDS = 2
ONLY_OF_THIS_PROCESS = ("python_", "process_")


def shared_metrics(folder: Path) -> Iterable[Metric]:
    """The metrics that all processes wrote to the folder; a file made this very moment holds nothing yet."""
    metrics: Iterable[Metric] = MultiProcessCollector.merge([str(file) for file in filled(folder)], accumulate=True)
    return metrics


def filled(folder: Path) -> Iterator[Path]:
    """The files of processes in which there is something."""
    for file in folder.glob("*.db"):
        try:
            if file.stat().st_size:
                yield file
        except FileNotFoundError:  # its process has ended
            continue


class WithDeclared:
    """The metrics in the shared folder, then those that are declared here but have no value anywhere yet."""

    def collect(self) -> Iterator[Metric]:
        seen = set()
        for metric in shared_metrics(settings.PROMETHEUS_MULTIPROC_DIR):
            seen.add(metric.name)
            yield metric
        for metric in REGISTRY.collect():
            if metric.name not in seen and not metric.name.startswith(ONLY_OF_THIS_PROCESS):
                yield Metric(metric.name, metric.documentation, metric.type)


def exposition() -> bytes:
    """All metrics in Prometheus' text form."""
    forget_dead(settings.PROMETHEUS_MULTIPROC_DIR)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WithDeclared())
    return generate_latest(registry)


def database_answers() -> bool:
    """Ask the database something, and note the answer as a metric.

    Over a connection of its own: that fails at once, where the pool of the pages would wait for a better time.
    """
    parameters = connection.get_connection_params() | {"connect_timeout": DATABASE_PATIENCE_SECONDS}
    parameters.pop("pool", None)
    try:
        psycopg.connect(**parameters).close()
    except psycopg.Error:
        core.DB_CONNECTED.set(0)
        return False
    core.DB_CONNECTED.set(1)
    return True


def may_read(request: HttpRequest) -> bool:
    """With METRICS_TOKEN set only its holder; else only this machine itself, not through a proxy."""
    if settings.METRICS_TOKEN:
        token = bearer_of(request.headers.get("Authorization", "")) or ""
        return hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    return _is_loopback(request.META.get("REMOTE_ADDR") or "127.0.0.1") and "X-Forwarded-For" not in request.headers


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """`GET /metrics`."""
    if not may_read(request):
        message = "Metrics are read on the machine itself, or with METRICS_TOKEN as a bearer token."
        return error_response(PlatformError("METRICS_NOT_ALLOWED", message, status=403))
    database_answers()
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)
