"""manage.py rotate_keys"""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from apps.core.commands import JsonCommand
from apps.core.errors import ConflictError
from apps.trading.key_rotation import keys_rotate
from apps.training.management import console


class Command(JsonCommand):
    help = (
        "Change the key that encrypts wallets' keys and webhooks' secrets: give the new one as ENCRYPTION_KEY and the "
        "one before as ENCRYPTION_KEY_OLD, restart all processes (they open with either), run this, then remove "
        "ENCRYPTION_KEY_OLD. It goes row by row, may be killed and run again at any time, and shows no secret. Status "
        "0: done; 1: something opens with neither key, or no old key is given."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        console.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.ENCRYPTION_KEY_OLD:
            message = "Set ENCRYPTION_KEY to the new key and ENCRYPTION_KEY_OLD to the one before."
            raise ConflictError("OLD_KEY_MISSING", message)
        done = keys_rotate(lambda line: None if options["json"] else self.stdout.write(line))
        if done.failed:
            message = "These open with neither key: keep both keys and look for the right one."
            raise ConflictError("KEYS_SEALED", message, failed=done.failed, changed=done.changed)
        if options["json"]:
            self.stdout.write(json.dumps({"changed": done.changed, "already": done.already}))
        else:
            self.stdout.write(f"{done.changed} sealed anew, {done.already} were already. Remove ENCRYPTION_KEY_OLD.")
