"""An enterprise as charging holds it in memory: lines, chains, stretches of the contract, bucket heads, meters.

Owns: loading and caching of what deciding on a usage record needs, keyed by the configuration version and the charge
sequence of the locked `ChargingState` row; a mismatch reloads what it concerns. Never writes, except for the paths
that charge lines refer to. Everything here lives under the enterprise's charging lock; nothing here is shared.

Instants are canonical UTC texts (`portal.charging.records`): they compare as text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from balances import cycles, draw_caps
from balances.models import Contract, DrawCap, Threshold, UsageSource, Zone
from balances.models.counters import Grain, OwnerKind, Payer
from policies.models import SteeringVersion
from portal.charging.heads import BucketHead, Gate, Mark, Meter, Tiers
from portal.charging.ingest import CORRECTIONS
from portal.charging.limits import Limits
from portal.charging.personal import PersonalBook
from portal.charging.records import BEGINNING, END, canonical_time, parse_canonical
from portal.charging.steering import Steering
from portal.charging.terms import Cycle, Stretch, Terms
from portal.models import Contest

#: Stands for the source of corrections where an enterprise has none: no part is of it, not even a made-up one.
NO_SOURCE = -1
#: Stands for "no enterprise": records whose number nobody has. Its memory is empty and never loaded.
NOBODY = 0
#: Lines an enterprise's memory holds at most; 50,000 lines take some 20 MB.
MOST_LINES = 120_000
#: Enterprises a worker remembers at most.
MOST_ENTERPRISES = 32


class Plan:
    """For a chain of accounts, a service and a zone: which buckets are drawn in which order, which meters run along.

    `tiers` is set where an account of the chain has a cap: each one's buckets, and the gate between it and those above.
    """

    __slots__ = ("heads", "is_covered", "meters", "tiers")

    def __init__(
        self, heads: list[BucketHead], meters: list[Meter], *, is_covered: bool,
        tiers: Tiers | None = None,
    ):  # fmt: skip
        self.heads, self.meters, self.tiers = heads, meters, tiers
        self.is_covered = is_covered  # somewhere in the chain, drawable or not


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Accounts from the line's own up to the root, as they hung when used. Compared by identity: one a path."""

    path_id: int
    account_ids: tuple[int, ...]
    drawing_ids: tuple[int, ...]  # those whose buckets may be drawn: up to the first that may not draw above itself


#: (from, until, line id, account id): where a number was at home, and when.
Residence = tuple[str, str, int, int]


class EnterpriseState:
    """All of one enterprise that charging needs; see the module's paragraph."""

    def __init__(self, enterprise_id: int):
        self.enterprise_id = enterprise_id
        self.configuration_version = -1
        self.charge_sequence = -1
        self.lines: dict[tuple[int, int], tuple[Residence, ...]] = {}
        self.opened_until = datetime.min.replace(tzinfo=UTC)
        self.limits: Limits | None = None
        self.steering: Steering | None = None
        self.personal: PersonalBook | None = None
        self.corrections_id = NO_SOURCE

    # --- keeping in step -------------------------------------------------------------------------------------------

    def refresh(self, cursor, configuration_version: int, charge_sequence: int, at: datetime) -> None:
        """Bring the memory in step with the locked row; opens cycles that are due."""
        if configuration_version != self.configuration_version:
            self._load_configuration(cursor)
            self.configuration_version = configuration_version
            self.charge_sequence = -1
        if charge_sequence != self.charge_sequence:
            self._forget_balances()
            self.charge_sequence = charge_sequence
        if self.opened_until < at:
            cycles.open_cycles_locked(cursor, enterprise_id=self.enterprise_id, until=at, actor="charging")
            self.opened_until = min((terms.cycle_at(at).ends_at for terms in self.terms), default=at)
            self._forget_balances()

    def steer_by(self, draft: SteeringVersion | None) -> None:
        """Load who pays; with a draft, as if it had always held in place of its account's versions (look ahead)."""
        limits_steer = self.limits is not None and self.limits.may_steer
        corrects = self.corrections_id != NO_SOURCE
        self.steering = Steering.load(self.enterprise_id, limits_steer=limits_steer, instead=draft, corrects=corrects)
        self.personal = PersonalBook(self.enterprise_id) if self.steering is not None else None

    def _forget_balances(self) -> None:
        self._heads.clear()
        if self.limits is not None:
            self.limits.forget()
        if self.steering is not None:
            self.steering.forget()
        if self.personal is not None:
            self.personal.forget()
        for cycle in self.cycles.values():
            cycle.forget()

    def _load_configuration(self, cursor) -> None:
        self.lines.clear()
        self._load_zones(cursor)
        self._load_tree(cursor)
        self._load_thresholds()
        self.limits = Limits.load(self.enterprise_id)
        self._load_corrections()
        self.steer_by(None)
        caps = DrawCap.objects.filter(enterprise_id=self.enterprise_id, retired_at=None)
        self._caps = {draw_caps.owner_of(cap): cap.units for cap in caps}
        self.terms = [Terms(contract) for contract in Contract.objects.filter(enterprise_id=self.enterprise_id)]
        self.cycles: dict[tuple[int, str], Cycle] = {}
        #: One head a bucket, whichever cycles it is met in: a carried-over bucket is its source's successor, too.
        self._heads: dict[int, BucketHead] = {}
        self._stretches: list[Stretch] = []
        self._stretches_until = ""
        self.opened_until = datetime.min.replace(tzinfo=UTC)

    def _load_corrections(self) -> None:
        """The source of corrections, where one was ever decided on in this enterprise."""
        self.corrections_id = NO_SOURCE
        if Contest.objects.filter(enterprise_id=self.enterprise_id, correction_part__isnull=False).exists():
            sources = UsageSource.objects.filter(operator__enterprises=self.enterprise_id, name=CORRECTIONS)
            self.corrections_id = sources.values_list("id", flat=True).first() or NO_SOURCE

    # --- zones -----------------------------------------------------------------------------------------------------

    def _load_zones(self, cursor) -> None:
        zones = Zone.objects.filter(operator__enterprises=self.enterprise_id)
        self.zone_by_network: dict[str, int] = {}
        self._zone_prefixes: dict[str, int] = {}
        self._default_zone_id = 0
        for zone in zones:
            for prefix in zone.networks:
                self._zone_prefixes[prefix] = zone.id
            if zone.is_default:
                self._default_zone_id = zone.id
            if zone.is_home:
                self.zone_by_network[""] = zone.id

    def zone_of(self, network: str) -> int:
        """The zone of a visited network: longest prefix, else the default one; 0 where the operator has none."""
        zone_id = self.zone_by_network.get(network)
        if zone_id is None:
            prefixes = (network[:length] for length in range(len(network), 0, -1))
            zone_id = next(
                (self._zone_prefixes[p] for p in prefixes if p in self._zone_prefixes), self._default_zone_id
            )
            self.zone_by_network[network] = zone_id
        return zone_id

    # --- lines -----------------------------------------------------------------------------------------------------

    def load_lines(self, cursor, numbers: set[tuple[int, int]]) -> None:
        """Make the residences of (kind, number) pairs known, those that are not yet, in one query."""
        missing = numbers.difference(self.lines)  # `-` would walk all lines there are
        if not missing:
            return
        if len(self.lines) + len(missing) > MOST_LINES:
            self.lines.clear()
            missing = numbers
        cursor.execute(
            """
            SELECT n.kind, n.number, lower(n.during * a.during), upper(n.during * a.during), n.line_id, a.account_id
            FROM balances_numberassignment n JOIN balances_lineassignment a ON a.line_id = n.line_id
                AND a.during && n.during
            WHERE n.enterprise_id = %s AND n.number = ANY(%s::bigint[])
            ORDER BY 3 DESC NULLS LAST
            """,
            [self.enterprise_id, "{" + ",".join(str(number) for _, number in missing) + "}"],
        )
        found: dict[tuple[int, int], list[Residence]] = defaultdict(list)
        for kind, number, starts_at, ends_at, line_id, account_id in cursor.fetchall():
            starts = canonical_time(starts_at) if starts_at else BEGINNING
            ends = canonical_time(ends_at) if ends_at else END
            found[kind, number].append((starts, ends, line_id, account_id))
        for key, residences in found.items():
            self.lines[key] = tuple(residences)

    # --- the tree --------------------------------------------------------------------------------------------------

    def _load_tree(self, cursor) -> None:
        cursor.execute("SELECT id, draw_above FROM balances_account WHERE enterprise_id = %s", [self.enterprise_id])
        self._draws_above = {account_id: draw_above != "never" for account_id, draw_above in cursor.fetchall()}
        cursor.execute(
            "SELECT account_id, parent_id, lower(during) FROM balances_accountplacement WHERE enterprise_id = %s "
            "ORDER BY account_id, lower(during) NULLS FIRST",
            [self.enterprise_id],
        )
        self._placements: dict[int, list[tuple[str, int | None]]] = defaultdict(list)
        for account_id, parent_id, starts_at in cursor.fetchall():
            starts = canonical_time(starts_at) if starts_at else BEGINNING
            self._placements[account_id].append((starts, parent_id))
        # The tree is one and the same between two moves; chains are remembered by the interval they were asked for.
        self._moves = sorted({starts for places in self._placements.values() for starts, _ in places[1:]})
        self._chains: dict[tuple[int, int], Chain] = {}
        cursor.execute(
            "SELECT id, account_ids FROM balances_accountpath WHERE enterprise_id = %s", [self.enterprise_id]
        )
        self._path_ids = {tuple(account_ids): path_id for path_id, account_ids in cursor.fetchall()}

    def chain_of(self, cursor, account_id: int, used_at: str) -> Chain:
        """The chain above an account as it hung when used; usage before its first placement takes that one."""
        era = bisect_right(self._moves, used_at) if self._moves else 0
        chain = self._chains.get((account_id, era))
        if chain is None:
            chain = self._chains[account_id, era] = self._make_chain(cursor, account_id, used_at)
        return chain

    def _make_chain(self, cursor, account_id: int, used_at: str) -> Chain:
        account_ids: list[int] = []
        current: int | None = account_id
        while current is not None and current not in account_ids:
            account_ids.append(current)
            places = self._placements[current]
            index = max(bisect_right(places, used_at, key=lambda place: place[0]) - 1, 0)
            current = places[index][1]
        drawing_ids = []
        for member in account_ids:
            drawing_ids.append(member)
            if not self._draws_above[member]:
                break
        path = tuple(account_ids)
        path_id = self._path_ids.get(path)
        if path_id is None:
            cursor.execute(
                "INSERT INTO balances_accountpath (enterprise_id, account_ids) VALUES (%s, %s) "
                "ON CONFLICT (enterprise_id, account_ids) DO UPDATE SET account_ids = excluded.account_ids "
                "RETURNING id",
                [self.enterprise_id, list(path)],
            )
            path_id = self._path_ids[path] = cursor.fetchone()[0]
        return Chain(path_id, path, tuple(drawing_ids))

    # --- the contract ----------------------------------------------------------------------------------------------

    def stretch_of(self, used_at: str) -> Stretch | None:
        """The stretch that holds an instant; None outside every contract."""
        if used_at >= self._stretches_until:
            self._extend_stretches(parse_canonical(used_at))
        index = bisect_right(self._stretches, used_at, key=lambda stretch: stretch.starts) - 1
        if index >= 0 and used_at < self._stretches[index].ends:
            return self._stretches[index]
        return None

    def stretches_between(self, used_at: str, ended_at: str) -> list[Stretch]:
        """The stretches that a session touches, in order; what lies outside contracts is nobody's."""
        if ended_at >= self._stretches_until:
            self._extend_stretches(parse_canonical(ended_at))
        return [s for s in self._stretches if s.starts < ended_at and s.ends > used_at]

    def first_start(self) -> str:
        """When the first contract begins; END if there is none."""
        return min((canonical_time(terms.contract.starts_at) for terms in self.terms), default=END)

    def _extend_stretches(self, until: datetime) -> None:
        horizon = until + timedelta(days=40)
        stretches = [
            stretch
            for terms in self.terms
            for stretch in terms.stretches(self._cycle, horizon)
            if stretch.starts < stretch.ends
        ]
        self._stretches = sorted(stretches, key=lambda stretch: stretch.starts)
        self._stretches_until = canonical_time(horizon - timedelta(days=1))

    def _cycle(self, contract_id: int, starts_at: datetime, ends_at: datetime) -> Cycle:
        key = (contract_id, canonical_time(starts_at))
        if key not in self.cycles:
            self.cycles[key] = Cycle(contract_id, starts_at, ends_at)
        return self.cycles[key]

    # --- balances --------------------------------------------------------------------------------------------------

    def _load_thresholds(self) -> None:
        self._thresholds: dict[tuple[int, int, int], list[Mark]] = defaultdict(list)
        for threshold in Threshold.objects.filter(enterprise_id=self.enterprise_id):
            kind, owner_id = _owner(threshold.account_id, threshold.line_id)
            mark = Mark(threshold.id, threshold.percent, threshold.units)
            self._thresholds[kind, owner_id, threshold.service].append(mark)

    def load_cycle(self, cursor, cycle: Cycle) -> None:
        """Load the bucket heads and armed meters of a cycle, if they are not in memory."""
        if cycle.loaded:
            return
        held_units = self._load_heads(cursor, cycle)
        twins = (other for other in self.cycles.values() if other.loaded and other.starts == cycle.starts)
        if twin := next(twins, None):
            cycle.meters, cycle.gates = twin.meters, twin.gates
        else:
            self._load_meters(cursor, cycle, held_units)
            self._load_gates(cursor, cycle)
        cycle.loaded = True

    def _load_heads(self, cursor, cycle: Cycle) -> dict[tuple[int, int, int], int]:
        """Bucket heads of the cycle by owner, with their successors; returns granted and received units by meter.

        What was set aside is no head, unless it opens when all else is used up: then it is the last of its owner, and
        no more of what its owner has received. Heads that another cycle has brought to memory are taken from there: the
        group may have changed them.
        """
        cursor.execute(
            """
            SELECT b.id, b.service, b.zone_ids, b.remaining_units, b.expired_units,
                b.granted_units + CASE WHEN b.kind = 'contingency' THEN 0 ELSE b.received_units END,
                b.closed_at IS NOT NULL, b.account_id, b.line_id, b.cycle_start,
                b.source_id, b.kind = 'rollover', v.contract_id
            FROM balances_bucket b LEFT JOIN balances_allowance a ON a.id = b.allowance_id
                LEFT JOIN balances_contractversion v ON v.id = a.version_id
            WHERE b.enterprise_id = %s AND (b.kind <> 'contingency' OR b.release = 'on_exhaustion')
                AND (b.cycle_start = %s OR (b.kind = 'rollover' AND b.source_id IN (
                SELECT s.id FROM balances_bucket s WHERE s.enterprise_id = %s AND s.cycle_start = %s)))
            ORDER BY b.kind = 'contingency', b.priority, b.valid_until, b.id
            """,
            [self.enterprise_id, cycle.starts_at, self.enterprise_id, cycle.starts_at],
        )
        held_units: dict[tuple[int, int, int], int] = defaultdict(int)
        carried: list[tuple[int, BucketHead]] = []
        for *figures, is_closed, account_id, line_id, cycle_start, source_id, is_rollover, contract_id in cursor:
            owner = _owner(account_id, line_id)
            head = self._heads.get(figures[0])
            if head is None:
                head = BucketHead(*figures, is_closed=is_closed, owner=owner, cycle_start=cycle_start)
                self._heads[head.id] = head
            if is_rollover:
                carried.append((source_id, head))
            if cycle_start == cycle.starts_at:
                held_units[*owner, head.service] += head.held
                if contract_id is None or contract_id == cycle.contract_id:
                    cycle.heads_by_owner.setdefault(owner, []).append(head)
        for source_id, head in carried:
            if source_id in self._heads:
                self._heads[source_id].successor = head
        return held_units

    def _load_meters(self, cursor, cycle: Cycle, held_units: dict[tuple[int, int, int], int]) -> None:
        if not self._thresholds:
            return
        cursor.execute(
            "SELECT owner_kind, owner_id, service, sum(used_units) FROM balances_counter WHERE enterprise_id = %s "
            "AND grain = %s AND period_start = %s AND payer = %s AND (owner_kind = %s OR owner_id = ANY(%s)) "
            "GROUP BY owner_kind, owner_id, service",
            [
                self.enterprise_id, int(Grain.CYCLE), cycle.starts_at, int(Payer.CORPORATE), int(OwnerKind.ACCOUNT),
                [owner_id for kind, owner_id, _ in self._thresholds if kind == OwnerKind.LINE],
            ],
        )  # fmt: skip
        used = {(kind, owner_id, service): int(units) for kind, owner_id, service, units in cursor.fetchall()}
        cursor.execute(
            "SELECT threshold_id FROM balances_crossing WHERE enterprise_id = %s AND period_start = %s",
            [self.enterprise_id, cycle.starts_at],
        )
        crossed = {row[0] for row in cursor.fetchall()}
        for key, marks in self._thresholds.items():
            kind, owner_id, _ = key
            is_account = kind == OwnerKind.ACCOUNT
            cycle.meters[key] = Meter(
                owner_id if is_account else None,
                None if is_account else owner_id,
                used.get(key, 0),
                held_units.get(key),
                [mark for mark in marks if mark.threshold_id not in crossed],
            )

    def _load_gates(self, cursor, cycle: Cycle) -> None:
        if not self._caps:
            return
        used = draw_caps.use_of_cycle(
            cursor, enterprise_id=self.enterprise_id, owners=self._caps, cycle_start=cycle.starts_at
        )
        for owner, units in self._caps.items():
            cycle.gates[owner] = Gate(owner, cycle.starts_at, units - used[owner])

    def lower_base(self, head: BucketHead, units: int) -> None:
        """A bucket has lost units that it had received: the percentages of its owner's meter are of less."""
        for cycle in self.cycles.values():
            if cycle.loaded and cycle.starts_at == head.cycle_start:
                if meter := cycle.meters.get((*head.owner, head.service)):
                    meter.lower_base(units)
                return  # cycles that begin together share their meters

    def plan_of(self, cycle: Cycle, chain: Chain, service: int, zone_id: int) -> Plan:
        """The drawing order along a chain: nearest account first, within one by priority, expiry, id."""
        key = (chain.path_id, service, zone_id)
        plan = cycle.plans.get(key)
        if plan is None:
            covering = {
                account_id: [
                    head
                    for head in cycle.heads_by_owner.get((OwnerKind.ACCOUNT, account_id), ())
                    if head.service == service and head.covers(zone_id)
                ]
                for account_id in chain.account_ids
            }
            heads = [head for account_id in chain.drawing_ids for head in covering[account_id]]
            possible = (cycle.meters.get((OwnerKind.ACCOUNT, account_id, service)) for account_id in chain.account_ids)
            meters = [meter for meter in possible if meter is not None]
            tiers = None
            if cycle.gates:
                gates = cycle.gates
                tiers = [(covering[id_], gates.get((OwnerKind.ACCOUNT, id_, service))) for id_ in chain.drawing_ids]
                if not any(gate for _, gate in tiers):
                    tiers = None
            plan = cycle.plans[key] = Plan(heads, meters, is_covered=any(covering.values()), tiers=tiers)
        return plan


def _owner(account_id: int | None, line_id: int | None) -> tuple[int, int]:
    if account_id is not None:
        return int(OwnerKind.ACCOUNT), account_id
    if line_id is None:
        raise ValueError("neither an account nor a line owns this")
    return int(OwnerKind.LINE), line_id


class StateCache:
    """The enterprises that this worker remembers, least recently charged out first."""

    def __init__(self):
        self._states: OrderedDict[int, EnterpriseState] = OrderedDict()

    def get(self, enterprise_id: int) -> EnterpriseState:
        """The memory of an enterprise, new if there is none."""
        state = self._states.pop(enterprise_id, None) or EnterpriseState(enterprise_id)
        self._states[enterprise_id] = state
        while len(self._states) > MOST_ENTERPRISES:
            self._states.popitem(last=False)
        return state

    def drop(self, enterprise_id: int) -> None:
        """Forget an enterprise: after a rollback its memory is ahead of the database."""
        self._states.pop(enterprise_id, None)
