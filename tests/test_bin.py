"""The scripts in bin/: what they promise when something is missing, wrong or killed."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bin"))
import launch  # noqa: E402 - a script, not a package


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The scripts below a folder with a space, without anything else of the clone."""
    folder = tmp_path / "a clone"
    (folder / "bin").mkdir(parents=True)
    for script in (ROOT / "bin").iterdir():
        if script.is_file():
            (folder / "bin" / script.name).write_bytes(script.read_bytes())
            (folder / "bin" / script.name).chmod(script.stat().st_mode)
    return folder


# --- keep ---------------------------------------------------------------------------------------------
def test_keep_starts_a_process_again_when_it_ends(tmp_path):
    counter = tmp_path / "runs"
    script = f'echo x >>"{counter}"; [ $(wc -l <"{counter}") -lt 2 ] || exit 78'
    kept = run("bin/keep", "job", "sh", "-c", script)
    assert counter.read_text() == "x\nx\n"
    assert "job: ended with status 0, starting again in 1 s" in kept.stderr


def test_keep_does_not_restart_after_wrong_settings():
    kept = run("bin/keep", "job", "sh", "-c", "echo once; exit 78")
    assert (kept.returncode, kept.stdout) == (78, "once\n")


def test_keep_hands_the_signal_on_and_waits_for_the_end():
    script = "trap 'echo tidied; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(["bin/keep", "job", "sh", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as kept:
        assert kept.stdout is not None
        assert kept.stdout.readline() == "ready\n"
        kept.send_signal(signal.SIGTERM)
        assert kept.stdout.read() == "tidied\n"
    assert kept.returncode == 5


# --- secrets ------------------------------------------------------------------------------------------
def test_secrets_are_fresh_private_and_never_overwritten(clone):
    assert run("bin/secrets", cwd=clone).returncode == 0
    first = (clone / ".env").read_text()
    assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600
    assert run("bin/secrets", cwd=clone).returncode == 0
    assert (clone / ".env").read_text() == first
    (clone / ".env").unlink()
    run("bin/secrets", cwd=clone)
    assert (clone / ".env").read_text() != first


def test_secrets_for_docker_add_what_is_missing_only(clone):
    (clone / ".env").write_text("SECRET_KEY=mine\nENCRYPTION_KEY=mine\nVALKEY_PASSWORD=mine\n")
    assert run("bin/secrets", "--docker", cwd=clone).returncode == 0
    lines = (clone / ".env").read_text().splitlines()
    assert lines[:3] == ["SECRET_KEY=mine", "ENCRYPTION_KEY=mine", "VALKEY_PASSWORD=mine"]
    assert [line.split("=")[0] for line in lines[3:]] == [
        "POSTGRES_PASSWORD",
        "METRICS_TOKEN",
        "GRAFANA_PASSWORD",
        "N8N_ENCRYPTION_KEY",
    ]


def test_env_without_a_secret_is_left_alone_and_the_line_to_add_is_said(clone):
    (clone / ".env").write_text("PORT=9000\n")
    refused = run("bin/secrets", cwd=clone)
    assert refused.returncode == 1
    assert "Add a line:  SECRET_KEY=" in refused.stderr
    assert (clone / ".env").read_text() == "PORT=9000\n"


# --- servers of the user's own ------------------------------------------------------------------------
def test_one_of_the_two_addresses_alone_is_refused(clone):
    command = ". bin/_common.sh && own_servers"
    refused = run("bash", "-c", command, cwd=clone, DATABASE_URL="postgresql://u@h/d")
    assert "DATABASE_URL and REDIS_URL go together" in refused.stderr


def test_setting_is_read_from_the_environment_before_the_file(clone):
    (clone / ".env").write_text("PORT='9000'\nHOST=0.0.0.0\n")
    command = '. bin/_common.sh && echo "$(setting PORT) $(setting HOST) $(setting NONE)."'
    assert run("bash", "-c", command, cwd=clone).stdout == "9000 0.0.0.0 .\n"
    assert run("bash", "-c", command, cwd=clone, PORT="9001").stdout == "9001 0.0.0.0 .\n"


# --- the embedded servers -----------------------------------------------------------------------------
def tools_without_apt(folder: Path) -> str:
    """A PATH with everything the script needs but apt and dpkg."""
    folder.mkdir()
    for name in ("bash", "env", "dirname", "sed", "cat", "id", "getent", "mkdir", "flock", "setpriv", "uname", "test"):
        for place in ("/usr/bin", "/bin", "/usr/sbin"):
            if Path(place, name).exists() and not (folder / name).exists():
                (folder / name).symlink_to(Path(place, name))
    return str(folder)


def test_host_without_apt_is_told_the_two_other_ways(clone, tmp_path):
    refused = run("bin/services", "start", cwd=clone, PATH=tools_without_apt(tmp_path / "tools"))
    assert refused.returncode == 1
    assert "DATABASE_URL and REDIS_URL" in refused.stderr
    assert "Docker" in refused.stderr


def test_host_whose_apt_knows_no_debian_names_the_setting(clone, tmp_path):
    names = {"apt-get", "apt-config", "apt-cache"}
    tools = tmp_path / "tools"
    path = tools_without_apt(tools)
    for name in ("grep", "sort", "head", "tail", "awk", "rm", "chmod", "basename", "unshare"):
        (tools / name).symlink_to(next(p for p in (Path("/usr/bin", name), Path("/bin", name)) if p.exists()))
    for name in (*names, "dpkg", "dpkg-deb"):
        (tools / name).write_text('#!/bin/bash\n[ "$1" != update ] && [ "${*: -1}" != update ] || exit 1\n')
        (tools / name).chmod(0o755)
    refused = run("bin/services", "install", cwd=clone, PATH=path)
    assert refused.returncode == 1
    assert "EMB_MIRROR=<address> make demo" in refused.stderr


def test_unknown_database_name_is_refused(clone):
    assert "EMB_DATABASE must be demo or live" in run("bin/services", "status", cwd=clone, EMB_DATABASE="x").stderr


def test_no_script_names_a_package_host():
    texts = {
        path.name: path.read_text() for path in (ROOT / "bin").iterdir() if path.suffix != ".asc" and path.is_file()
    }
    named = [
        name for name, text in texts.items() if "deb.debian" in text or "pypi.org" in text or "pythonhosted" in text
    ]
    assert named == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Wrong settings: x\n", "Wrong settings: x"),
        (
            '  File "a.py"\nx.Error: first\n  File "b.py"\na.b.OperationalError: no\n\tis it up?\n',
            "a.b.OperationalError: no\n\tis it up?",
        ),
    ],
)
def test_of_a_failed_command_its_error_is_shown_not_the_way_there(said: str, shown: str) -> None:
    assert launch.cause(said) == shown


# --- launch -------------------------------------------------------------------------------------------
@pytest.fixture
def taken_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_chosen_port_is_free_and_remembered(tmp_path, taken_port, monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    port = launch.choose_port("PORT", "127.0.0.1", taken_port, tmp_path / "port")
    assert port != taken_port
    assert launch.choose_port("PORT", "127.0.0.1", taken_port + 100, tmp_path / "port") == port


def test_taken_port_of_the_user_ends_the_start_with_a_sentence(tmp_path, taken_port, monkeypatch, capsys):
    monkeypatch.setenv("PORT", str(taken_port))
    with pytest.raises(SystemExit):
        launch.choose_port("PORT", "127.0.0.1", 8000, tmp_path / "port")
    assert f"PORT is set to {taken_port}" in capsys.readouterr().err


def test_host_that_is_not_this_machine_ends_the_start_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("PORT", raising=False)
    with pytest.raises(SystemExit):
        launch.choose_port("PORT", "192.0.2.1", 8000, tmp_path / "port")
    assert "HOST must be an address of this machine" in capsys.readouterr().err


def test_what_a_killed_start_left_behind_gives_its_port_back(tmp_path, capsys):
    listens = "import socket, sys, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])"
    program = f"{listens}; sys.stdout.flush(); time.sleep(60)"
    script = f'setsid "{ROOT}/bin/keep" web "{sys.executable}" -c "$0" & echo $!'
    with subprocess.Popen(["sh", "-c", script, program], stdout=subprocess.PIPE, text=True) as started:
        pid, port = (int(started.stdout.readline()) for _ in range(2))
        (tmp_path / "processes").write_text(f"{pid}\n999999")
        assert not launch.port_free("127.0.0.1", port)
        launch.stop_left_behind(tmp_path / "processes")
    assert launch.port_free("127.0.0.1", port)
    assert f"left behind ({pid})" in capsys.readouterr().err
    assert not (tmp_path / "processes").exists()


@pytest.mark.parametrize("is_ours", [True, False])
def test_who_read_the_output_of_a_killed_start_ends_too(tmp_path, is_ours):
    command = [sys.executable, "-uc", "import time; print(); time.sleep(60)", "bin/launch.py", "demo"]
    with subprocess.Popen(command, cwd=ROOT if is_ours else tmp_path, stdout=subprocess.PIPE) as reader:
        reader.stdout.readline()  # before it runs, its command line may not be there yet
        (tmp_path / "processes").write_text(str(reader.pid))
        launch.stop_left_behind(tmp_path / "processes")
        try:
            assert reader.wait(5) == -signal.SIGKILL if is_ours else reader.poll() is None
        finally:
            reader.kill()


def test_every_process_of_the_procfile_is_kept_running():
    procfile = [line.split(":")[0] for line in (ROOT / "Procfile").read_text().splitlines()]
    assert list(launch.commands("live")) == [*procfile, "announce"]
    assert list(launch.commands("demo")) == ["simulator", *procfile, "announce"]
    assert all("/bin/keep" in command for command in launch.commands("demo").values())


@pytest.mark.parametrize(
    ("line", "is_loud"),
    [
        ("2026-11-22 [warning  ] no connection", True),
        ("[error    ] the database is away", True),
        ("django.db.utils.OperationalError: refused", False),
        ("OperationalError: refused", True),
        ("Wrong settings: PORT must be a whole number", True),
        ("scorer: ended with status 1, starting again in 1 s", True),
        ("2026-11-22 [info     ] scorer started", False),
        ("2026-11-22 [warning  ] request_finished code=404", False),
    ],
)
def test_terminal_shows_warnings_but_not_every_line(line, is_loud):
    assert launch.is_loud(line) is is_loud
