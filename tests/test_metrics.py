"""`/metrics`: every contracted name, values of every process, nobody else's business."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.plugin import DjangoDbBlocker

from apps.core.prometheus import HOST, forget_dead, process_identity
from pumpsite.metrics import exposition
from tests.servers import ROOT

CONTRACT = re.findall(
    r"\S+",
    """
find_coins_discovered_total find_coins_filtered_total{reason} find_ws_reconnects_total find_active_streams
find_cache_size find_metrics_saved_total find_transactions_saved_total find_phase_switches_total
find_n8n_batches_sent_total find_ws_connected find_db_connected
training_jobs_total{job_type,status} training_jobs_active training_job_duration_seconds{job_type} training_models_total
server_predictions_total{model_id} server_prediction_duration_seconds{model_id} server_alerts_total{status}
server_alerts_evaluated_total server_active_models server_coins_tracked
buy_trades_total{action,status} buy_active_positions buy_trade_volume_sol_total buy_wallets_active
platform_db_connected platform_uptime_seconds
""",
)

COUNT = """
import sys
from pathlib import Path
from apps.core.prometheus import multiprocess_start
multiprocess_start(Path(sys.argv[1]))
from prometheus_client import Counter, Gauge
Counter("made_total", "test").inc(int(sys.argv[2]))
Gauge("alive", "test", multiprocess_mode="livesum").set(1)
"""


def declared() -> dict[str, tuple[str, ...]]:
    """Name -> labels of every metric object that is declared in this process."""
    from prometheus_client import REGISTRY

    found = {}
    for collector in set(REGISTRY._collector_to_names):
        labels = tuple(getattr(collector, "_labelnames", ()))
        for name in REGISTRY._collector_to_names[collector]:
            found[name] = labels
    return found


@pytest.fixture(scope="module")
def exposed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> str:
    """What the page says; it reads the files of every process that there was."""
    with django_db_blocker.unblock():
        return Client().get("/metrics").content.decode()


@pytest.mark.parametrize("entry", CONTRACT)
def test_contracted_metric_is_there_from_the_start(entry: str, exposed: str):
    name, _, labels = entry.partition("{")
    assert sorted(declared()[name]) == sorted(labels.rstrip("}").split(",") if labels else [])
    assert f"# TYPE {name} " in exposed


def test_exposition_is_well_formed(exposed: str):
    families = list(text_string_to_metric_families(exposed))
    assert {"platform_db_connected", "platform_uptime_seconds"} <= {family.name for family in families}


def test_database_gauge_follows_the_database(exposed: str):
    [gauge] = [one for one in text_string_to_metric_families(exposed) if one.name == "platform_db_connected"]
    assert [sample.value for sample in gauge.samples] == [1.0]


def count_in_a_process(folder: Path, number: int) -> None:
    subprocess.run([sys.executable, "-c", COUNT, str(folder), str(number)], cwd=ROOT, check=True)


def test_counters_of_all_processes_are_added_and_dead_gauges_forgotten(tmp_path: Path, settings: Any):
    settings.PROMETHEUS_MULTIPROC_DIR = tmp_path
    count_in_a_process(tmp_path, 2)
    count_in_a_process(tmp_path, 3)
    assert len(list(tmp_path.glob("counter_*.db"))) == 2
    text = exposition().decode()
    assert "made_total 5.0" in text
    assert "alive 2.0" not in text and not list(tmp_path.glob("gauge_live*"))


def test_file_of_a_process_that_begins_this_moment_is_no_trouble(tmp_path: Path, settings: Any):
    settings.PROMETHEUS_MULTIPROC_DIR = tmp_path
    count_in_a_process(tmp_path, 2)
    (tmp_path / f"counter_{HOST}-1.db").touch()
    assert b"made_total 2.0" in exposition()


def test_gauges_of_living_processes_stay(tmp_path: Path):
    mine = tmp_path / f"gauge_livesum_{process_identity()}.db"
    elsewhere = tmp_path / "gauge_livesum_otherhost-1.db"
    dead = tmp_path / f"gauge_livesum_{HOST}-999999999.db"
    for file in (mine, elsewhere, dead):
        file.touch()
    forget_dead(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, elsewhere])


def test_every_metric_is_shared_between_processes():
    assert values.ValueClass.__name__ == "MmapedValue"


@pytest.mark.parametrize(
    ("token", "address", "headers", "status"),
    [
        ("", "127.0.0.1", {}, 200),
        ("", "::1", {}, 200),
        ("", "10.0.0.7", {}, 403),
        ("", "127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}, 403),
        ("s3cret", "127.0.0.1", {}, 403),
        ("s3cret", "10.0.0.7", {"Authorization": "Bearer wrong"}, 403),
        ("s3cret", "10.0.0.7", {"Authorization": "Bearer s3cret"}, 200),
    ],
)
def test_metrics_are_for_this_machine_or_the_holder_of_the_token(
    client: Client, db: None, settings: Any, token: str, address: str, headers: dict[str, str], status: int
):
    settings.METRICS_TOKEN = token
    assert client.get("/metrics", REMOTE_ADDR=address, headers=headers).status_code == status
