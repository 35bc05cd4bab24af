"""Addresses of trading."""

from django.urls import path

from apps.trading import views

app_name = "trading"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("state/", views.state, name="state"),
    path("wallets/", views.wallets, name="wallets"),
    path("wallets/<slug:alias>/", views.wallet, name="wallet"),
    path("wallets/<slug:alias>/<slug:action>/", views.wallet_action, name="wallet_action"),
    path("positions/", views.positions, name="positions"),
    path("positions/<slug:alias>/<str:mint>/sell/", views.position_sell, name="position_sell"),
    path("trades/", views.trades, name="trades"),
    path("transfers/", views.transfers, name="transfers"),
    path("coins/<str:mint>/", views.coin, name="coin"),
    path("coins/<str:mint>/marks/", views.coin_marks, name="marks"),
    path("order/", views.order, name="order"),
]
