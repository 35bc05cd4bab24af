"""Addresses of discovery."""

from django.urls import path

from apps.discovery import export_views, picture_views, views

app_name = "discovery"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("columns/", views.columns, name="columns"),
    path("streams/", views.streams, name="streams"),
    path("coins/<str:mint>/", views.coin, name="coin"),
    path("coins/<str:mint>/candles/", views.coin_candles, name="candles"),
    path("coins/<str:mint>/trades/", views.coin_trades, name="trades"),
    path("coins/<str:mint>/thumb.webp", picture_views.thumb, name="thumb"),
    path("export/", export_views.export, name="export"),
    path("phases/", views.phases, name="phases"),
    path("feed/", views.feed, name="feed"),
    path("settings/", views.settings, name="settings"),
]
