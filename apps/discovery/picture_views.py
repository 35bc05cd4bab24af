"""Pictures of coins: our own small ones, never a stranger's file."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from apps.discovery.models import Coin
from apps.discovery.thumbnails import thumbnail

KEPT_SECONDS = 86_400


@require_safe
def thumb(request: HttpRequest, mint: str) -> HttpResponse:
    """The small picture of a coin; 404 where there is none, or where pictures are off."""
    if not settings.THUMBNAILS:
        raise Http404("THUMBNAILS is off")
    image_url = get_object_or_404(Coin.objects.only("image_url"), pk=mint).image_url
    picture = thumbnail(image_url) if image_url else None
    if picture is None:
        raise Http404("no picture")
    headers = {"Cache-Control": f"private, max-age={KEPT_SECONDS}"}
    return HttpResponse(picture, content_type="image/webp", headers=headers)
