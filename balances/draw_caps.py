"""Caps on drawing from above: the only writer of DrawCap; begins and ends the count that charging goes on with.

Owns: setting and removing caps, what was drawn on buckets above an owner (from the charge lines), and which tier stops
whom. Whether a draw is within a cap is charging's matter (`portal.charging`).

`DrawUse` is kept for owners with a cap only. A count that is missing is made of the charge lines of its cycle, under
the enterprise's lock, so that a cap that is set in the middle of a cycle knows what was drawn before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import Account, Counter, DrawCap, DrawUse, Line
from balances.models.counters import Grain, OwnerKind, Payer
from balances.units import SERVICE_NAMES

#: (owner kind, owner id, service)
Owner = tuple[int, int, int]
#: Charge lines of a cycle belong to records that began this long before it at most.
LONGEST_SESSION = timedelta(days=62)


class CapRefused(Refused):
    """A cap that cannot be, or whose owner is gone."""


def set_cap(
    *,
    account: Account | None = None,
    line: Line | None = None,
    service: int,
    units: int,
    actor: str,
    at: datetime,
) -> DrawCap:
    """At most `units` a cycle from buckets above the account, or from any account for the line.

    The same cap set again is the one that stands; another one succeeds it, and what was drawn goes on counting. One
    transaction under the enterprise's lock. Raises CapRefused, Unreadable, Busy.
    """
    owner = account or line
    if owner is None or (account and line):
        raise CapRefused("A cap belongs to an account or to a line.", field="account")
    fields.service(service)
    fields.whole_number(units, 0, fields.UNITS_MOST, field="units")
    with locks.enterprise(owner.enterprise_id):
        own = {"id": owner.id, "enterprise_id": owner.enterprise_id}
        current = Account.objects.filter(**own).first() if account else Line.objects.filter(**own).first()
        if current is None:
            raise CapRefused("This account or line does not exist.", field="account" if account else "line")
        if isinstance(current, Account) and (current.parent_id is None or current.closed_at is not None):
            text = "Nothing lies above the first account." if current.parent_id is None else "This account is closed."
            raise CapRefused(text, field="account")
        standing = DrawCap.objects.filter(account=account, line=line, service=service, retired_at=None).first()
        if standing is not None and standing.units == units:
            return standing
        if standing is not None:
            standing.retired_at = at
            standing.save(update_fields=["retired_at"])
        cap = DrawCap.objects.create(
            enterprise_id=owner.enterprise_id,
            account=account,
            line=line,
            service=service,
            units=units,
            set_by=actor[: audit.ACTOR_LENGTH],
            set_at=at,
        )
        _begin_counts(cap, at)
        _record(cap, "draw_cap.set", standing.units if standing else None, actor, at)
        return cap


def remove_cap(*, cap: DrawCap, actor: str, at: datetime) -> None:
    """Let the owner draw on what lies above without a cap again. Raises CapRefused, Busy."""
    with locks.enterprise(cap.enterprise_id):
        present = DrawCap.objects.select_related("account", "line").filter(id=cap.id, retired_at=None).first()
        if present is None:
            raise CapRefused("This cap does not stand any more.", field="cap")
        present.retired_at = at
        present.save(update_fields=["retired_at"])
        kind, owner_id, service = owner_of(present)
        use = DrawUse.objects.filter(enterprise_id=cap.enterprise_id, owner_kind=kind, owner_id=owner_id)
        use.filter(service=service).delete()
        _record(present, "draw_cap.removed", present.units, actor, at)


def _begin_counts(cap: DrawCap, at: datetime) -> None:
    """Count what was drawn in the cycles of late, so that whoever sets a cap waits for it, and charging does not."""
    kind, owner_id, service = owner = owner_of(cap)
    counters = Counter.objects.filter(
        enterprise_id=cap.enterprise_id,
        owner_kind=kind,
        owner_id=owner_id,
        grain=Grain.CYCLE,
        service=service,
        payer=Payer.CORPORATE,
    )
    starts = set(counters.filter(period_start__gte=at - LONGEST_SESSION).values_list("period_start", flat=True))
    with connection.cursor() as cursor:
        for cycle_start in sorted(starts):
            use_of_cycle(cursor, enterprise_id=cap.enterprise_id, owners=[owner], cycle_start=cycle_start)


def owner_of(cap: DrawCap) -> Owner:
    """Whose cap, on which service."""
    if cap.account_id is not None:
        return int(OwnerKind.ACCOUNT), cap.account_id, cap.service
    return int(OwnerKind.LINE), int(cap.line_id or 0), cap.service


def _record(cap: DrawCap, action: str, before: int | None, actor: str, at: datetime) -> None:
    owner = cap.account or cap.line
    audit.record(
        enterprise_id=cap.enterprise_id,
        account_id=cap.account_id or (cap.line.account_id if cap.line else None),
        actor=actor,
        action=action,
        subject=str(owner),
        detail={"service": SERVICE_NAMES[cap.service], "units": cap.units, "before_units": before},
        at=at,
    )


# --- what was drawn ----------------------------------------------------------------------------------------------

_DRAWN = """
    SELECT coalesce(sum(d.units), 0)::bigint
    FROM balances_chargeline l JOIN balances_accountpath p ON p.id = l.path_id
        CROSS JOIN LATERAL unnest(l.bucket_ids, l.bucket_units) AS d (bucket_id, units)
        JOIN balances_bucket b ON b.id = d.bucket_id
    WHERE l.enterprise_id = %(enterprise)s AND l.cycle_start = %(cycle_start)s AND l.used_at >= %(oldest)s
        AND l.payer = 1
        AND b.service = %(service)s AND b.account_id IS NOT NULL AND {above}
"""
_ABOVE_ACCOUNT = (
    "p.account_ids @> ARRAY[%(owner)s::bigint] AND array_position(p.account_ids, b.account_id) "
    "> array_position(p.account_ids, %(owner)s::bigint)"
)
_OF_LINE = (
    "(l.usage_id, l.used_at) IN (SELECT u.id, u.used_at FROM balances_usagerecord u WHERE u.line_id = %(owner)s "
    "AND u.used_at >= %(oldest)s)"
)


def drawn_above(cursor, *, enterprise_id: int, owner: Owner, cycle_start: datetime) -> int:
    """Units that charge lines of a cycle drew on buckets above an owner."""
    kind, owner_id, service = owner
    cursor.execute(
        _DRAWN.replace("{above}", _ABOVE_ACCOUNT if kind == OwnerKind.ACCOUNT else _OF_LINE),
        {
            "enterprise": enterprise_id,
            "owner": owner_id,
            "service": service,
            "cycle_start": cycle_start,
            "oldest": cycle_start - LONGEST_SESSION,
        },
    )
    return cursor.fetchone()[0]


def use_of_cycle(cursor, *, enterprise_id: int, owners: Iterable[Owner], cycle_start: datetime) -> dict[Owner, int]:
    """What each owner with a cap has drawn in a cycle; counts that are missing are begun. Needs the charging lock."""
    cursor.execute(
        "SELECT owner_kind, owner_id, service, units FROM balances_drawuse "
        "WHERE enterprise_id = %s AND cycle_start = %s",
        [enterprise_id, cycle_start],
    )
    use: dict[Owner, int] = {(kind, owner_id, service): units for kind, owner_id, service, units in cursor.fetchall()}
    missing = dict.fromkeys((owner for owner in owners if owner not in use), 0)
    for owner in _with_usage(cursor, enterprise_id, missing, cycle_start):
        missing[owner] = drawn_above(cursor, enterprise_id=enterprise_id, owner=owner, cycle_start=cycle_start)
    add_use(cursor, enterprise_id=enterprise_id, cycle_start=cycle_start, drawn=missing)
    return use | missing


def _with_usage(cursor, enterprise_id: int, owners: Iterable[Owner], cycle_start: datetime) -> list[Owner]:
    """The owners that used anything covered in a cycle: of a cycle that begins, none, and nothing is looked through."""
    asked = list(owners)
    if not asked:
        return []
    kinds, owner_ids, services = (list(column) for column in zip(*asked, strict=True))
    cursor.execute(
        """
        SELECT t.kind, t.owner, t.service
        FROM unnest(%s::smallint[], %s::bigint[], %s::smallint[]) AS t (kind, owner, service)
        WHERE EXISTS (SELECT FROM balances_counter c WHERE c.enterprise_id = %s AND c.owner_kind = t.kind
            AND c.owner_id = t.owner AND c.grain = %s AND c.period_start = %s AND c.service = t.service
            AND c.payer = 1 AND c.used_units > c.overage_units)
        """,
        [kinds, owner_ids, services, enterprise_id, int(Grain.CYCLE), cycle_start],
    )
    return cursor.fetchall()


def add_use(cursor, *, enterprise_id: int, cycle_start: datetime, drawn: dict[Owner, int]) -> None:
    """Add units to the counts of a cycle, making those that are missing. Needs the charging lock."""
    if not drawn:
        return
    kinds, owner_ids, services = (list(column) for column in zip(*drawn, strict=True))
    cursor.execute(
        """
        INSERT INTO balances_drawuse AS d (enterprise_id, owner_kind, owner_id, service, cycle_start, units)
        SELECT %s, t.kind, t.owner, t.service, %s, t.units
        FROM unnest(%s::smallint[], %s::bigint[], %s::smallint[], %s::bigint[]) AS t (kind, owner, service, units)
        ON CONFLICT (enterprise_id, owner_kind, owner_id, service, cycle_start)
            DO UPDATE SET units = d.units + excluded.units
        """,
        [enterprise_id, cycle_start, kinds, owner_ids, services, list(drawn.values())],
    )


def used_now(caps: Sequence[DrawCap], cycle_start: datetime) -> dict[int, int]:
    """Cap id -> what was drawn in a cycle, for screens: the counts, and the charge lines where there is none yet."""
    if not caps:
        return {}
    counted = {
        (use.owner_kind, use.owner_id, use.service): use.units
        for use in DrawUse.objects.filter(enterprise_id=caps[0].enterprise_id, cycle_start=cycle_start)
    }
    enterprise_id = caps[0].enterprise_id
    with connection.cursor() as cursor:
        unknown = [owner for owner in map(owner_of, caps) if owner not in counted]
        for owner in _with_usage(cursor, enterprise_id, unknown, cycle_start):
            counted[owner] = drawn_above(cursor, enterprise_id=enterprise_id, owner=owner, cycle_start=cycle_start)
    return {cap.id: counted.get(owner_of(cap), 0) for cap in caps}


# --- which tier stops whom ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tier:
    """One owner on the way up. `room_units`: what its cap leaves for drawing above it; None: no cap."""

    name: str
    available_units: int
    room_units: int | None = None
    may_draw_above: bool = True


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an owner can use a service before overage begins: what each tier gives, and who stops it.

    `stopped_by` is the index of the tier whose cap, or whose refusal to draw above, ends it while there is more above;
    None: everything there is can be used.
    """

    given_units: tuple[int, ...]
    stopped_by: int | None

    @property
    def units(self) -> int:
        return sum(self.given_units)


def reach(tiers: Sequence[Tier]) -> Reach:
    """What would be drawn from each tier, nearest first, if usage did not end; as charging draws."""
    given: list[int] = []
    room: int | None = None
    tightest = stopped_by = None
    for place, tier in enumerate(tiers):
        units = tier.available_units if room is None else max(min(tier.available_units, room), 0)
        if units < tier.available_units and stopped_by is None:
            stopped_by = tightest
        given.append(units)
        if room is not None:
            room -= units
        if not tier.may_draw_above:
            if stopped_by is None and any(above.available_units for above in tiers[place + 1 :]):
                stopped_by = place
            break
        if tier.room_units is not None and (room is None or tier.room_units < room):
            room, tightest = tier.room_units, place
    return Reach(tuple(given + [0] * (len(tiers) - len(given))), stopped_by)
