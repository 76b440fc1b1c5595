"""Tables of rows to be loaded, as JSON or CSV: read, loaded, and what went wrong told row by row.

Owns: the shape of bulk requests and their answers. The loads themselves are `balances.hierarchy` and
`balances.inventory`; they say whether rows without a problem are taken when others have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from balances.loading import LoadResult, RowError
from portal.api.problems import problem_answer

#: Errors that one answer lists; more are only counted.
MOST_ERRORS = 1_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """Rows as their load wants them, and where each stood in the request."""

    rows: Sequence[Row]
    places: dict[int, int]  # the sender's row number -> index


class RowErrorSerializer(serializers.Serializer):
    """What is wrong with one cell."""

    row = serializers.IntegerField(help_text="The line of the CSV, or the place in `rows`, counted from 1.")
    pointer = serializers.CharField(help_text="JSON pointer of the cell, or of the row.")
    code = serializers.CharField()
    detail = serializers.CharField()


class LoadedSerializer(serializers.Serializer):
    """What became of a table."""

    created = serializers.IntegerField(help_text="Rows that now exist.")
    error_count = serializers.IntegerField(help_text="Problems of rows that were not taken.")
    errors = RowErrorSerializer(many=True, help_text=f"The first {MOST_ERRORS:,} of them.")


def read_table(request: Request, row_class: type[Row]) -> Table[Row]:
    """The rows of a request: `{"rows": [{...}]}`, or CSV with the same names in its header. Raises ValidationError."""
    data = request.data
    if not isinstance(data, dict) or not isinstance(data.get("rows"), list):
        raise ValidationError({"rows": ["Send {“rows”: [{…}, …]}, or text/csv with a header."]}, code="rows")
    rows = data["rows"]
    if not rows:
        raise ValidationError({"rows": ["There is no row."]}, code="rows")
    numbers = data.get("line_numbers") if request.content_type.startswith("text/csv") else None
    names = [field.name for field in fields(row_class) if field.name != "row"]
    read, places, faults = [], {}, {}
    for index, (number, cells) in enumerate(zip(numbers or range(1, len(rows) + 1), rows, strict=True)):
        try:
            read.append(row_class(row=number, **_cells(cells, names)))
            places[number] = index
        except ValidationError as fault:
            faults[str(index)] = fault.detail
            if len(faults) >= MOST_ERRORS:
                break
    if faults:
        raise ValidationError({"rows": faults})
    return Table(read, places)


def _cells(cells: Any, names: list[str]) -> dict[str, str]:
    """The cells of a row as texts, all columns given. Raises ValidationError."""
    if not isinstance(cells, dict):
        raise ValidationError(["A row is an object of columns."], code="row")
    if unknown := cells.keys() - set(names):
        message = f"There is no such column; known are: {', '.join(names)}."
        raise ValidationError({name: [message] for name in unknown}, code="column")
    return {name: _text(name, cells.get(name)) for name in names}


def _text(name: str, cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) < 10**15:
        return str(cell)
    if not isinstance(cell, str) or "\x00" in cell or any("\ud800" <= character <= "\udfff" for character in cell):
        raise ValidationError({name: ["Text is wanted here."]}, code="text")
    return cell


def load(table: Table[Row], loader: Callable[[Sequence[Row]], LoadResult]) -> Response:
    """201 with what was created, also where some rows were not; 422 as a problem where none was."""
    result = loader(table.rows)
    errors = [_shown(error, table.places) for error in result.errors[:MOST_ERRORS]]
    if result.created == 0 and errors:
        count = len(result.errors)
        detail = f"No row was taken: {count:,} {'problem' if count == 1 else 'problems'}."
        return problem_answer(HTTPStatus.UNPROCESSABLE_ENTITY, "Refused", detail, errors)
    content = {"created": result.created, "error_count": len(result.errors), "errors": errors}
    return Response(content, status=HTTPStatus.CREATED)


def _shown(error: RowError, places: dict[int, int]) -> dict[str, Any]:
    pointer = f"/rows/{places[error.row]}" + (f"/{error.column}" if error.column else "")
    return {"row": error.row, "pointer": pointer, "code": "row", "detail": error.message}
