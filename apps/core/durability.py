"""Which commits wait for the disk.

A commit that does not wait is seen by everybody at once and is on the disk a moment later; a crash of the server (not
of the client) in that moment undoes the newest of them, never one without all after it. Any commit that does wait takes
all before it to the disk. So what can be done again from what is left may go without waiting, as long as nobody acts
on it outside the database before a commit of theirs.
"""

from __future__ import annotations

from apps.core.prepared import execute


def commits_hurry() -> None:
    """From here on the commits of this connection do not wait."""
    execute("SET synchronous_commit = off", {})


def commit_waits() -> None:
    """The transaction under way waits for the disk when it ends, and with it all before it."""
    execute("SET LOCAL synchronous_commit = on", {})
