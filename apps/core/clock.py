"""The one clock that processes on several machines share."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's clock at this moment, also inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
