"""What managers learn of usage that people pay themselves: totals of cycles that are over, coarse on purpose.

Reads counters of payer 2, which `Counter.within` gives nobody. Owns what makes them tell nothing of anybody:

- only cycles that are over, units by service and records; no zones, days or money;
- nothing of fewer than five records; records to the next five and units to two digits, so that two looks differ little;
- a part (a line or an account directly below) is shown only where what is withheld beside it is two parts or more, or
  none, so that subtracting gives no part; what lies below a part that is withheld is withheld, too;
- what is shown depends on nobody's reach, so that two readers cannot put together what neither is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum
from psycopg.types.range import Range

from balances.models import Account, Counter, Line, LineAssignment
from balances.models.counters import Grain, OwnerKind, Payer
from balances.periods import Period
from balances.scope import Scope
from balances.selectors.terms import terms_at

LEAST_RECORDS = 5
DIGITS = 2
#: Cycles that a page shows.
CYCLES_SHOWN = 3
WHY = (
    "What people pay themselves is theirs. You see totals of cycles that are over: nothing of fewer than five records, "
    "records to the next five, units to two digits, and no line or account that could be worked out from the others."
)

Owner = tuple[int, int]  # OwnerKind, id


@dataclass(frozen=True, slots=True)
class Total:
    """What is shown of an owner, a service and a cycle; both figures are rounded."""

    service: int
    units: int
    records: int


def rounded(units: int, records: int) -> tuple[int, int]:
    """Units to two significant digits, records to the next five."""
    step = 10 ** max(len(str(units)) - DIGITS, 0)
    return (units + step // 2) // step * step, (records + 2) // 5 * 5


def shown_parts(records: Mapping[Owner, int]) -> set[Owner]:
    """Which parts of a whole may be shown, by their numbers of records; the same whoever asks."""
    used = sorted((count, owner) for owner, count in records.items() if count)
    withheld = [owner for count, owner in used if count < LEAST_RECORDS]
    shown = [owner for count, owner in used if count >= LEAST_RECORDS]
    if len(withheld) == 1:  # the whole minus the others would be it
        shown = shown[1:]
    return set(shown)


@dataclass(frozen=True, slots=True)
class OfCycle:
    """The totals of an owner in a cycle that is over; of an account also those of its own lines. Empty: none shown."""

    cycle: Period
    totals: list[Total]
    lines: list[tuple[Line, list[Total]]]


def cycles_over(enterprise_id: int, now: datetime, most: int = CYCLES_SHOWN) -> list[Period]:
    """The last cycles that are over, latest first, as far as contracts go back."""
    cycles: list[Period] = []
    instant = now
    while len(cycles) <= most and (cycle := terms_at(enterprise_id, instant).cycle) is not None:
        cycles.append(cycle)
        instant = cycle.starts_at - timedelta(seconds=1)
    return cycles[1:]


def cycle_from(enterprise_id: int, starts_at: datetime, now: datetime) -> Period | None:
    """The cycle that begins at an instant, if it does and is over."""
    terms = terms_at(enterprise_id, starts_at)
    if terms.cycle is None or terms.cycle.starts_at != starts_at or terms.cycle.ends_at > now:
        return None
    return terms.cycle


def of_account(scope: Scope, account: Account, cycle: Period) -> OfCycle:
    """What a reader of an account learns of it and of its lines."""
    whole = _Whole(account.enterprise_id, cycle)
    lines = Line.objects.within(scope).filter(id__in=whole.lines_of(account.id)).select_related("person")
    listed = [
        (line, totals)
        for line in lines.order_by("msisdn", "id")
        if (totals := whole.totals((OwnerKind.LINE, line.id), account.id))
    ]
    return OfCycle(cycle, whole.totals((OwnerKind.ACCOUNT, account.id), account.parent_id), listed)


def of_line(scope: Scope, line: Line, cycle: Period) -> OfCycle:
    """What a reader of a line's account learns of the line; nothing where it was in several accounts in the cycle."""
    if not Account.objects.within(scope).filter(id=line.account_id).exists():
        return OfCycle(cycle, [], [])
    whole = _Whole(line.enterprise_id, cycle)
    account_id = whole.account_of(line.id)
    return OfCycle(cycle, whole.totals((OwnerKind.LINE, line.id), account_id) if account_id else [], [])


class _Whole:
    """The counters of an enterprise in a cycle, read account by account as they are asked for."""

    def __init__(self, enterprise_id: int, cycle: Period):
        self.enterprise_id, self.cycle = enterprise_id, cycle
        accounts = Account.objects.filter(enterprise_id=enterprise_id).order_by().values_list("id", "parent_id")
        self._parents: dict[int, int | None] = dict(accounts)
        self._read: dict[Owner, dict[int, tuple[int, int]]] = {}
        self._parts: dict[int, list[Owner]] = {}
        self._shown: dict[tuple[int, int], set[Owner]] = {}

    def totals(self, owner: Owner, account_id: int | None) -> list[Total]:
        """What is shown of an owner that is a part of an account; of the top account none."""
        found = self._of([owner])[owner]
        return [
            Total(service, *rounded(units, records))
            for service, (units, records) in sorted(found.items())
            if self._is_shown(owner, account_id, service)
        ]

    def lines_of(self, account_id: int) -> list[int]:
        """Lines that were in this account, and in no other, throughout their part of the cycle."""
        return [owner_id for kind, owner_id in self._parts_of(account_id) if kind == OwnerKind.LINE]

    def account_of(self, line_id: int) -> int | None:
        """The one account of a line in the cycle; None where there were several."""
        during = LineAssignment.objects.filter(line_id=line_id, during__overlap=self._during())
        found = set(during.values_list("account_id", flat=True))
        return found.pop() if len(found) == 1 else None

    def _during(self) -> Range:
        return Range(self.cycle.starts_at, self.cycle.ends_at)

    def _is_shown(self, owner: Owner, account_id: int | None, service: int) -> bool:
        """Whether nothing above withholds it, and its neighbours let it be shown."""
        if account_id is None:  # the top
            return self._records([owner], service)[owner] >= LEAST_RECORDS
        return owner in self._shown_in(account_id, service)

    def _shown_in(self, account_id: int, service: int) -> set[Owner]:
        """The parts of an account that are shown."""
        key = (account_id, service)
        if key not in self._shown:
            whole = (int(OwnerKind.ACCOUNT), account_id)
            self._shown[key] = set()
            if self._is_shown(whole, self._parents.get(account_id), service):
                records = self._records(self._parts_of(account_id), service)
                # Lines that moved are in no list and in the account's total: one more that is withheld.
                if rest := self._records([whole], service)[whole] - sum(records.values()):
                    records[int(OwnerKind.LINE), 0] = min(abs(rest), LEAST_RECORDS - 1)
                self._shown[key] = shown_parts(records)
        return self._shown[key]

    def _records(self, owners: Iterable[Owner], service: int) -> dict[Owner, int]:
        return {owner: found.get(service, (0, 0))[1] for owner, found in self._of(owners).items()}

    def _parts_of(self, account_id: int) -> list[Owner]:
        """The accounts directly below and the lines of an account, but for lines that were in several accounts."""
        if account_id not in self._parts:
            below = [(int(OwnerKind.ACCOUNT), child) for child, parent in self._parents.items() if parent == account_id]
            assigned = LineAssignment.objects.filter(enterprise_id=self.enterprise_id, during__overlap=self._during())
            here = set(assigned.filter(account_id=account_id).values_list("line_id", flat=True))
            elsewhere = assigned.filter(line_id__in=here).exclude(account_id=account_id)
            stayed = here - set(elsewhere.values_list("line_id", flat=True))
            self._parts[account_id] = below + [(int(OwnerKind.LINE), line_id) for line_id in sorted(stayed)]
        return self._parts[account_id]

    def _of(self, owners: Iterable[Owner]) -> dict[Owner, dict[int, tuple[int, int]]]:
        """Units and records by owner and service."""
        asked = list(owners)
        for kind in (OwnerKind.ACCOUNT, OwnerKind.LINE):
            missing = [owner_id for of, owner_id in asked if of == kind and (of, owner_id) not in self._read]
            if not missing:
                continue
            rows = (
                Counter.objects.filter(
                    enterprise_id=self.enterprise_id, owner_kind=kind, owner_id__in=missing, grain=Grain.CYCLE,
                    period_start=self.cycle.starts_at, payer=Payer.PERSONAL,
                )
                .values("owner_id", "service")
                .annotate(units=Sum("used_units"), count=Sum("records"))
            )  # fmt: skip
            found: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
            for row in rows:
                found[row["owner_id"]][row["service"]] = int(row["units"]), int(row["count"])
            self._read.update({(int(kind), owner_id): found[owner_id] for owner_id in missing})
        return {owner: self._read[int(owner[0]), owner[1]] for owner in asked}
