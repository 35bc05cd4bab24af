"""An answer that fails half way breaks off, and the web process goes on, in a real Daphne."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

APPLICATION = """
from pumpsite.torn import break_off_torn_answers

break_off_torn_answers()


async def application(scope, receive, send):
    if scope["path"] == "/fails-at-once":
        raise RuntimeError("at once")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half of it", "more_body": True})
    if scope["path"] == "/fails-half-way":
        raise RuntimeError("half way")
    await send({"type": "http.response.body", "body": b" and the rest"})
"""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[httpx2.Client]:
    """A Daphne that serves APPLICATION."""
    (tmp_path / "half.py").write_text(APPLICATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = Path(__file__).resolve().parent.parent
    command = [str(Path(sys.executable).with_name("daphne")), "-b", "127.0.0.1", "-p", str(port), "half:application"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            assert any("Listening on TCP" in line for line in process.stderr)
            yield httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0)
        finally:
            process.kill()


def test_half_an_answer_is_broken_off_and_the_next_requests_are_looked_after(web: httpx2.Client) -> None:
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            web.get("/fails-half-way")
    assert web.get("/fails-at-once").status_code == 500
    assert web.get("/").text == "half of it and the rest"
