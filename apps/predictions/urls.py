"""Addresses of predictions."""

from django.urls import path

from apps.predictions import views

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
]
