"""Imports of tree, people, devices and lines from CSV, through the load functions of the domain.

Owns: the columns of each file, its template, and the reading of its cells. Never writes by itself. The load and the
end of its job are one transaction: a killed worker has done all of it or nothing. docs/files.md lists the columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.files.base import File
from django.db import transaction

from balances import hierarchy, inventory, personal_opening
from balances.errors import Refused
from balances.loading import LoadResult
from balances.models import Enterprise
from portal.charging import files
from portal.charging.columns import DELIMITERS, MissingColumns
from portal.models import Job, User
from portal.provisioning import jobs

FILE_MOST_BYTES = 20 * 1024**2


class UnknownImport(Refused):
    """No import of that kind."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an import file."""

    name: str
    help: str
    example: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Import:
    """A kind of import: what it is called, its columns, and who makes rows and loads them."""

    kind: str
    title: str
    noun: str
    about: str
    columns: tuple[Column, ...]
    row: Callable[..., Any]
    load: Callable[..., LoadResult]

    @property
    def template(self) -> str:
        """A CSV file with the header and one example row."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([column.name for column in self.columns])
        writer.writerow([column.example for column in self.columns])
        return text.getvalue()


IMPORTS: dict[str, Import] = {
    one.kind: one
    for one in (
        Import(
            "tree",
            "Account tree",
            "accounts",
            "Divisions, cost centres and groups. Rows may stand in any order. All of them are made, or none where any "
            "row has a problem.",
            (
                Column("code", "Short and unique in the enterprise; other files refer to it.", "N-SALES", True),
                Column("parent_code", "Code of the account above; empty: directly below the enterprise.", "NORTH"),
                Column("name", "What screens show.", "North sales", True),
                Column("kind", "division, cost_centre or group; empty: cost_centre.", "cost_centre"),
            ),
            hierarchy.TreeRow,
            hierarchy.load_tree,
        ),
        Import(
            "people",
            "People",
            "people",
            "Employees who use lines. Rows without a problem are added, the others are listed.",
            (
                Column("number", "Personnel number, unique in the enterprise.", "P-1001", True),
                Column("name", "First and last name.", "Emil Engel", True),
                Column("account_code", "Code of the account they belong to.", "N-SALES", True),
                Column("email", "For notices; may be empty.", "emil@example.org"),
            ),
            inventory.PersonRow,
            inventory.load_people,
        ),
        Import(
            "devices",
            "Devices",
            "devices",
            "Handsets, tablets, routers, machines. Rows without a problem are added, the others are listed.",
            (
                Column("imei", "15 digits.", "352099001761481", True),
                Column("model", "Free text.", "Fairphone 6"),
                Column("ownership", "corporate or personal; empty: corporate.", "corporate"),
                Column("device_type", "phone, tablet, router or machine; empty: unknown.", "phone"),
            ),
            inventory.DeviceRow,
            inventory.load_devices,
        ),
        Import(
            "lines",
            "Lines",
            "lines",
            "Subscriptions. Their accounts, people and devices exist already: import those first. Rows without a "
            "problem are added, the others are listed.",
            (
                Column("msisdn", "Phone number with country code.", "+49 170 1000001", True),
                Column("account_code", "Code of the account that the line belongs to.", "N-SALES", True),
                Column("imsi", "15 digits of the SIM; may be empty.", "262071701000001"),
                Column("label", "A name for lines without a person.", "Service van"),
                Column("person_number", "Personnel number of its user; may be empty.", "P-1001"),
                Column("device_imei", "IMEI of its device; may be empty.", "352099001761481"),
                Column(
                    "assigned_from",
                    "Since when it belongs there, with offset; empty: from now on. Usage of earlier times waits in "
                    "suspense.",
                    "2026-03-01T00:00:00+01:00",
                ),
            ),
            inventory.LineRow,
            inventory.load_lines,
        ),
    )
}

#: Not a job: its rows say who has an account, and the enterprise's managers read jobs.
PERSONAL_ACCOUNTS = Import(
    "personal-accounts",
    "Personal accounts",
    "accounts",
    "Accounts to be opened for people. Rows without a problem are opened, the others are listed.",
    (
        Column("person_number", "Personnel number.", "P-1001", True),
        Column("tariff", "Name of the personal tariff.", "Nordnetz Mine", True),
        Column("kind", "prepaid or postpaid.", "postpaid", True),
        Column("credit_limit", "Of postpaid accounts, in the tariff's currency; empty: none.", "50.00"),
    ),
    personal_opening.AccountRow,
    personal_opening.load_accounts,
)
#: Every kind of which there is a file to begin with.
TEMPLATES = {**IMPORTS, PERSONAL_ACCOUNTS.kind: PERSONAL_ACCOUNTS}


def load_now(chosen: Import, *, enterprise: Enterprise, file: File, **options: Any) -> LoadResult:
    """Load a file at once, without a job. Raises FileTooLarge, FileRefused, and what its load raises."""
    if file.size > FILE_MOST_BYTES:
        raise jobs.FileTooLarge(
            f"The file has {file.size:,} bytes; at most {FILE_MOST_BYTES:,} are taken.", field="file"
        )
    rows = [chosen.row(**cells) for cells in _rows(chosen, file.read())]
    return chosen.load(enterprise=enterprise, rows=rows, **options)


def upload(*, kind: str, file: File, enterprise: Enterprise, created_by: User) -> Job:
    """A job that loads the file into the enterprise; whether the user may is the caller's matter.

    Raises UnknownImport, FileTooLarge, FileRefused (a header that cannot be).
    """
    chosen = _import(kind)
    if file.size > FILE_MOST_BYTES:
        raise jobs.FileTooLarge(
            f"The file has {file.size:,} bytes; at most {FILE_MOST_BYTES:,} are taken.", field="file"
        )
    _rows(chosen, file.read())
    file.seek(0)
    return jobs.create(
        operator=enterprise.operator,
        enterprise=enterprise,
        kind=chosen.kind,
        title=f"{chosen.title}: {file.name or 'file'}",
        file=file,
        parameters={},
        created_by=created_by,
    )


def load(job: Job, *, stop_at: float) -> bool:
    """Load the job's file, all in one turn; returns False: nothing is left. Raises Refused."""
    chosen = _import(job.kind)
    content = jobs.path_of(job).read_bytes()
    rows = [chosen.row(**cells) for cells in _rows(chosen, content)]
    at = datetime.now(UTC)
    actor = f"user:{job.created_by_id} {job.created_by}"
    with transaction.atomic():
        result = chosen.load(enterprise=job.enterprise, rows=rows, actor=actor, at=at)
        jobs.finish(job, counts={"rows": len(rows), "created": result.created}, errors=result.errors, at=at)
    return False


def _import(kind: str) -> Import:
    if kind not in IMPORTS:
        raise UnknownImport(f"There is no import “{kind}”; known are {', '.join(IMPORTS)}.", field="kind")
    return IMPORTS[kind]


def _rows(chosen: Import, content: bytes) -> list[dict[str, Any]]:
    """Rows as arguments of the import's row type. Spreadsheets write UTF-8 or Windows-1252, with commas or semicolons.

    Raises FileRefused.
    """
    encoding = _encoding(content)
    names = [column.name for column in chosen.columns]
    candidates = [files.Rows(io.BytesIO(content), encoding=encoding, delimiter=sign) for sign in DELIMITERS]
    rows = max(candidates, key=lambda each: len({name.casefold() for name in each.header} & set(names)))
    header = [name.casefold() for name in rows.header]
    if missing := [column.name for column in chosen.columns if column.is_required and column.name not in header]:
        raise files.FileRefused(MissingColumns(missing, rows.header).message, field="file")
    places = {name: header.index(name) for name in names if name in header}
    read = []
    for cells in rows:
        values = {name: cells[place].strip() for name, place in places.items() if place < len(cells)}
        read.append({**dict.fromkeys(names, ""), **values, "row": rows.row})
    if not read:
        raise files.FileRefused("The file has a header, but no rows below it.", field="file")
    return read


def _encoding(content: bytes) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
