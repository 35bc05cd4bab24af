"""docker-compose.yml against the Procfile, the settings, the Dockerfile and itself; no Docker engine is needed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.test_settings_documented import example, settings_read

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROCESSES = re.findall(r"^([a-z]+):", (ROOT / "Procfile").read_text(), re.MULTILINE)
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_every_process_of_the_procfile_is_a_service_and_no_other():
    assert sorted(OURS) == sorted([*PROCESSES, "migrate"])


@pytest.mark.parametrize("name", PROCESSES)
def test_service_runs_its_line_of_the_procfile(name):
    assert SERVICES[name]["command"] == [name]
    assert 'ENTRYPOINT ["/app/bin/process"]' in DOCKERFILE


def test_one_image_is_ours():
    assert {SERVICES[name]["image"] for name in OURS} == {"pump-platform:${VERSION:-local}"}
    assert {SERVICES[name]["build"] for name in OURS} == {"."}


def test_migrations_run_before_every_process():
    for name in PROCESSES:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"] == ["migrate", "--no-input"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_service_has_a_health_check_and_restarts(name):
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", PROCESSES)
def test_health_check_asks_for_the_process_itself(name):
    assert SERVICES[name]["healthcheck"]["test"][-2:] == ["bin/healthy.py", name]
    assert (ROOT / "bin" / "healthy.py").exists()


@pytest.mark.parametrize("name", OURS)
def test_environment_of_ours_holds_settings_only(name):
    assert set(SERVICES[name]["environment"]) <= set(settings_read())


def test_every_variable_is_a_known_setting():
    names = set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT))
    assert names - {"VERSION"} <= set(example())


def test_no_password_has_a_default():
    for name, rest in re.findall(r"\$\{([A-Z0-9_]*(?:PASSWORD|KEY|TOKEN)[A-Z0-9_]*)([^}]*)\}", TEXT):
        assert rest.startswith(":?"), name
    assert not re.search(r"(PASSWORD|SECRET_KEY|TOKEN): *[A-Za-z0-9\"']", TEXT)


def test_secrets_script_writes_every_password_that_is_asked_for():
    asked = set(re.findall(r"\$\{([A-Z0-9_]+):\?", TEXT))
    script = (ROOT / "bin" / "secrets").read_text()
    assert {name for name in asked if name not in script} == set()


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned_to_an_exact_version(name):
    image = SERVICES[name]["image"]
    assert re.search(r":(v?\d+\.\d+\.\d+|pg17\.\d+-ts2\.\d+\.\d+@sha256:[0-9a-f]{64}|\$\{VERSION:-local\})$", image), (
        image
    )


def test_database_image_is_below_the_broken_postgresql():
    minor = re.search(r"timescaledb-ha:pg17\.(\d+)-", SERVICES["db"]["image"])
    assert minor
    assert int(minor[1]) < 12


def test_base_image_is_pinned_by_digest():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11-slim-trixie@sha256:[0-9a-f]{64}", bases[0])


def test_image_runs_as_an_ordinary_user_on_a_read_only_disk():
    assert re.search(r"^USER pump$", DOCKERFILE, re.MULTILINE)
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_image_holds_what_the_processes_need():
    allowed = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    needed = {"apps", "bin", "pumpsite", "sql", "static", "templates", "locale", "manage.py", "Procfile"}
    assert needed | {"requirements.txt"} == set(allowed)


def test_nothing_is_published_beyond_this_machine():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published), published


def test_every_volume_is_declared_and_used():
    used = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert used == set(COMPOSE["volumes"])


def test_valkey_keeps_an_append_only_file():
    assert "--appendonly yes" in " ".join(SERVICES["valkey"]["command"])


@pytest.mark.parametrize("name", ["n8n", "prometheus", "grafana"])
def test_extras_are_behind_a_profile(name):
    assert SERVICES[name]["profiles"]


def test_mounted_files_exist():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_dir()


def test_dashboard_and_alerts_ask_for_metrics_that_exist():
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/pump.json").read_text())
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
    asked = " ".join(
        [panel["targets"][0]["expr"] for panel in dashboard["panels"]]
        + [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    )
    names = set(re.findall(r"\b(?:find|training|server|buy|platform)_[a-z_]+", asked))
    declared = " ".join(path.read_text() for path in ROOT.glob("apps/*/metrics.py"))
    missing = {name for name in names if f'"{re.sub("_bucket$", "", name)}"' not in declared}
    assert missing == set()
