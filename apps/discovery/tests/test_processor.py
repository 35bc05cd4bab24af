"""What the processor says of an outage."""

import logging
from pathlib import Path

import pytest
from django.db import OperationalError

from apps.core.logs import Outages
from apps.discovery import processor as module
from apps.discovery.processor import Processor
from apps.discovery.services import stream_config_load


def test_an_outage_is_said_once_and_so_is_its_end(
    tmp_path: Path, db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    processor = Processor(tmp_path, load_config=stream_config_load, flush_rows=10, flush_seconds=1)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    refused = [OperationalError("connection refused\nIs the server running?")] * 20

    def commit() -> str:
        if refused:
            raise refused.pop()
        return "written"

    with caplog.at_level(logging.INFO, "apps.discovery.processor"):
        assert processor._insist(commit) == "written"
    outages = Outages()
    assert [record.getMessage() for record in caplog.records if outages.filter(record)] == [
        "the database takes nothing (connection refused): frames wait in the journal",
        "the database takes frames again",
    ]
