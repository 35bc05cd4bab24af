"""The beat schedule is code: what it sends exists, does not pile up, and has a process that takes it."""

import re

import pytest

from pumpsite.celery import PROCESS_OF_QUEUE, app
from tests.servers import ROOT

PROCFILE = (ROOT / "Procfile").read_text()


@pytest.fixture(scope="module", autouse=True)
def tasks_known() -> None:
    app.loader.import_default_modules()


@pytest.mark.parametrize("name", app.conf.beat_schedule)
def test_scheduled_task_exists_and_expires(name: str):
    entry = app.conf.beat_schedule[name]
    task = app.tasks[entry["task"]]
    expires = entry.get("options", {}).get("expires") or task.expires
    assert expires, "an absent worker must not find a heap of old ticks"
    assert entry["schedule"] > 0


def test_every_task_goes_to_a_queue_that_a_process_takes():
    taken = {queue: name for name, queue in re.findall(r"^(\w+): .*-Q (\w+)", PROCFILE, re.MULTILINE)}
    assert taken == PROCESS_OF_QUEUE
    for name, task in app.tasks.items():
        if name.startswith("apps."):
            route = app.amqp.router.route({}, name)
            queue = route["queue"].name if "queue" in route else task.queue or app.conf.task_default_queue
            assert queue in taken, name


def test_uptime_is_measured_every_ten_seconds():
    assert app.conf.beat_schedule["uptime"] == {"task": "apps.core.tasks.uptime_measure", "schedule": 10.0}


def test_broker_is_tried_without_an_end():
    assert app.conf.broker_connection_max_retries is None
    assert app.conf.broker_connection_retry_on_startup
    assert app.conf.beat_scheduler == "celery.beat:PersistentScheduler"
