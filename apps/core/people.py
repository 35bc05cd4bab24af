"""The first person of an installation."""

import secrets

from django.contrib.auth import get_user_model
from django.db import transaction

FIRST_USER = "admin"


def first_user_create() -> str | None:
    """Make the user `admin` with a random password where there is nobody yet; the password, or None."""
    users = get_user_model().objects
    with transaction.atomic():
        if users.exists():
            return None
        password = secrets.token_urlsafe(12)
        users.create_superuser(FIRST_USER, email="", password=password)
    return password
