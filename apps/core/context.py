"""Template context that every page needs."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    """`feed_mode` and `demo` for the header, so that simulated data is never mistaken for real."""
    return {"feed_mode": settings.FEED_MODE, "demo": settings.DEMO}
