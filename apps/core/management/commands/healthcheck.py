"""`manage.py healthcheck [PROCESS]`: status 0 where it is well; for containers."""

import json
import socket
import urllib.error
import urllib.request
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from apps.core.models import Heartbeat
from apps.core.process import DEAD_AFTER


def web_wrong() -> str:
    """Why the web process of this machine is not well; empty where it is."""
    request = urllib.request.Request(f"http://127.0.0.1:{settings.PORT}/health", headers={"Host": "localhost"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            body = json.load(response)
    except urllib.error.HTTPError as error:
        body = json.load(error) if error.code == 503 else {}
    except OSError as error:
        return f"does not answer ({error})"
    return "" if body.get("database", {}).get("ok") else "does not reach the database"


def process_wrong(name: str) -> str:
    """Why a background process of this machine is not well; empty where its heart beats."""
    mine = Heartbeat.objects.filter(name=name, instance__startswith=f"{name}@{socket.gethostname()}:")
    try:
        is_alive = mine.filter(beat_at__gte=timezone.now() - DEAD_AFTER).exists()
    except (OperationalError, InterfaceError):
        return "does not reach the database"
    return "" if is_alive else f"has shown no life for {DEAD_AFTER.seconds} s"


class Command(BaseCommand):
    help = "Says by its exit status whether a process of this machine is well."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("process", nargs="?", default="web", help="web (default) or a name of the Procfile")

    def handle(self, *args: Any, process: str, **options: Any) -> None:
        if wrong := web_wrong() if process == "web" else process_wrong(process):
            raise CommandError(f"{process} {wrong}")
        self.stdout.write(f"{process} is well")
