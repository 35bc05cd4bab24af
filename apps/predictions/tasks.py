"""Celery tasks of predictions: each calls one service and may run twice."""

from celery import shared_task

from apps.predictions import champions, demo, model_days, retraining, services


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
    """In the demo, put the newest trained model to work, or let it challenge the one that is."""
    services.demo_activate()
    demo.challenge()


@shared_task
def challengers_keep() -> None:
    """Queue retrainings that are due, take up those that ended, let the gate look at every challenger."""
    retraining.plans_run()
    champions.gates_look()


@shared_task
def lives_update() -> None:
    """Count what each model keeps of its promise."""
    model_days.lives_update()


@shared_task
def drifts_update() -> None:
    """Compare what was scored with what each model was trained on."""
    model_days.drifts_update()
