"""Application configuration of training."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "apps.training"
    label = "training"

    def ready(self) -> None:
        from apps.discovery import storage
        from apps.training import holds

        storage.hold(holds.running_jobs)
