"""Addresses of predictions."""

from django.urls import path

from apps.predictions import views, webhook_views

app_name = "predictions"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("models/<int:active_id>/", views.model, name="model"),
    path("models/<int:active_id>/switch/", views.model_switch, name="model_switch"),
    path("models/<int:active_id>/delete/", views.model_delete, name="model_delete"),
    path("alerts/", views.alerts, name="alerts"),
    path("log/", views.log, name="log"),
    path("statistics/", views.statistics, name="statistics"),
    path("coins/<str:mint>/", views.coin, name="coin"),
    path("coins/<str:mint>/marks/", views.coin_marks, name="marks"),
    path("import/", views.put_to_work, name="import"),
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
