"""How far usage of an account or a line goes before overage begins, and which tier stops it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q, Sum

from balances import draw_caps
from balances.draw_caps import Reach, Tier, reach
from balances.models import Account, Bucket, DrawCap, Line
from balances.models.accounts import DrawAbove, LineStatus
from balances.scope import Scope
from balances.selectors import tree
from balances.selectors.overview import CLOSED_SLICE
from balances.selectors.terms import Terms

#: Lines of an account whose caps are listed.
MOST_LINES = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """A cap with what was drawn in the cycle under way."""

    cap: DrawCap
    drawn_units: int

    @property
    def left_units(self) -> int:
        return max(self.cap.units - self.drawn_units, 0)

    @property
    def percent(self) -> int:
        return min(self.drawn_units * 100 // self.cap.units, 100) if self.cap.units else 100


@dataclass(frozen=True, slots=True)
class Path:
    """The tiers of one service from an owner up, what each would give, and whether more lies out of sight."""

    service: int
    tiers: list[Tier]
    reach: Reach
    goes_on_unseen: bool

    @property
    def stopper(self) -> str:
        """The name of the tier that stops usage; "" where all there is can be used."""
        return "" if self.reach.stopped_by is None else self.tiers[self.reach.stopped_by].name

    @property
    def steps(self) -> list[tuple[Tier, int]]:
        """Each tier with what it would give."""
        return list(zip(self.tiers, self.reach.given_units, strict=True))


def paths_of(scope: Scope, owner: Account | Line, terms: Terms, now: datetime) -> list[Path]:
    """One path a service that anything is held or capped of, on the way up from an account or line; four queries."""
    if terms.cycle is None:
        return []
    account = owner if isinstance(owner, Account) else Account.objects.within(scope).filter(id=owner.account_id).first()
    chain = [account, *tree.ancestors(scope, account)[::-1]] if account else []
    of_line = Q(line_id=owner.id) if isinstance(owner, Line) else Q(pk__in=())
    buckets = (
        Bucket.objects.within(scope)
        .filter(of_line | Q(account_id__in=[a.id for a in chain]), enterprise_id=owner.enterprise_id)
        .filter(cycle_start=terms.cycle.starts_at, valid_from__lte=now, valid_until__gt=now, closed_at__isnull=True)
        .exclude(CLOSED_SLICE)
        .order_by()
        .values_list("service", "account_id")
        .annotate(left=Sum("remaining_units"))
    )
    available: dict[int, dict[int | None, int]] = defaultdict(dict)
    for service, account_id, left in buckets:
        available[service][account_id] = int(left)
    rooms: dict[int, dict[int | None, int]] = defaultdict(dict)
    for standing in _standing(of_line | Q(account_id__in=[a.id for a in chain]), owner.enterprise_id, terms):
        rooms[standing.cap.service][standing.cap.account_id] = standing.cap.units - standing.drawn_units
    last = chain[-1] if chain else None
    unseen = last is None or (last.parent_id is not None and last.draw_above == DrawAbove.ALWAYS)
    paths = []
    for service in sorted(available.keys() | rooms.keys()):
        tiers = [_tier(a.name, a.id, available[service], rooms[service], a.draw_above) for a in chain]
        if isinstance(owner, Line):
            tiers.insert(0, _tier(owner.full_name, None, available[service], rooms[service]))
        paths.append(Path(service, tiers, reach(tiers), unseen))
    return paths


def _tier(
    name: str, account_id: int | None, available: Mapping, rooms: Mapping, draw_above: str = DrawAbove.ALWAYS
) -> Tier:
    return Tier(name, available.get(account_id, 0), rooms.get(account_id), draw_above == DrawAbove.ALWAYS)


def with_cap(path: Path, units: int | None, drawn_units: int) -> Path:
    """The path as it would be with another cap on its first tier; None: without one."""
    first = replace(path.tiers[0], room_units=None if units is None else units - drawn_units)
    tiers = [first, *path.tiers[1:]]
    return replace(path, tiers=tiers, reach=reach(tiers))


def caps_at(scope: Scope, account: Account, terms: Terms) -> list[Standing]:
    """The caps of an account, of the accounts directly below it and of its own lines, as far as they are in reach."""
    if terms.cycle is None:
        return []
    lines = Line.objects.within(scope).filter(account_id=account.id).exclude(status=LineStatus.RETIRED)
    mine = Q(account_id=account.id) | Q(account__parent_id=account.id)
    mine |= Q(line_id__in=list(lines.order_by("id").values_list("id", flat=True)[:MOST_LINES]))
    return _standing(mine, account.enterprise_id, terms)


def _standing(condition: Q, enterprise_id: int, terms: Terms) -> list[Standing]:
    caps = list(
        DrawCap.objects.filter(condition, enterprise_id=enterprise_id, retired_at=None)
        .select_related("account", "line__person")
        .order_by("account__lft", "line__msisdn", "service")
    )
    drawn = draw_caps.used_now(caps, terms.cycle.starts_at)
    return [Standing(cap, drawn[cap.id]) for cap in caps]


def drawn_so_far(owner: Account | Line, service: int, terms: Terms) -> int:
    """What an owner has drawn from above in the cycle, with or without a cap."""
    kind = {"account_id": owner.id} if isinstance(owner, Account) else {"line_id": owner.id}
    cap = DrawCap(enterprise_id=owner.enterprise_id, service=service, units=0, **kind)
    return draw_caps.used_now([cap], terms.cycle.starts_at)[cap.id] if terms.cycle else 0
