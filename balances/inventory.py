"""People, devices and lines: the only writer of Person, Device, Line and of its three kinds of assignment.

Owns: who and what there is; to which account a line belongs, whose it is and which numbers it has, now and over time.
Never touches the tree or a balance; usage that was charged stays where it was charged, whatever is re-dated
here.

Assignments and numbers are half-open intervals without overlap. A change is dated: it cuts the interval that
holds then and lasts until that interval would have ended, so a change that was planned for later stays. A
line's own `account`, `msisdn` and `imsi` are today's: `catch_up` brings them up to date when a planned change
falls due.

Each function opens its own transaction under the enterprise's lock, and reads what it changes again under it.
Thousands of rows at once: `balances.inventory_loads`.
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import QuerySet

from balances import audit, fields, inventory_loads, locks
from balances.errors import Refused
from balances.inventory_loads import DeviceRow, LineRow, PersonRow, load_devices, load_lines, load_people
from balances.models import Account, Device, Enterprise, Line, LineAssignment, NumberAssignment, Person
from balances.models.accounts import DeviceOwnership, DeviceType, LineStatus, NumberKind, PersonAssignment

__all__ = [
    "AlreadyUsed",
    "DeviceRow",
    "LineRow",
    "NotFound",
    "NotThen",
    "PersonRow",
    "Retired",
    "add_device",
    "add_line",
    "add_person",
    "assign_line",
    "catch_up",
    "change_device",
    "change_number",
    "change_person",
    "label_line",
    "load_devices",
    "load_lines",
    "load_people",
    "set_line_status",
    "update_device",
    "update_person",
]

#: The field of Line that shows today's number of each kind.
NUMBER_FIELDS = {NumberKind.MSISDN: "msisdn", NumberKind.IMSI: "imsi"}


class AlreadyUsed(Refused):
    """A number that must be unique is in use."""


class NotFound(Refused):
    """The account, person, device or line is closed, gone, or of another enterprise."""


class NotThen(Refused):
    """The change cannot hold from that time on."""


class Retired(Refused):
    """The line is out of service for good."""


def add_person(
    *,
    enterprise: Enterprise,
    account: Account,
    number: str,
    name: str,
    email: str = "",
    actor: str,
    at: datetime,
) -> Person:
    """Somebody who uses lines, at an account. Raises AlreadyUsed, NotFound, Unreadable, Busy."""
    number = fields.code(number, field="number", label="The personnel number")
    name, email = fields.name(name), fields.email(email)
    with locks.enterprise(enterprise.id):
        account = _open_account(enterprise.id, account.id)
        if Person.objects.filter(enterprise=enterprise, number=number).exists():
            raise AlreadyUsed(f"The personnel number “{number}” is already used.", field="number")
        person = Person.objects.create(enterprise=enterprise, account=account, number=number, name=name, email=email)
        audit.record(
            enterprise_id=enterprise.id,
            account_id=account.id,
            actor=actor,
            action="person.added",
            subject=name,
            detail={"number": number, "account": account.name},
            at=at,
        )
        return person


def add_device(
    *,
    enterprise: Enterprise,
    imei: str,
    model: str = "",
    ownership: str = DeviceOwnership.CORPORATE,
    device_type: str = DeviceType.UNKNOWN,
    actor: str,
    at: datetime,
) -> Device:
    """A device, known by its IMEI. Raises AlreadyUsed, Unreadable, Busy."""
    imei = fields.imei(imei)
    model = fields.text(model, field="model", label="The model", most=fields.LABEL_LENGTH, required=False)
    ownership = fields.choice(ownership, DeviceOwnership, field="ownership", default=DeviceOwnership.CORPORATE)
    device_type = fields.choice(device_type, DeviceType, field="device_type", default=DeviceType.UNKNOWN)
    with locks.enterprise(enterprise.id):
        if Device.objects.filter(enterprise=enterprise, imei=imei).exists():
            raise AlreadyUsed(f"The device {imei} is already in the inventory.", field="imei")
        facts = {"ownership": ownership, "device_type": device_type}
        device = Device.objects.create(enterprise=enterprise, imei=imei, model=model, **facts)
        audit.record(
            enterprise_id=enterprise.id,
            actor=actor,
            action="device.added",
            subject=str(device),
            detail={"imei": imei, **facts},
            at=at,
        )
        return device


def add_line(
    *,
    enterprise: Enterprise,
    account: Account,
    msisdn: str,
    imsi: str = "",
    label: str = "",
    person: Person | None = None,
    device: Device | None = None,
    assigned_from: datetime | None = None,
    actor: str,
    at: datetime,
) -> Line:
    """A line in service from `assigned_from` (default: `at`) on, with its numbers and its account.

    Refused where a number belongs to any line from then on, whosesoever, without saying whose. Raises
    AlreadyUsed, NotFound, NotThen, Unreadable, Busy.
    """
    msisdn, imsi = fields.msisdn(msisdn), fields.imsi(imsi)
    label = fields.text(label, field="label", label="The label", most=fields.LABEL_LENGTH, required=False)
    since = fields.instant(assigned_from, field="assigned_from", default=at)
    if since > at:
        raise NotThen("A line goes into service now or earlier, not later.", field="assigned_from")
    with locks.enterprise(enterprise.id):
        account = _open_account(enterprise.id, account.id)
        line = Line.objects.create(
            enterprise=enterprise,
            account=account,
            msisdn=msisdn,
            imsi=imsi,
            label=label,
            person=_own(Person.objects.all(), enterprise.id, person, "person"),
            device=_own(Device.objects.all(), enterprise.id, device, "device"),
        )
        during = DateTimeTZRange(since, None)
        LineAssignment.objects.create(enterprise=enterprise, line=line, account=account, during=during)
        _give_person(line, during)
        _give_number(line, NumberKind.MSISDN, msisdn, during)
        if imsi:
            _give_number(line, NumberKind.IMSI, imsi, during)
        audit.record(
            enterprise_id=enterprise.id,
            account_id=account.id,
            actor=actor,
            action="line.added",
            subject=str(line),
            detail={"account": account.name, "imsi": imsi, "from": since.isoformat()},
            at=at,
        )
        return line


def assign_line(*, line: Line, account: Account, from_at: datetime, actor: str, at: datetime) -> Line:
    """Let a line belong to another account from `from_at` on, which may lie in the past or the future.

    A change that is planned for later than `from_at` stays. Usage that is charged already keeps its account.
    Raises NotFound, NotThen (before the line's service began, or after it ended), Retired, Busy.
    """
    from_at = fields.instant(from_at, field="from_at", default=at)
    with locks.enterprise(line.enterprise_id):
        line = _line_in_service(line)
        account = _open_account(line.enterprise_id, account.id)
        mine = LineAssignment.objects.filter(line=line)
        current = _holding(mine, from_at)
        if current is None:
            raise NotThen(
                f"{line} was not in service on {from_at:%Y-%m-%d %H:%M} UTC; choose a later time.",
                field="from_at",
            )
        if current.account_id == account.id:
            return line
        before = current.account
        if current.during.lower == from_at:
            mine.filter(id=current.id).update(account=account)
        else:
            mine.filter(id=current.id).update(during=DateTimeTZRange(current.during.lower, from_at))
            LineAssignment.objects.create(
                enterprise_id=line.enterprise_id,
                line=line,
                account=account,
                during=DateTimeTZRange(from_at, current.during.upper),
            )
        _show_today(line.enterprise_id, at, line.id)
        line.refresh_from_db()
        audit.record(
            enterprise_id=line.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="line.assigned",
            subject=str(line),
            detail={"from": before.name, "to": account.name, "from_at": from_at.isoformat()},
            at=at,
        )
        return line


def set_line_status(*, line: Line, status: str, actor: str, at: datetime) -> Line:
    """Suspend, resume or retire a line. Retiring ends its assignments and frees its numbers, for good.

    Raises Retired, Unreadable, Busy.
    """
    status = fields.choice(status, LineStatus, field="status", default="")
    with locks.enterprise(line.enterprise_id):
        line = _line_in_service(line)
        if line.status == status:
            return line
        before, line.status = line.status, status
        line.save(update_fields=["status"])
        if status == LineStatus.RETIRED:
            _end(LineAssignment.objects.filter(line=line), at)
            _end(PersonAssignment.objects.filter(line=line), at)
            _end(NumberAssignment.objects.filter(line=line), at)
        _record_line(line, f"line.{status}", {"from": before, "to": status}, actor, at)
        return line


def change_number(*, line: Line, kind: NumberKind, number: str, from_at: datetime, actor: str, at: datetime) -> Line:
    """Give a line another msisdn or imsi (a SIM swap) from `from_at` on; usage with the old one before stays
    its own.

    Raises AlreadyUsed, NotThen, Retired, Unreadable, Busy.
    """
    kind = NumberKind(kind)
    field = NUMBER_FIELDS[kind]
    number = fields.msisdn(number) if kind == NumberKind.MSISDN else fields.imsi(number)
    if not number:
        raise fields.Unreadable("The number is missing.", field=field)
    from_at = fields.instant(from_at, field="from_at", default=at)
    with locks.enterprise(line.enterprise_id):
        line = _line_in_service(line)
        if _holding(LineAssignment.objects.filter(line=line), from_at) is None:
            raise NotThen(f"{line} was not in service on {from_at:%Y-%m-%d %H:%M} UTC.", field="from_at")
        mine = NumberAssignment.objects.filter(line=line, kind=kind)
        current = _holding(mine, from_at)
        if current is not None and current.number == int(number):
            return line
        until = current.during.upper if current else _next_start(mine, from_at)
        if current is not None and current.during.lower == from_at:
            mine.filter(id=current.id).delete()
        elif current is not None:
            mine.filter(id=current.id).update(during=DateTimeTZRange(current.during.lower, from_at))
        _give_number(line, kind, number, DateTimeTZRange(from_at, until))
        before = getattr(line, field)
        _show_today(line.enterprise_id, at, line.id)
        line.refresh_from_db()
        detail = {"from": before, "to": number, "from_at": from_at.isoformat()}
        _record_line(line, f"line.{field}_changed", detail, actor, at)
        return line


def change_device(*, line: Line, device: Device | None, actor: str, at: datetime) -> Line:
    """Put a line's SIM into another device, or into none that is known. Raises NotFound, Retired, Busy."""
    with locks.enterprise(line.enterprise_id):
        line = _line_in_service(line)
        device = _own(Device.objects.all(), line.enterprise_id, device, "device")
        before = line.device
        if before == device:
            return line
        line.device = device
        line.save(update_fields=["device"])
        _record_line(line, "line.device_changed", {"from": str(before or ""), "to": str(device or "")}, actor, at)
        return line


def change_person(*, line: Line, person: Person | None, actor: str, at: datetime) -> Line:
    """Hand a line to another person, or to nobody; who uses it sees it from now on. What was used before stays theirs
    who had it then. Raises NotFound, Retired, Busy."""
    with locks.enterprise(line.enterprise_id):
        line = _line_in_service(line)
        person = _own(Person.objects.all(), line.enterprise_id, person, "person")
        before = line.person
        if before == person:
            return line
        line.person = person
        line.save(update_fields=["person"])
        _end(PersonAssignment.objects.filter(line=line), at)
        _give_person(line, DateTimeTZRange(at, None))
        _record_line(line, "line.person_changed", {"from": str(before or ""), "to": str(person or "")}, actor, at)
        return line


def label_line(*, line: Line, label: str, actor: str, at: datetime) -> Line:
    """Give a line a label of the enterprise's own. Raises NotFound, Retired, Unreadable, Busy."""
    label = fields.text(label, field="label", label="The label", most=fields.LABEL_LENGTH, required=False)
    with locks.enterprise(line.enterprise_id):
        line = _line_in_service(line)
        if line.label == label:
            return line
        before, line.label = line.label, label
        line.save(update_fields=["label"])
        _record_line(line, "line.labelled", {"from": before, "to": label}, actor, at)
        return line


def update_person(*, person: Person, name: str, email: str, account: Account, actor: str, at: datetime) -> Person:
    """Correct a person's name and address, or put them at another account. Raises NotFound, Unreadable, Busy."""
    name, email = fields.name(name), fields.email(email)
    with locks.enterprise(person.enterprise_id):
        current = _own(Person.objects.all(), person.enterprise_id, person, "person")
        if account.id != current.account_id:
            account = _open_account(person.enterprise_id, account.id)
        after = {"name": name, "email": email, "account_id": account.id}
        changed = {key: getattr(current, key) for key, value in after.items() if getattr(current, key) != value}
        if not changed:
            return current
        for key in changed:
            setattr(current, key, after[key])
        current.save(update_fields=list(changed))
        audit.record(
            enterprise_id=person.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="person.changed",
            subject=name,
            detail={"from": changed, "to": {key: after[key] for key in changed}},
            at=at,
        )
        return current


def update_device(*, device: Device, model: str, ownership: str, device_type: str, actor: str, at: datetime) -> Device:
    """Correct what is known of a device. Raises NotFound, Unreadable, Busy."""
    model = fields.text(model, field="model", label="The model", most=fields.LABEL_LENGTH, required=False)
    ownership = fields.choice(ownership, DeviceOwnership, field="ownership", default="")
    device_type = fields.choice(device_type, DeviceType, field="device_type", default=DeviceType.UNKNOWN)
    with locks.enterprise(device.enterprise_id):
        current = _own(Device.objects.all(), device.enterprise_id, device, "device")
        before = {"model": current.model, "ownership": current.ownership, "device_type": current.device_type}
        after = {"model": model, "ownership": ownership, "device_type": device_type}
        if before == after:
            return current
        current.model, current.ownership, current.device_type = model, ownership, device_type
        current.save(update_fields=["model", "ownership", "device_type"])
        audit.record(
            enterprise_id=device.enterprise_id,
            actor=actor,
            action="device.changed",
            subject=str(current),
            detail={"from": before, "to": after},
            at=at,
        )
        return current


def catch_up(*, enterprise_id: int, at: datetime) -> int:
    """Bring today's account and numbers of lines up to date with planned changes that have fallen due.

    Safe to repeat; returns how many lines changed. Raises Busy.
    """
    with locks.enterprise(enterprise_id):
        return _show_today(enterprise_id, at)


# --- under the lock -------------------------------------------------------------------------------


def _record_line(line: Line, action: str, detail: dict[str, str], actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=line.enterprise_id,
        account_id=line.account_id,
        actor=actor,
        action=action,
        subject=str(line),
        detail=detail,
        at=at,
    )


def _open_account(enterprise_id: int, account_id: int) -> Account:
    """The account as it is now. Raises NotFound."""
    account = Account.objects.filter(id=account_id, enterprise_id=enterprise_id).first()
    if account is None:
        raise NotFound("This account does not exist.", field="account")
    if account.closed_at:
        raise NotFound(f"The account “{account.name}” is closed.", field="account")
    return account


def _line_in_service(line: Line) -> Line:
    """The line as it is now. Raises NotFound, Retired."""
    mine = Line.objects.filter(id=line.id, enterprise_id=line.enterprise_id)
    current = mine.select_related("account", "device", "person").first()
    if current is None:
        raise NotFound("This line does not exist.", field="line")
    if current.status == LineStatus.RETIRED:
        raise Retired(f"{current} is retired. Put a new line into service instead.", field="line")
    return current


def _own(known: QuerySet, enterprise_id: int, wanted, field: str):
    """The person or device as it is now, or None where none is wanted. Raises NotFound."""
    if wanted is None:
        return None
    found = known.filter(id=wanted.id, enterprise_id=enterprise_id).first()
    if found is None:
        raise NotFound(f"This {field} does not exist.", field=field)
    return found


def _holding(intervals: QuerySet, instant: datetime):
    """The interval that holds at an instant, or None."""
    return intervals.filter(during__contains=instant).first()


def _next_start(intervals: QuerySet, instant: datetime) -> datetime | None:
    """When the first interval after an instant begins; None: there is none."""
    following = intervals.filter(during__startswith__gt=instant).order_by("during").first()
    return following.during.lower if following else None


def _give_number(line: Line, kind: NumberKind, number: str, during: DateTimeTZRange) -> None:
    """Raises AlreadyUsed; also where another enterprise, whose lock this is not, was faster."""
    field = NUMBER_FIELDS[kind]
    wanted = inventory_loads.Wanted(kind, int(number), during.lower, during.upper)
    if refusals := inventory_loads.taken(line.enterprise_id, [wanted]):
        raise AlreadyUsed(refusals[wanted.key], field=field)
    try:
        with transaction.atomic():
            NumberAssignment.objects.create(
                enterprise_id=line.enterprise_id, line=line, kind=kind, number=int(number), during=during
            )
    except IntegrityError:
        raise AlreadyUsed(inventory_loads.not_available(wanted), field=field) from None


def _give_person(line: Line, during: DateTimeTZRange) -> None:
    """Note whose the line is from now on, if it is anybody's."""
    if line.person is not None:
        PersonAssignment.objects.create(enterprise_id=line.enterprise_id, line=line, person=line.person, during=during)


def _end(intervals: QuerySet, at: datetime) -> None:
    """Nothing holds from `at` on: what began before ends then, what was planned for later never begins."""
    intervals.filter(during__startswith__gte=at).delete()
    for held in intervals.filter(during__contains=at):
        intervals.filter(id=held.id).update(during=DateTimeTZRange(held.during.lower, at))


_TODAY = """
    WITH held AS MATERIALIZED (
        SELECT line_id, account_id FROM balances_lineassignment
        WHERE enterprise_id = %(enterprise_id)s AND during @> %(at)s AND {of_line}
    ), numbers AS MATERIALIZED (
        SELECT line_id, max(number) FILTER (WHERE kind = 1) AS msisdn, max(number) FILTER (WHERE kind = 2) AS imsi
        FROM balances_numberassignment
        WHERE enterprise_id = %(enterprise_id)s AND during @> %(at)s AND {of_line}
        GROUP BY line_id
    )
    UPDATE balances_line l
    SET account_id = held.account_id, msisdn = COALESCE(numbers.msisdn::text, l.msisdn),
        imsi = COALESCE(lpad(numbers.imsi::text, 15, '0'), l.imsi)
    FROM held LEFT JOIN numbers USING (line_id)
    WHERE l.id = held.line_id AND l.enterprise_id = %(enterprise_id)s AND l.status <> 'retired'
      AND (l.account_id, l.msisdn, l.imsi) IS DISTINCT FROM (held.account_id,
        COALESCE(numbers.msisdn::text, l.msisdn), COALESCE(lpad(numbers.imsi::text, 15, '0'), l.imsi))
"""


def _show_today(enterprise_id: int, at: datetime, line_id: int | None = None) -> int:
    """Copy what holds at `at` into the lines themselves; returns how many changed."""
    statement = _TODAY.format(of_line="true" if line_id is None else "line_id = %(line_id)s")
    with connection.cursor() as cursor:
        cursor.execute(statement, {"enterprise_id": enterprise_id, "at": at, "line_id": line_id})
        return cursor.rowcount
