"""A database to measure or to break: made beside the configured one with all migrations, removed in the end."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from urllib.parse import quote

from django.db import connection


@contextmanager
def scratch_database() -> Iterator[None]:
    """Let this process work in a new database; the user of DATABASE_URL must be allowed to create one."""
    usual = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"{usual}_scratch"
    with redirect_stdout(io.StringIO()):  # Django says there that a migration has made the cache's table already
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(usual, verbosity=0)


def database_url() -> str:
    """The address of the database in use now, for the environment of a child process."""
    one = {key: str(value) for key, value in connection.settings_dict.items()}
    return f"postgresql://{quote(one['USER'])}:{quote(one['PASSWORD'])}@{one['HOST']}:{one['PORT']}/{one['NAME']}"
