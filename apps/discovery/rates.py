"""What one SOL cost at a time: kept with source and time, imported for the past, looked up as of a moment."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from django.db.models import QuerySet

from apps.core.units import LAMPORTS_PER_SOL
from apps.discovery.delimited import CsvError
from apps.discovery.models import ExchangeRate
from apps.discovery.rate_sources import Currency, Rate, RateUnavailableError, exact

CURRENCIES: tuple[Currency, ...] = ("USD", "EUR")
COLUMNS = ("at", "currency", "rate")
IMPORT_ROWS = 5_000


def rates_keep(*, rates: Sequence[Rate], at: datetime) -> int:
    """Write rates down with their source and time; how many were new."""
    rows = [ExchangeRate(currency=one.currency, source=one.source, at=at, rate=one.value) for one in rates]
    return _store(rows)


def rate_at(currency: Currency, at: datetime) -> ExchangeRate | None:
    """The newest rate known at a moment, never a later one; None where there is none."""
    return ExchangeRate.objects.filter(currency=currency, at__lte=at).order_by("-at", "source").first()


def rates_found(
    *, currency: str = "", since: datetime | None = None, until: datetime | None = None
) -> QuerySet[ExchangeRate]:
    """Rates of a time, newest first."""
    rows = ExchangeRate.objects.order_by("-at", "currency", "source")
    wanted = {"currency": currency, "at__gte": since, "at__lte": until}
    return rows.filter(**{name: value for name, value in wanted.items() if value})


def value_of(lamports: int, rate: Decimal) -> Decimal:
    """What lamports are worth at a rate, to the cent."""
    return (Decimal(lamports) / LAMPORTS_PER_SOL * rate).quantize(Decimal("0.01"))


# --- Import --------------------------------------------------------------------------------------------
def rates_import(*, path: Path) -> tuple[int, int]:
    """Import a CSV with the columns at, currency, rate and perhaps source; (lines, new rates).

    Raises CsvError (file, line, column) for the first wrong line, before anything is written.
    """
    rows = list(read_rates(path))
    return len(rows), sum(_store(rows[at : at + IMPORT_ROWS]) for at in range(0, len(rows), IMPORT_ROWS))


def read_rates(path: Path) -> Iterator[ExchangeRate]:
    """The rates of a file, not yet stored. Raises CsvError or OSError."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            for name in COLUMNS:
                if header.count(name) != 1:
                    raise CsvError(str(path), 1, name, "the first line must name this column once")
            for fields in reader:
                if fields:
                    yield _row(path, reader.line_num, header, fields)
        except (csv.Error, UnicodeDecodeError):
            raise CsvError(str(path), reader.line_num, None, "not comma-separated text in UTF-8") from None


def _row(path: Path, line: int, header: list[str], fields: list[str]) -> ExchangeRate:
    if len(fields) != len(header):
        raise CsvError(str(path), line, None, f"has {len(fields)} fields, the first line {len(header)}")
    values = {name: text.strip() for name, text in zip(header, fields, strict=True)}

    def wrong(column: str, reason: str) -> CsvError:
        return CsvError(str(path), line, column, f"{values[column][:40]!r} {reason}")

    if values["currency"].upper() not in CURRENCIES:
        raise wrong("currency", "is neither USD nor EUR")
    if (at := _time(values["at"])) is None:
        raise wrong("at", "is no time such as 2026-07-04T12:00:00Z")
    try:
        rate = exact(Decimal(values["rate"]))
    except (InvalidOperation, RateUnavailableError):
        raise wrong("rate", "is no price of one SOL") from None
    source = re.sub(r"\W+", " ", values.get("source", "")).strip()[:50]
    return ExchangeRate(at=at, currency=values["currency"].upper(), rate=rate, source=source or "import")


def _time(text: str) -> datetime | None:
    """A time in ISO 8601 (a day is its midnight; without a zone UTC) or in epoch seconds."""
    try:
        if re.fullmatch(r"\d{9,11}", text):
            return datetime.fromtimestamp(int(text), UTC)
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # also what a zone moves out of the years that there are
        return None


def _store(rows: Sequence[ExchangeRate]) -> int:
    """Insert what is not there; how many. The same rate imported again changes nothing."""
    before = _count(rows)
    ExchangeRate.objects.bulk_create(rows, ignore_conflicts=True)
    return _count(rows) - before


def _count(rows: Sequence[ExchangeRate]) -> int:
    times = [row.at for row in rows]
    return ExchangeRate.objects.filter(at__gte=min(times), at__lte=max(times)).count() if times else 0
