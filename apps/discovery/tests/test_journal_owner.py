"""A journal and its database know each other by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.discovery.journal_owner import ForeignJournalError, journal_claim
from apps.discovery.models import StreamState
from apps.discovery.tests.test_journal import fill

pytestmark = pytest.mark.django_db
HERE = "0b8b5a5e-0000-4000-8000-000000000001"
OTHER = "0b8b5a5e-0000-4000-8000-000000000002"


def known() -> str:
    return StreamState.objects.get(pk=1).journal_id


def named(folder: Path, database: str, journal: str, *, lines: int = 3) -> Path:
    StreamState.objects.filter(pk=1).update(journal_id=database)
    fill(folder, lines)
    if journal:
        (folder / "database").write_text(journal)
    return folder


@pytest.mark.parametrize(
    ("database", "journal", "name"),
    [(HERE, "", HERE), ("", OTHER, OTHER), (HERE, HERE, HERE)],
    ids=["old journal", "new database", "both"],
)
def test_the_first_to_have_a_name_gives_it_to_the_other(tmp_path: Path, database: str, journal: str, name: str) -> None:
    journal_claim(named(tmp_path, database, journal))
    assert (known(), (tmp_path / "database").read_text().strip()) == (name, name)


def test_two_without_a_name_get_one_and_keep_it(tmp_path: Path) -> None:
    folder = tmp_path / "not yet made"
    journal_claim(folder)
    name = known()
    journal_claim(folder)
    assert len(name) == 36 and known() == name == (folder / "database").read_text().strip()


def test_the_journal_of_another_database_is_refused_and_stays_what_it_is(tmp_path: Path) -> None:
    named(tmp_path, HERE, OTHER)
    with pytest.raises(ForeignJournalError, match="JOURNAL_DIR"):
        journal_claim(tmp_path)
    assert (known(), (tmp_path / "database").read_text()) == (HERE, OTHER)


def test_a_folder_that_was_emptied_is_taken_over(tmp_path: Path) -> None:
    StreamState.objects.filter(pk=1).update(journal_id=HERE)
    (tmp_path / "database").write_text(OTHER)
    journal_claim(tmp_path)
    assert (tmp_path / "database").read_text().strip() == HERE
