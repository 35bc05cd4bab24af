"""Celery tasks of predictions: each calls one service and may run twice."""

from celery import shared_task

from apps.predictions import services


@shared_task
def outcomes_judge() -> None:
    """Judge what is due; a backlog is worked off in several runs."""
    services.outcomes_judge()


@shared_task
def webhooks_deliver() -> None:
    """Send the webhooks that are due."""
    services.webhooks_deliver()


@shared_task
def demo_activate() -> None:
    """In the demo, put the newest trained model to work."""
    services.demo_activate()
