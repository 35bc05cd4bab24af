"""Addresses of predictions."""

from django.urls import path

from apps.core import converters  # noqa: F401  # <mint:...>
from apps.predictions import views, views_champions, webhook_views

app_name = "predictions"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("models/<int:active_id>/", views.model, name="model"),
    path("models/<int:active_id>/switch/", views.model_switch, name="model_switch"),
    path("models/<int:active_id>/delete/", views.model_delete, name="model_delete"),
    path("models/<int:active_id>/life/", views_champions.life, name="life"),
    path("models/<int:active_id>/drift/", views_champions.drift, name="drift"),
    path("models/<int:active_id>/challenger/", views_champions.champion, name="champion"),
    path("models/<int:active_id>/challenger/end/", views_champions.challenge_end, name="challenge_end"),
    path("models/<int:active_id>/promote/", views_champions.promote, name="promote"),
    path("models/<int:active_id>/roll-back/", views_champions.roll_back, name="roll_back"),
    path("models/<int:active_id>/retrain/", views_champions.retrain, name="retrain"),
    path("alerts/", views.alerts, name="alerts"),
    path("alerts/<int:active_id>/<mint:mint>/<int:as_of_us>/", views.alert, name="alert"),
    path("log/", views.log, name="log"),
    path("statistics/", views.statistics, name="statistics"),
    path("coins/<mint:mint>/", views.coin, name="coin"),
    path("coins/<mint:mint>/marks/", views.coin_marks, name="marks"),
    path("import/", views.put_to_work, name="import"),
    path("import/file/", views.import_file, name="import_file"),
    path("webhooks/", webhook_views.endpoints_page, name="webhooks"),
    path("webhooks/<int:endpoint_id>/", webhook_views.endpoint_page, name="webhook"),
    path("webhooks/<int:endpoint_id>/switch/", webhook_views.endpoint_switch, name="webhook_switch"),
    path("webhooks/<int:endpoint_id>/secret/", webhook_views.endpoint_secret, name="webhook_secret"),
    path("webhooks/<int:endpoint_id>/test/", webhook_views.endpoint_test, name="webhook_test"),
    path("webhooks/<int:endpoint_id>/replay/", webhook_views.endpoint_replay, name="webhook_replay"),
    path("webhooks/<int:endpoint_id>/delete/", webhook_views.endpoint_delete, name="webhook_delete"),
    path("webhooks/messages/<int:message_id>/", webhook_views.message_page, name="webhook_message"),
    path("webhooks/messages/<int:message_id>/replay/", webhook_views.message_replay, name="webhook_message_replay"),
]
