"""Lists of numbers: the only writer of NumberList and NumberListEntry. Rules of who pays ask whether the other party is
in one.

Owns: numbers and how numbers begin, each with the time of use for which it counts, as it was known at each charge. A
list stands on an account; rules of that account and of those below it speak of it by its code. Many rows come at once:
those without a problem are taken, the others are told. Each function opens its own transaction under the enterprise's
lock.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from balances import audit, fields, loading, locks
from balances.errors import Refused
from balances.loading import LoadResult, Problems
from balances.models import Account, ChargingState
from policies.models import NumberList, NumberListEntry, PolicyState, SteeringVersion

#: Entries of a list, lists of an enterprise.
ENTRIES_MOST, LISTS_MOST = 2_000, 200
CODE_LENGTH, NAME_LENGTH, LABEL_LENGTH = 40, 80, 80
TEXT_MOST = 400_000
#: Columns of a file, in the order in which a file without a header has them.
COLUMNS = ("number", "label", "valid_from", "valid_until")

_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_NEVER = datetime.min.replace(tzinfo=UTC)
_PREFIX = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)


class ListRefused(Refused):
    """A list or an entry that cannot be."""


@dataclass(frozen=True, slots=True)
class EntryRow:
    """A number to be added, or how numbers begin ("+4930*"); `row` is the sender's own row number.

    Times are ISO 8601 with an offset, or dates: then from the beginning of the first day to the end of the last.
    """

    row: int
    number: str
    label: str = ""
    valid_from: str | datetime | None = None
    valid_until: str | datetime | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """A row as it is kept."""

    row: int
    digits: str
    is_prefix: bool
    label: str
    valid_from: datetime | None
    valid_until: datetime | None

    @property
    def key(self) -> tuple[str, bool]:
        return self.digits, self.is_prefix


def create(*, account: Account, code: str, name: str, actor: str, at: datetime) -> NumberList:
    """A list without entries. Raises ListRefused, Unreadable, Busy."""
    code, name = _code(code), fields.text(name, field="name", label="The name", most=NAME_LENGTH)
    with locks.enterprise(account.enterprise_id):
        known = Account.objects.filter(id=account.id, enterprise_id=account.enterprise_id, closed_at__isnull=True)
        if not known.exists():
            raise ListRefused("This account does not exist, or is closed.", field="account")
        mine = NumberList.objects.filter(enterprise_id=account.enterprise_id)
        if mine.filter(code=code).exists():
            raise ListRefused(f"The enterprise has a list “{code}” already.", field="code")
        if mine.count() >= LISTS_MOST:
            raise ListRefused(f"At most {LISTS_MOST} lists fit into an enterprise.")
        made = NumberList.objects.create(
            enterprise_id=account.enterprise_id, account=account, code=code, name=name, made_at=at, made_by=actor
        )
        _record(made, "number_list.created", actor, at)
        return made


def rename(*, numbers: NumberList, name: str, actor: str, at: datetime) -> NumberList:
    """Give a list another name; rules know it by its code. Raises ListRefused, Unreadable, Busy."""
    name = fields.text(name, field="name", label="The name", most=NAME_LENGTH)
    with locks.enterprise(numbers.enterprise_id):
        numbers = _known(numbers)
        before, numbers.name = numbers.name, name
        numbers.save(update_fields=["name"])
        _record(numbers, "number_list.renamed", actor, at, before=before)
        return numbers


def remove(*, numbers: NumberList, actor: str, at: datetime) -> None:
    """Remove a list that no rule asks for and that never had a number. Raises ListRefused, Busy.

    One that had numbers stays for replays, which read it as it was: empty it instead.
    """
    with locks.enterprise(numbers.enterprise_id):
        numbers = _known(numbers)
        if asking := _asking(numbers):
            raise ListRefused(f"{asking} asks for this list: change it first.", field="list")
        if numbers.entries.exists():
            raise ListRefused("Usage was charged while this list had numbers. Empty it instead.", field="list")
        _record(numbers, "number_list.removed", actor, at)
        numbers.delete()


def add(
    *, numbers: NumberList, rows: Sequence[EntryRow], zone: ZoneInfo | None = None, actor: str, at: datetime
) -> LoadResult:
    """Add numbers; rows without a problem are taken. `zone`: of dates without a time, UTC unless told.

    Raises ListRefused, TooManyRows, Busy; everything else is told by row and column.
    """
    loading.refuse_too_many(rows, ENTRIES_MOST)
    problems = Problems()
    read = [_read(row, zone or ZoneInfo("UTC"), problems) for row in rows]
    seen: dict[tuple[str, bool], int] = {}
    for one in read:
        if one.row not in problems.rows and seen.setdefault(one.key, one.row) != one.row:
            problems.add(one.row, "number", f"The same stands in row {seen[one.key]}.")
    with locks.enterprise(numbers.enterprise_id):
        numbers = _known(numbers)
        standing = numbers.entries.filter(removed_at__isnull=True)
        known = set(standing.values_list("digits", "is_prefix"))
        room = ENTRIES_MOST - len(known)
        for one in read:
            if one.row in problems.rows:
                continue
            if one.key in known:
                problems.add(one.row, "number", f"{_written(*one.key)} is in the list already.")
            elif room <= 0:
                problems.add(one.row, "number", f"At most {ENTRIES_MOST:,} numbers fit into a list.")
            else:
                room -= 1
        good = [one for one in read if one.row not in problems.rows]
        _write(numbers, good, at)
        if good:
            _record(numbers, "number_list.added", actor, at, added=len(good))
        return problems.result(len(good))


def take_out(*, numbers: NumberList, entries: Iterable[int], actor: str, at: datetime) -> int:
    """Take entries out by their ids: charges from now on do not know them. Raises ListRefused, Busy."""
    with locks.enterprise(numbers.enterprise_id):
        numbers = _known(numbers)
        sequence = _sequence(numbers)
        standing = numbers.entries.filter(id__in=list(entries), removed_at__isnull=True)
        count = standing.update(removed_at=at, removed_sequence=sequence)
        if count:
            _record(numbers, "number_list.taken_out", actor, at, taken_out=count)
        return count


# --- files ----------------------------------------------------------------------------------------------------------


def rows_of(text: str) -> list[EntryRow]:
    """Rows of a pasted or uploaded table: commas, semicolons or tabs; with a header, or number, label, from, until.

    Raises ListRefused.
    """
    if len(text) > TEXT_MOST:
        raise ListRefused(f"The table has more than {TEXT_MOST:,} characters: send it in parts.", field="table")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        table = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ListRefused(f"The table cannot be read: {error}.", field="table") from None
    names: Sequence[str] = COLUMNS
    begin = 0
    if table and "number" in (header := [cell.strip().lower() for cell in table[0]]):
        names, begin = header, 1
        if unknown := sorted(set(header) - {*COLUMNS, ""}):
            message = f"There is no column “{unknown[0][:40]}”; there are {', '.join(COLUMNS)}."
            raise ListRefused(message, field="table")
    rows = []
    for number, cells in enumerate(table[begin:], start=begin + 1):
        if not any(cell.strip() for cell in cells):
            continue
        values = dict(zip(names, (cell.strip() for cell in cells), strict=False))
        values.pop("", None)
        rows.append(EntryRow(number, values.pop("number", ""), **values))
    if not rows:
        raise ListRefused("There is no number in it.", field="table")
    return rows


def table_of(entries: Iterable[NumberListEntry]) -> str:
    """Entries as a table that reads back as the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        times = [moment.isoformat() if moment else "" for moment in (entry.valid_from, entry.valid_until)]
        writer.writerow([_written(entry.digits, entry.is_prefix), entry.label, *times])
    return text.getvalue()


# --- reading --------------------------------------------------------------------------------------------------------


def _code(value: str) -> str:
    code = value.strip().lower()
    if not _CODE.fullmatch(code):
        message = f"“{value[:CODE_LENGTH]}” is no code: small letters, digits, hyphens and underscores, 40 at most."
        raise ListRefused(message, field="code")
    return code


def _read(row: EntryRow, zone: ZoneInfo, problems: Problems) -> _Read:
    digits, is_prefix = problems.read(row.row, _number, row.number) or ("", False)
    label = problems.read(row.row, fields.text, row.label, field="label", label="The label", most=LABEL_LENGTH,
                          required=False) or ""  # fmt: skip
    starts = problems.read(row.row, _moment, row.valid_from, zone=zone, field="valid_from")
    ends = problems.read(row.row, _moment, row.valid_until, zone=zone, field="valid_until", is_end=True)
    if starts is not None and ends is not None and ends <= starts:
        problems.add(row.row, "valid_until", "It ends before it begins.")
    return _Read(row.row, digits, is_prefix, label, starts, ends)


def _number(value: str) -> tuple[str, bool]:
    """The digits of a number, or of how numbers begin where a star ends them."""
    text = value.strip()
    if not text.endswith("*"):
        return fields.msisdn(text, field="number"), False
    digits = re.sub(r"[\s\-./()]+", "", text[:-1])
    digits = digits.removeprefix("+") if digits.startswith("+") else digits.removeprefix("00")
    if not _PREFIX.fullmatch(digits):
        raise ListRefused(f"“{value[:40]}” is no beginning of numbers: write it like +49 30*.", field="number")
    return digits, True


def _moment(value: str | datetime | None, *, zone: ZoneInfo, field: str, is_end: bool = False) -> datetime | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value.strip()) == 10:
        try:
            day = date.fromisoformat(value.strip())
        except ValueError:
            raise ListRefused(f"“{value}” is no date: write it like 2026-03-01.", field=field) from None
        if is_end and day == date.max:  # how other systems write "for ever"
            return None
        if not fields.FIRST_YEAR <= day.year <= fields.LAST_YEAR:
            between = f"between {fields.FIRST_YEAR} and {fields.LAST_YEAR}"
            raise ListRefused(f"Write a date {between}; without an end it holds for ever.", field=field)
        return datetime.combine(day + timedelta(days=1) if is_end else day, time(), zone)
    return fields.instant(value, field=field, default=_NEVER)


def _written(digits: str, is_prefix: bool) -> str:
    return f"+{digits}{'*' if is_prefix else ''}"


# --- under the lock -------------------------------------------------------------------------------------------------


def _known(numbers: NumberList) -> NumberList:
    found = NumberList.objects.filter(id=numbers.id, enterprise_id=numbers.enterprise_id).first()
    if found is None:
        raise ListRefused("This list does not exist.", field="list")
    return found


def _asking(numbers: NumberList) -> SteeringVersion | None:
    """A version that is no thing of the past and speaks of the list."""
    versions = SteeringVersion.objects.filter(enterprise_id=numbers.enterprise_id).exclude(state=PolicyState.RETIRED)
    for version in versions.select_related("steering__account"):
        if _speaks_of(version.rules, numbers.code):
            return version
    return None


def _speaks_of(data: Any, code: str) -> bool:
    if isinstance(data, Mapping):
        if data.get("field") == "list":
            value = data.get("value")
            return code in value if isinstance(value, list) else code == value
        return any(_speaks_of(value, code) for value in data.values())
    return isinstance(data, list) and any(_speaks_of(value, code) for value in data)


def _write(numbers: NumberList, good: Sequence[_Read], at: datetime) -> None:
    sequence = _sequence(numbers)
    NumberListEntry.objects.bulk_create(
        NumberListEntry(
            enterprise_id=numbers.enterprise_id, list=numbers, digits=one.digits, is_prefix=one.is_prefix,
            label=one.label, valid_from=one.valid_from, valid_until=one.valid_until, added_sequence=sequence,
            added_at=at,
        )
        for one in good
    )  # fmt: skip


def _sequence(numbers: NumberList) -> int:
    return ChargingState.objects.get(enterprise_id=numbers.enterprise_id).charge_sequence


def _record(numbers: NumberList, action: str, actor: str, at: datetime, **detail: Any) -> None:
    audit.record(
        enterprise_id=numbers.enterprise_id,
        account_id=numbers.account_id,
        actor=actor,
        action=action,
        subject=numbers.name,
        detail={"code": numbers.code, **detail},
        at=at,
    )
