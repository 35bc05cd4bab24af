"""Addresses of trading."""

from django.urls import path

from apps.trading import backtest_views, views, views_keys, views_order, views_real, views_strategies

app_name = "trading"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("state/", views.state, name="state"),
    path("wallets/", views.wallets, name="wallets"),
    path("wallets/<slug:alias>/", views.wallet, name="wallet"),
    path("wallets/<slug:alias>/<slug:action>/", views.wallet_action, name="wallet_action"),
    path("real-wallets/new/", views_keys.new, name="real_wallet_new"),
    path("real-wallets/<slug:alias>/key/", views_keys.key, name="wallet_key"),
    path("positions/", views.positions, name="positions"),
    path("positions/<slug:alias>/<str:mint>/sell/", views.position_sell, name="position_sell"),
    path("trades/", views.trades, name="trades"),
    path("transfers/", views_real.transfers, name="transfers"),
    path("transfers/addresses/<slug:name>/remove/", views_real.address_remove, name="address_remove"),
    path("real/", views_real.real, name="real"),
    path("real/lock/", views_real.real_lock, name="real_lock"),
    path("real/<slug:alias>/unlock/", views_real.real_unlock, name="real_unlock"),
    path("real/differences/<int:difference_id>/adopt/", views_real.difference_adopt, name="difference_adopt"),
    path("paper-against-live/", views_real.paper_against_live, name="against"),
    path("coins/<str:mint>/", views.coin, name="coin"),
    path("coins/<str:mint>/marks/", views.coin_marks, name="marks"),
    path("order/", views_order.order, name="order"),
    path("order/quote/", views_order.quote, name="order_quote"),
    path("backtests/", backtest_views.backtests, name="backtests"),
    path("backtests/new/", backtest_views.new, name="backtest_new"),
    path("backtests/preview/", backtest_views.preview, name="backtest_preview"),
    path("backtests/compare/", backtest_views.compare, name="backtest_compare"),
    path("backtests/<int:backtest_id>/", backtest_views.backtest, name="backtest"),
    path("backtests/<int:backtest_id>/trades/", backtest_views.trades, name="backtest_trades"),
    path("backtests/<int:backtest_id>/cancel/", backtest_views.cancel, name="backtest_cancel"),
    path("backtests/<int:backtest_id>/delete/", backtest_views.delete, name="backtest_delete"),
    path("strategies/", views_strategies.strategy_list, name="strategies"),
    path("strategies/<slug:name>/", views_strategies.strategy, name="strategy"),
    path("strategies/<slug:name>/change/", views_strategies.change, name="strategy_change"),
    path("strategies/<slug:name>/file/", views_strategies.export, name="strategy_export"),
    path("strategies/<slug:name>/versions/<int:number>/", views_strategies.version, name="strategy_version"),
    path("strategies/<slug:name>/do/<slug:action>/", views_strategies.action, name="strategy_action"),
    path("new-strategy/", views_strategies.new, name="strategy_new"),
    path("strategy-rows/<slug:kind>/", views_strategies.row, name="strategy_row"),
]
