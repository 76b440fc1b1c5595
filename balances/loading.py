"""Bulk loads: what they answer, and how thousands of rows reach PostgreSQL at once.

Owns: the shape of a load's result, ids taken ahead from a table's sequence, COPY. Never decides what is
valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

from balances.errors import Refused

#: Rows that one load takes at most: bounds memory and the time that the enterprise stays locked.
ROWS_MOST = 50_000


#: From so many rows on, a load renews the statistics of its tables.
ROWS_TO_ANALYZE = 1_000


class TooManyRows(Refused):
    """More rows than one load takes."""


@dataclass(frozen=True, slots=True, order=True)
class RowError:
    """What is wrong with one cell;

    `row` is the sender's own number, `column` the field's name ("" for the row).
    """

    row: int
    column: str
    message: str


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How many rows were created, and every problem of those that were not, in order of rows."""

    created: int
    errors: list[RowError] = field(default_factory=list)


class Problems:
    """Gathers the errors of a load, and knows which rows have any."""

    def __init__(self) -> None:
        self.errors: list[RowError] = []
        self.rows: set[int] = set()

    def add(self, row: int, column: str, message: str) -> None:
        """Note what is wrong in a cell."""
        self.errors.append(RowError(row, column, message))
        self.rows.add(row)

    def read(self, row: int, reader, value, **arguments) -> Any:
        """The value as `reader` understands it, or None and a noted error."""
        try:
            return reader(value, **arguments)
        except Refused as refusal:
            self.add(row, refusal.field or "", refusal.message)
            return None

    def result(self, created: int) -> LoadResult:
        """The answer of the load."""
        return LoadResult(created, sorted(self.errors))


def refuse_too_many(rows: Sequence[object], most: int = ROWS_MOST) -> None:
    """Raises TooManyRows."""
    if len(rows) > most:
        raise TooManyRows(f"{len(rows)} rows were sent; at most {most} are taken at once. Split the file.")


def next_ids(model: type[models.Model], count: int) -> list[int]:
    """Ids for `count` new rows, so that rows can refer to each other before they are written."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count])
        return [row[0] for row in cursor.fetchall()]


def copy(model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows by COPY;

    `columns` are those of the table. Values that Django would default must be given.
    """
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    statement = f"COPY {quote(model._meta.db_table)} ({names}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)


def analyze_after_commit(*written: type[models.Model]) -> None:
    """Let PostgreSQL count what a large load has written: until it does, it plans joins for small tables.

    After the commit, because ANALYZE keeps its lock until then, and must not undo the load if it fails.
    """
    tables = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in written)

    def analyze() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {tables}")

    transaction.on_commit(analyze, robust=True)


def interval(starts_at: datetime | None, ends_at: datetime | None = None) -> str:
    """A half-open range of instants as COPY wants it; None: without beginning or end."""
    first = starts_at.isoformat() if starts_at else ""
    last = ends_at.isoformat() if ends_at else ""
    return f"[{first},{last})"
