"""`manage.py setup_demo`: the first user, and in the demo what lets it trade by itself. Safe to run again."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.core.checks import require_settings
from apps.core.people import FIRST_USER, first_user_create


class Command(BaseCommand):
    help = "Makes the first user (prints the password this once) and, with DEMO=true, the wallet and strategy."

    requires_system_checks: tuple[str, ...] = ()  # of the settings only, a sentence each

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user-only", action="store_true", help="no demo wallet and strategy")

    def handle(self, *args: Any, user_only: bool, **options: Any) -> None:
        require_settings()
        if password := first_user_create():
            self.stdout.write(f"user: {FIRST_USER}   password: {password}   (shown this once; change it any time)")
        else:
            self.stdout.write("there is a user already: sign in as before")
        if settings.DEMO and not user_only:
            from apps.trading.services import demo_setup

            demo_setup()
            self.stdout.write("the demo wallet and strategy are ready")
