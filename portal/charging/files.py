"""Usage files: CSV, plain or gzip, read as a stream; a million rows need no more memory than a few thousand.

Owns: bytes to rows (encoding, byte order mark, line ends, quotes, limits) and rows to chunks of records by a column
profile. Never accepts anything itself: whoever reads hands each chunk to `ingest.accept`. A file that is broken in
the middle gives the chunk before the break, then raises, so that what came before stays accepted; identity makes
sending it again harmless.
"""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from balances.errors import Refused
from balances.loading import RowError
from portal.charging import records
from portal.charging.columns import DELIMITERS, Columns, MissingColumns, RowReader
from portal.charging.records import Usage

CHUNK_ROWS = 5_000
#: A longer line is no usage record but a wrong file, or a quote that is never closed.
LINE_MOST_BYTES = 65_536
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class FileRefused(Refused):
    """The file cannot be read, or not beyond a row; the message says where and why."""


@dataclass(slots=True)
class Chunk:
    """Records of some rows, rows that cannot be records, and how far the file has been read."""

    usages: list[Usage] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    row: int = 1  # the last line read, counted from 1
    offset: int = 0  # in bytes of the unpacked file: reading can be taken up again here
    done_bytes: int = 0  # of the file as it lies there, for progress

    @property
    def is_full(self) -> bool:
        """Whether it holds as many rows as are taken at once."""
        return len(self.usages) + len(self.errors) >= CHUNK_ROWS


class Rows:
    """The rows of a CSV file with their line numbers, from the beginning or from an offset on. Raises FileRefused."""

    def __init__(self, file: BinaryIO, *, encoding: str = "utf-8", delimiter: str = ","):
        self._file, self.encoding, self._delimiter = file, encoding, delimiter
        start = file.read(4)
        file.seek(0)
        if not start:
            raise FileRefused("The file is empty.", field="file")
        if start == _ZIP:
            raise FileRefused("This is an Excel or zip file. Save it as CSV and send that.", field="file")
        self._stream: BinaryIO = gzip.GzipFile(fileobj=file) if start[:2] == _GZIP else file  # type: ignore[assignment]
        #: Of the last complete row: its line number, and where the next one begins in the unpacked file.
        self.row = self.offset = 0
        self._position = self._first_row = 0
        self._reader = csv.reader(self._lines(), delimiter=delimiter)
        self.header = self._read_header()

    @property
    def done_bytes(self) -> int:
        """Bytes of the file as it lies there that have been read."""
        return self._file.tell()

    def go_on(self, offset: int, row: int) -> None:
        """Continue behind what was read earlier."""
        if offset > self.offset:
            self.row = self._first_row = row
            with _Told(self):
                self._stream.seek(offset)
            self.offset = self._position = offset
            self._reader = csv.reader(self._lines(), delimiter=self._delimiter)

    def __iter__(self) -> Iterator[list[str]]:
        with _Told(self):
            for cells in self._reader:
                self.row, self.offset = self._first_row + self._reader.line_num, self._position
                if any(cells):
                    yield cells

    def _lines(self) -> Iterator[str]:
        while line := self._stream.readline(LINE_MOST_BYTES + 1):
            is_first, self._position = self._position == 0, self._position + len(line)
            if is_first:
                if line[:2] in _UTF16:
                    raise FileRefused("The file is UTF-16. Save it as CSV in UTF-8 and send that.", field="file")
                line = line.removeprefix(BYTE_ORDER_MARK)
            if len(line) > LINE_MOST_BYTES:
                raise csv.Error(f"the line is longer than {LINE_MOST_BYTES:,} bytes")
            yield line.decode(self.encoding)

    def _read_header(self) -> list[str]:
        header = next(iter(self), None)
        if header is None:
            raise FileRefused("The file has no header: its first row names the columns.", field="file")
        names = [name.strip() for name in header]
        folded = [name.casefold() for name in names if name]
        if twice := {name for name in folded if folded.count(name) > 1}:
            raise FileRefused(f"The column “{min(twice)}” stands twice in the header.", field="file")
        return names

    def other_delimiter(self) -> str | None:
        """The name of the delimiter that the header seems to have instead."""
        if len(self.header) > 1 or not self.header:
            return None
        return next((name for sign, name in DELIMITERS.items() if sign in self.header[0]), None)


class _Told:
    """Turns what goes wrong inside a file into a refusal with the row."""

    def __init__(self, rows: Rows):
        self._rows = rows

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        match error:
            case EOFError():
                why = "the gzip file is cut off there. Send the whole file again"
            case zlib.error() | gzip.BadGzipFile():
                why = "the gzip file is damaged there. Send it again"
            case UnicodeDecodeError():
                why = f"the next row is not {self._rows.encoding}. Choose the file's encoding in the column profile"
            case csv.Error():
                why = f"the next row cannot be read: {error}. Perhaps a quote is opened and never closed"
            case _:
                return
        raise FileRefused(
            f"Read up to row {self._rows.row:,}; {why}. Rows up to there are taken, and are not taken twice.",
            field="file",
        ) from error


def read(file: BinaryIO, columns: Columns, *, offset: int = 0, row: int = 0) -> Iterator[Chunk]:
    """The records of a usage file, a chunk at a time; `offset` and `row` of an earlier chunk: what comes after it.

    Raises FileRefused, also after the first chunks.
    """
    rows = Rows(file, encoding=columns.encoding, delimiter=columns.delimiter)
    try:
        reader = RowReader(columns, rows.header)
    except MissingColumns as missing:
        other = rows.other_delimiter()
        hint = f" It seems to be parted by {other}s: choose that in the column profile." if other else ""
        raise FileRefused(f"{missing.message}{hint}", field="file") from None
    rows.go_on(offset, row)
    chunk = Chunk()
    try:
        for cells in rows:
            try:
                chunk.usages.append(reader.read(cells))
            except records.Unidentifiable as error:
                chunk.errors.append(RowError(rows.row, error.field or "", error.message))
            if chunk.is_full:
                yield _closed(chunk, rows)
                chunk = Chunk()
    except FileRefused:
        if chunk.usages or chunk.errors:
            yield _closed(chunk, rows)
        raise
    if chunk.usages or chunk.errors:
        yield _closed(chunk, rows)


def _closed(chunk: Chunk, rows: Rows) -> Chunk:
    chunk.row, chunk.offset, chunk.done_bytes = rows.row, rows.offset, rows.done_bytes
    return chunk


def size(path: str | Path) -> int:
    """Bytes of a file as it lies there."""
    return os.stat(path).st_size
