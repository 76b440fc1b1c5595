"""The worked cases of docs/byod_cases.csv as text: read, and shown in the page. `byod_world` runs them. Pure."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[2] / "docs" / "byod_cases.csv"
PAGE = FILE.with_name("byod.md")
_BEGIN, _END = "<!-- cases -->\n", "\n<!-- end -->"


class Case(NamedTuple):
    """A row of the file."""

    topic: str
    name: str
    rules: str
    facts: str
    events: str
    legs: str


def cases() -> list[Case]:
    """All rows, in the order of the file."""
    with FILE.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        assert tuple(next(rows)) == Case._fields
        return [Case(*row) for row in rows]


def statements(text: str) -> list[str]:
    """What stands between semicolons."""
    return [one.strip() for one in text.split(";") if one.strip()]


def table() -> str:
    """The selection that the page shows: the first case of each topic."""
    first: dict[str, Case] = {}
    for case in cases():
        first.setdefault(case.topic, case)
    lines = ["| case | rules | facts | events | legs |", "|---|---|---|---|---|"]
    for case in first.values():
        cells = [case.name, *("<br>".join(statements(text)) for text in case[2:])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shown() -> str:
    """The table as it stands in the page."""
    return PAGE.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0]


def main() -> None:
    """Write the selection into the page: `python -m tests.charging.byod_cases`."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    PAGE.write_text(before + _BEGIN + table() + _END + rest.partition(_END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
