"""Celery application; the beat schedule is code."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pumpsite.settings")
app = Celery("pumpsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
