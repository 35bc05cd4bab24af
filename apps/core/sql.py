"""Loads the numbered files of `sql/` into migrations."""

from django.conf import settings
from django.db import migrations


def run_sql_file(name: str) -> migrations.RunSQL:
    """A migration operation that runs `sql/<name>`; the files are idempotent and never edited once released."""
    text = (settings.BASE_DIR / "sql" / name).read_text(encoding="utf-8")
    return migrations.RunSQL(text, reverse_sql=migrations.RunSQL.noop)
