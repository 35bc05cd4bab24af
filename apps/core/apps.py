"""Application configuration of core."""

from django.apps import AppConfig
from django.core.checks import register


class CoreConfig(AppConfig):
    name = "apps.core"
    label = "core"

    def ready(self) -> None:
        from apps.core import live
        from apps.core.checks import check_settings
        from apps.core.htmx import tick
        from apps.core.logs import configure

        configure()
        register(check_settings)
        for topic in ("coins", "coin:", "training", "predictions", "trading", "health"):
            live.register(topic, tick)
