"""Addresses of the site."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from pumpsite import dashboard, pages
from pumpsite.api import api, not_found
from pumpsite.health import health
from pumpsite.metrics import metrics

core = [
    path("", dashboard.dashboard, name="dashboard"),
    path("info/<slug:part>/", pages.info, name="info"),
    path("tokens/", pages.tokens, name="tokens"),
    path("tokens/<int:token_id>/end/", pages.token_end, name="token_end"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include((core, "core"))),
    path("discovery/", include("apps.discovery.urls")),
    path("training/", include("apps.training.urls")),
    path("predictions/", include("apps.predictions.urls")),
    path("trading/", include("apps.trading.urls")),
    path("health", health, name="health"),
    path("metrics", metrics, name="metrics"),
    path("api/", not_found),
    path("api/", api.urls),
    path("api/<path:rest>", not_found),
    path("admin/", admin.site.urls),
    path("accounts/password/reset/", login_not_required(RedirectView.as_view(pattern_name="account_login"))),
    path("accounts/", include("allauth.urls")),
    path("language/", include("django.conf.urls.i18n")),
]

handler400 = "pumpsite.errors.bad_request"
handler403 = "pumpsite.errors.permission_denied"
handler404 = "pumpsite.errors.page_not_found"
handler500 = "pumpsite.errors.server_error"
