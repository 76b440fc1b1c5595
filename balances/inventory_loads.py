"""People, devices and lines by the thousand: reads rows, reports every problem, writes the rest by COPY.

Part of `balances.inventory`, which is the door to it. Each load is one transaction under the enterprise's
lock: rows without a problem are created, the others are reported by row and column. Cells are read before the
lock is taken, so that charging waits only for look-ups and the writing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction

from balances import audit, fields, loading, locks
from balances.errors import Refused
from balances.loading import LoadResult, Problems
from balances.models import Account, Device, Enterprise, Line, LineAssignment, NumberAssignment, Person
from balances.models.accounts import DeviceOwnership, DeviceType, LineStatus, NumberKind, PersonAssignment


class TakenMeanwhile(Refused):
    """Another enterprise got one of the numbers while this load ran."""


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody to be added; `row` is the sender's own row number."""

    row: int
    number: str
    name: str
    account_code: str
    email: str = ""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device to be added."""

    row: int
    imei: str
    model: str = ""
    ownership: str = ""
    device_type: str = ""


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line to be put into service. Person and device are named by number and IMEI, and exist already."""

    row: int
    msisdn: str
    account_code: str
    imsi: str = ""
    label: str = ""
    person_number: str = ""
    device_imei: str = ""
    assigned_from: datetime | str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A number that somebody wants for an interval of time."""

    kind: NumberKind
    number: int
    starts_at: datetime
    ends_at: datetime | None = None

    @property
    def key(self) -> tuple[int, int]:
        return (int(self.kind), self.number)


def load_people(*, enterprise: Enterprise, rows: Sequence[PersonRow], actor: str, at: datetime) -> LoadResult:
    """Raises TooManyRows, Busy; everything else is reported by row and column."""
    loading.refuse_too_many(rows)
    problems = Problems()
    read = [(row, *_read_person(row, problems)) for row in rows]
    _report_repeated(((row.row, number) for row, number, *_ in read), "number", problems)
    with locks.enterprise(enterprise.id):
        accounts = _open_accounts(enterprise.id)
        known = set(Person.objects.filter(enterprise=enterprise).values_list("number", flat=True))
        for row, number, *_ in read:
            _find(row.row, "account_code", row.account_code, accounts, "open account", problems)
            if number in known:
                problems.add(row.row, "number", f"The personnel number “{number}” is already used.")
        good = [
            (number, name, email, accounts[row.account_code.strip()])
            for row, number, name, email in read
            if row.row not in problems.rows
        ]
        columns = ["enterprise_id", "account_id", "number", "name", "email", "created_at"]
        loading.copy(
            Person,
            columns,
            ((enterprise.id, account_id, number, name, email, at) for number, name, email, account_id in good),
        )
        _record(enterprise, "people.loaded", len(good), actor, at)
        return problems.result(len(good))


def load_devices(*, enterprise: Enterprise, rows: Sequence[DeviceRow], actor: str, at: datetime) -> LoadResult:
    """Raises TooManyRows, Busy; everything else is reported by row and column."""
    loading.refuse_too_many(rows)
    problems = Problems()
    read = [(row.row, *_read_device(row, problems)) for row in rows]
    _report_repeated(((row, imei) for row, imei, *_ in read), "imei", problems)
    with locks.enterprise(enterprise.id):
        known = set(Device.objects.filter(enterprise=enterprise).values_list("imei", flat=True))
        for row, imei, *_ in read:
            if imei in known:
                problems.add(row, "imei", f"The device {imei} is already in the inventory.")
        good = [cells for row, *cells in read if row not in problems.rows]
        columns = ["enterprise_id", "imei", "model", "ownership", "device_type", "created_at"]
        loading.copy(Device, columns, ((enterprise.id, *cells, at) for cells in good))
        _record(enterprise, "devices.loaded", len(good), actor, at)
        return problems.result(len(good))


def load_lines(*, enterprise: Enterprise, rows: Sequence[LineRow], actor: str, at: datetime) -> LoadResult:
    """Raises TooManyRows, TakenMeanwhile, Busy; everything else is reported by row and column."""
    loading.refuse_too_many(rows)
    problems = Problems()
    read = [_read_line(row, problems, at) for row in rows]
    _report_repeated(((line.row, line.msisdn) for line in read), "msisdn", problems)
    _report_repeated(((line.row, line.imsi) for line in read), "imsi", problems)
    with locks.enterprise(enterprise.id):
        known = _Known.of(enterprise.id, read)
        placed = [_place_line(line, known, problems) for line in read]
        _report_taken(enterprise.id, read, problems)
        good = [line for line in placed if line.row not in problems.rows]
        _write_lines(enterprise.id, good, at)
        if len(good) >= loading.ROWS_TO_ANALYZE:
            loading.analyze_after_commit(Line, LineAssignment, PersonAssignment, NumberAssignment)
        _record(enterprise, "lines.loaded", len(good), actor, at)
        return problems.result(len(good))


def taken(enterprise_id: int, wanted: Sequence[Wanted]) -> dict[tuple[int, int], str]:
    """Which of the numbers cannot be had, and why in words; never whose a number of another enterprise is."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT n.kind, n.number, n.enterprise_id = %s
            FROM unnest(%s::smallint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
                AS w (kind, number, starts_at, ends_at)
            JOIN balances_numberassignment n
                ON n.number = w.number AND n.kind = w.kind AND n.during && tstzrange(w.starts_at, w.ends_at)
            """,
            [
                enterprise_id,
                [int(w.kind) for w in wanted],
                [w.number for w in wanted],
                [w.starts_at for w in wanted],
                [w.ends_at for w in wanted],
            ],
        )
        owned = {(kind, number): own for kind, number, own in cursor.fetchall()}
    return {w.key: _in_use(w) if owned[w.key] else not_available(w) for w in wanted if w.key in owned}


def not_available(wanted: Wanted) -> str:
    """The words for a number that somebody else has."""
    return f"{_written(wanted)} is not available."


def _in_use(wanted: Wanted) -> str:
    return f"{_written(wanted)} already belongs to another line of this enterprise."


def _written(wanted: Wanted) -> str:
    return f"+{wanted.number}" if wanted.kind == NumberKind.MSISDN else f"The IMSI {wanted.number:015}"


# --- reading --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _ReadLine:
    """A row as far as it could be read; None where a cell could not."""

    row: int
    msisdn: str | None
    imsi: str | None
    label: str | None
    starts_at: datetime | None
    account_code: str
    person_number: str
    device_imei: str | None
    account_id: int | None = None
    person_id: int | None = None
    device_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What rows of lines may refer to."""

    accounts: Mapping[str, int]
    people: Mapping[str, int]
    devices: Mapping[str, int]

    @classmethod
    def of(cls, enterprise_id: int, read: Sequence[_ReadLine]) -> _Known:
        people = Person.objects.filter(enterprise_id=enterprise_id)
        devices = Device.objects.filter(enterprise_id=enterprise_id)
        return cls(
            _open_accounts(enterprise_id),
            dict(people.values_list("number", "id")) if any(line.person_number for line in read) else {},
            dict(devices.values_list("imei", "id")) if any(line.device_imei for line in read) else {},
        )


def _read_person(row: PersonRow, problems: Problems) -> tuple[Any, Any, Any]:
    number = problems.read(row.row, fields.code, row.number, field="number", label="The personnel number")
    return (
        number,
        problems.read(row.row, fields.name, row.name),
        problems.read(row.row, fields.email, row.email),
    )


def _read_device(row: DeviceRow, problems: Problems) -> tuple[Any, Any, Any, Any]:
    model = problems.read(
        row.row,
        fields.text,
        row.model,
        field="model",
        label="The model",
        most=fields.LABEL_LENGTH,
        required=False,
    )
    ownership = problems.read(
        row.row,
        fields.choice,
        row.ownership,
        choices=DeviceOwnership,
        field="ownership",
        default=DeviceOwnership.CORPORATE,
    )
    device_type = problems.read(
        row.row,
        fields.choice,
        row.device_type,
        choices=DeviceType,
        field="device_type",
        default=DeviceType.UNKNOWN,
    )
    return problems.read(row.row, fields.imei, row.imei), model, ownership, device_type


def _read_line(row: LineRow, problems: Problems, at: datetime) -> _ReadLine:
    number = row.row
    label = problems.read(
        number,
        fields.text,
        row.label,
        field="label",
        label="The label",
        most=fields.LABEL_LENGTH,
        required=False,
    )
    starts_at = problems.read(number, fields.instant, row.assigned_from, field="assigned_from", default=at)
    if starts_at is not None and starts_at > at:
        problems.add(number, "assigned_from", "A line goes into service now or earlier, not later.")
    device_imei: str | None = row.device_imei.strip()
    if device_imei:
        device_imei = problems.read(number, fields.imei, device_imei, field="device_imei")
    return _ReadLine(
        row=number,
        msisdn=problems.read(number, fields.msisdn, row.msisdn),
        imsi=problems.read(number, fields.imsi, row.imsi),
        label=label,
        starts_at=starts_at,
        account_code=row.account_code,
        person_number=row.person_number.strip(),
        device_imei=device_imei,
    )


def _report_repeated(cells: Iterable[tuple[int, str | None]], column: str, problems: Problems) -> None:
    """A value that must be unique stands twice in the file: the first row keeps it."""
    first: dict[str, int] = {}
    for row, value in cells:
        if value and first.setdefault(value, row) != row:
            problems.add(row, column, f"{value} stands in row {first[value]} already.")


# --- under the lock -------------------------------------------------------------------------------


def _open_accounts(enterprise_id: int) -> dict[str, int]:
    open_ones = Account.objects.filter(enterprise_id=enterprise_id, closed_at__isnull=True).order_by()
    return dict(open_ones.values_list("code", "id"))


def _find(row: int, column: str, value: str, known: Mapping[str, int], noun: str, problems: Problems) -> int | None:
    """The id behind a code; a missing or unknown one is reported."""
    value = value.strip()
    found = known.get(value)
    if not value:
        problems.add(row, column, f"The {noun.removeprefix('open ')} is missing.")
    elif found is None:
        problems.add(row, column, f"This enterprise has no {noun} “{value}”.")
    return found


def _place_line(line: _ReadLine, known: _Known, problems: Problems) -> _ReadLine:
    """The line with the ids of what its row names."""
    line.account_id = _find(line.row, "account_code", line.account_code, known.accounts, "open account", problems)
    if line.person_number:
        line.person_id = _find(line.row, "person_number", line.person_number, known.people, "person", problems)
    if line.device_imei:
        line.device_id = _find(line.row, "device_imei", line.device_imei, known.devices, "device", problems)
    return line


def _report_taken(enterprise_id: int, read: Sequence[_ReadLine], problems: Problems) -> None:
    """Report numbers that belong to any line already; never whose."""
    cells = [
        (line.row, column, Wanted(kind, int(number), line.starts_at))
        for line in read
        for column, kind, number in (
            ("msisdn", NumberKind.MSISDN, line.msisdn),
            ("imsi", NumberKind.IMSI, line.imsi),
        )
        if number and line.starts_at
    ]
    refusals = taken(enterprise_id, [wanted for _, _, wanted in cells])
    for row, column, wanted in cells:
        if message := refusals.get(wanted.key):
            problems.add(row, column, message)


def _write_lines(enterprise_id: int, lines: Sequence[_ReadLine], at: datetime) -> None:
    """Lines, assignments and numbers, each by one COPY."""
    ids = loading.next_ids(Line, len(lines))
    columns = [
        "id",
        "enterprise_id",
        "account_id",
        "msisdn",
        "imsi",
        "label",
        "status",
        "person_id",
        "device_id",
    ]
    loading.copy(
        Line,
        [*columns, "created_at"],
        (
            (
                i,
                enterprise_id,
                n.account_id,
                n.msisdn,
                n.imsi,
                n.label,
                LineStatus.ACTIVE,
                n.person_id,
                n.device_id,
                at,
            )
            for i, n in zip(ids, lines, strict=True)
        ),
    )
    loading.copy(
        LineAssignment,
        ["enterprise_id", "line_id", "account_id", "during"],
        ((enterprise_id, i, n.account_id, loading.interval(n.starts_at)) for i, n in zip(ids, lines, strict=True)),
    )
    loading.copy(
        PersonAssignment,
        ["enterprise_id", "line_id", "person_id", "during"],
        (
            (enterprise_id, i, n.person_id, loading.interval(n.starts_at))
            for i, n in zip(ids, lines, strict=True)
            if n.person_id is not None
        ),
    )
    try:
        with transaction.atomic():
            loading.copy(
                NumberAssignment,
                ["enterprise_id", "line_id", "kind", "number", "during"],
                (
                    (enterprise_id, i, int(kind), int(number), loading.interval(n.starts_at))
                    for i, n in zip(ids, lines, strict=True)
                    for kind, number in ((NumberKind.MSISDN, n.msisdn), (NumberKind.IMSI, n.imsi))
                    if number
                ),
            )
    except IntegrityError:
        raise TakenMeanwhile("One of the numbers was taken at this very moment. Send the file again.") from None


def _record(enterprise: Enterprise, action: str, count: int, actor: str, at: datetime) -> None:
    if count:
        audit.record(
            enterprise_id=enterprise.id,
            actor=actor,
            action=action,
            subject=enterprise.name,
            detail={"rows": count},
            at=at,
        )
