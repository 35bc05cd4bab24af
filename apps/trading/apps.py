"""Application configuration of trading."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "apps.trading"
    label = "trading"

    def ready(self) -> None:
        """Let the trainer do backtests."""
        from apps.training.elsewhere import work_announce

        work_announce("BACKTEST", "apps.trading.backtest_job.run")
