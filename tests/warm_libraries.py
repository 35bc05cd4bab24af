"""Imports what a process of the platform uses and what needs no settings: most of a start is spent here (`warm.py`)."""

import gc
from importlib import import_module

LIBRARIES = (
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.beat",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "channels.routing",
    "channels_redis.core",
    "channels_redis.pubsub",
    "cryptography.fernet",
    "daphne.server",
    "daphne.cli",
    "django.contrib.admin.options",
    "django.contrib.postgres.fields",
    "django.contrib.staticfiles.finders",
    "django.core.management",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.models",
    "django.test.signals",
    "django.views.generic",
    "django_prometheus.exports",
    "django_structlog.middlewares",
    "fido2.server",
    "httpx2",
    "kombu.transport.redis",
    "numpy",
    "prometheus_client.multiprocess",
    "psycopg_pool",
    "pydantic",
    "redis.asyncio",
    "sklearn.linear_model",
    "sklearn.model_selection",  # XGBoost imports this
    "structlog",
    "websockets.asyncio.client",
    "whitenoise.middleware",
)
for name in LIBRARIES:
    import_module(name)
gc.set_threshold(20_000, 20, 20)  # as in the tests themselves (`conftest.py`)
gc.freeze()
