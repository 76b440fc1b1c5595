"""Request bodies, bounded: JSON, and tables as CSV.

Owns: how bytes become values, and how many bytes are taken. Never says what a value means: that is the view's matter.
A view may raise the bound with its attribute `most_bytes`.
"""

from __future__ import annotations

import csv
import io
import json
from http import HTTPStatus
from typing import Any, NoReturn

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MOST_BYTES = 1024 * 1024
#: Tables of accounts, lines, devices and people: 50,000 rows of the longest names.
MOST_TABLE_BYTES = 32 * 1024 * 1024


class TooLarge(APIException):
    """More bytes than the view takes."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def _read(stream, parser_context: dict[str, Any] | None) -> str:
    """The whole body as text, unless it is too long."""
    context = parser_context or {}
    most = getattr(context.get("view"), "most_bytes", MOST_BYTES)
    body = stream.read(most + 1)
    if len(body) > most:
        raise TooLarge(f"The body may have at most {most:,} bytes. Send less at once.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start} cannot be read.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class StrictJSONParser(BaseParser):
    """JSON as RFC 8259 has it: no NaN, no Infinity; nesting without end is refused, not a crash."""

    media_type = "application/json"

    def parse(self, stream, media_type=None, parser_context=None) -> Any:
        """The value of the body. Raises ParseError, TooLarge."""
        text = _read(stream, parser_context)
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is no JSON: {error}.") from None


class TableParser(BaseParser):
    """CSV with a header row, as the same value that the JSON form of a table has, and the line of each row."""

    media_type = "text/csv"

    def parse(self, stream, media_type=None, parser_context=None) -> dict[str, list]:
        """`rows` as mappings by column, `line_numbers` in step. Raises ParseError, TooLarge."""
        reader = csv.reader(io.StringIO(_read(stream, parser_context), newline=""), strict=True)
        rows: list[dict[str, str]] = []
        line_numbers: list[int] = []
        try:
            header = [column.strip() for column in next(reader, [])]
            if not any(header) or len(set(header)) < len(header):
                raise ParseError("The first line must name the columns, each once.")
            last_line = reader.line_num
            for cells in reader:
                first_line, last_line = last_line + 1, reader.line_num
                if not any(cells):
                    continue
                if len(cells) > len(header):
                    raise ParseError(f"Line {first_line} has {len(cells)} cells, but there are {len(header)} columns.")
                rows.append(dict(zip(header, cells, strict=False)))
                line_numbers.append(first_line)
        except csv.Error as error:
            raise ParseError(f"Line {reader.line_num} is no CSV: {error}.") from None
        return {"rows": rows, "line_numbers": line_numbers}
