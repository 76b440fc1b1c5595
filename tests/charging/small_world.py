"""An enterprise so small that everything in it is used up, with its twin in the reference model.

Two contract versions (messaging is sold only by the first, conferencing only by the second), a cycle a month, four
lines, six accounts; allowances of a few dozen units. Built through the functions that users reach. `World` speaks both
languages: names here, ids in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.db import transaction

from balances import contracts, hierarchy, inventory
from balances.hierarchy import TreeRow
from balances.models import (
    Account,
    AccountPath,
    Bucket,
    ChargeLine,
    Counter,
    Crossing,
    Enterprise,
    Line,
    Loan,
    Operator,
    SuspendedUsage,
    Threshold,
    UsageRecord,
    Zone,
)
from balances.models.counters import Grain, OwnerKind
from balances.units import SERVICE_NAMES
from policies.models import LimitCrossing, LimitUse
from portal.charging import ingest, pipeline
from portal.charging.records import Usage, read_mapping
from tests.cast import ACTOR
from tests.charging.reference import Grant, Owner, Record, Reference, Terms, Version
from tests.charging.reference import Threshold as Mark

ReferenceT = TypeVar("ReferenceT", bound=Reference)

START = datetime(2026, 3, 15, 12, tzinfo=UTC)
#: Midnight in Berlin on the first of February, March .. December 2026.
BOUNDARIES = [
    datetime(2026, 1, 31, 23, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC),
    datetime(2026, 4, 30, 22, tzinfo=UTC), datetime(2026, 5, 31, 22, tzinfo=UTC), datetime(2026, 6, 30, 22, tzinfo=UTC),
    datetime(2026, 7, 31, 22, tzinfo=UTC), datetime(2026, 8, 31, 22, tzinfo=UTC), datetime(2026, 9, 30, 22, tzinfo=UTC),
    datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC),
]  # fmt: skip
SECOND_VERSION = datetime(2026, 3, 29, 9, 30, tzinfo=UTC)
LATE_DAYS = 45
NETWORKS = {"262": "home", "208": "eu", "2081": "world", "222": "eu"}
SERVICES = {name: service for service, name in SERVICE_NAMES.items()}

HOME, EUROPE, ANYWHERE = frozenset({"home"}), frozenset({"home", "eu"}), frozenset()
VERSIONS = [
    Version(
        BOUNDARIES[0],
        {
            ("data", "home"): Terms(1, 0, 1_000, 3),
            ("data", "eu"): Terms(7, 10, 5_001, 10),
            ("data", "world"): Terms(10, 0, 90_000, 7),
            ("voice", "home"): Terms(1, 0, 60_000, 60),
            ("voice", "eu"): Terms(6, 30, 90_000, 60),
            ("voice", "world"): Terms(60, 0, 990_000, 60),
            **{("messaging", zone): Terms(1, 0, 70_000, 1) for zone in ("home", "eu", "world")},
        },
        (
            Grant("Data", "data", 100, EUROPE, 30, 100),
            Grant("Data at home", "data", 40, HOME, 0, 50),
            Grant("Voice", "voice", 50, ANYWHERE, 7, 100),
        ),
    ),
    Version(
        SECOND_VERSION,
        {
            ("data", "home"): Terms(2, 0, 900, 3),
            ("data", "eu"): Terms(5, 0, 4_000, 10),
            ("data", "world"): Terms(10, 20, 80_000, 7),
            ("voice", "home"): Terms(1, 0, 50_000, 60),
            ("voice", "eu"): Terms(1, 0, 70_000, 60),
            ("voice", "world"): Terms(60, 60, 990_000, 60),
            **{("video_conferencing", zone): Terms(60, 0, 20_000, 60) for zone in ("home", "eu", "world")},
        },
        (Grant("Data 2", "data", 90, EUROPE, 25, 100), Grant("Voice 2", "voice", 60, ANYWHERE, 0, 100)),
    ),
]
TREE = [("N", ""), ("N1", "N"), ("N2", "N1"), ("S", ""), ("S1", "S")]
LINES = {"a": "N2", "b": "N", "c": "S1", "d": "R"}
NUMBERS = {"a": "4917010000001", "b": "4917010000002", "c": "4917010000003", "d": "4917010000004"}
#: Line d was not in service before.
D_BEGAN = datetime(2026, 3, 10, tzinfo=UTC)


def mapping(record: Record) -> dict:
    """A record as a client sends it."""
    sent = {
        "source_record_id": record.id,
        "service": record.service,
        "msisdn": record.number,
        "units": record.units,
        "started_at": record.used_at,
        "visited_network": record.network,
    }
    return sent if record.ended_at is None else {**sent, "ended_at": record.ended_at}


def usage(record: Record) -> Usage:
    """A record as it waits."""
    return read_mapping(mapping(record))


class World:
    """The enterprise and the ids of what is in it; `reference()` makes its twin as it is now."""

    def __init__(self, contract_end: datetime | None = None, versions: list[Version] | None = None):
        self.contract_end = contract_end
        self.versions = [v for v in versions or VERSIONS if contract_end is None or v.effective_at < contract_end]
        self.operator = Operator.objects.create(name="Kleinnetz")
        self._make_zones()
        self.enterprise: Enterprise = hierarchy.create_enterprise(
            operator=self.operator, name="Small", number="R", actor=ACTOR, at=START
        )
        rows = [
            TreeRow(row, code, parent, f"Account {code}", "cost_centre")
            for row, (code, parent) in enumerate(TREE, start=2)
        ]
        assert not hierarchy.load_tree(enterprise=self.enterprise, rows=rows, actor=ACTOR, at=START).errors
        self.accounts: dict[str, Account] = {a.code: a for a in Account.objects.filter(enterprise=self.enterprise)}
        self._make_contract()
        self.lines: dict[str, Line] = {
            name: inventory.add_line(
                enterprise=self.enterprise,
                account=self.accounts[code],
                msisdn=NUMBERS[name],
                assigned_from=D_BEGAN if name == "d" else BOUNDARIES[0] - timedelta(days=90),
                actor=ACTOR,
                at=START,
            )
            for name, code in LINES.items()
        }
        self.sources = {name: ingest.source(operator_id=self.operator.id, name=name) for name in ("one", "two")}
        self._owner_names: dict[tuple[int, int], Owner] = {
            **{(OwnerKind.ACCOUNT, a.id): ("account", code) for code, a in self.accounts.items()},
            **{(OwnerKind.LINE, line.id): ("line", name) for name, line in self.lines.items()},
        }
        self._account_codes = {account.id: code for code, account in self.accounts.items()}

    def _make_zones(self) -> None:
        kinds = {"home": {"is_home": True}, "eu": {}, "world": {"is_default": True}}
        self.zones: dict[str, Zone] = {
            code: contracts.create_zone(
                operator=self.operator,
                code=code,
                name=code,
                networks=[prefix for prefix, zone in NETWORKS.items() if zone == code],
                actor=ACTOR,
                at=START,
                **flags,
            )
            for code, flags in kinds.items()
        }

    def _make_contract(self) -> None:
        self.contract = contracts.create_contract(
            enterprise=self.enterprise,
            number="C-1",
            starts_at=BOUNDARIES[0],
            ends_at=self.contract_end,
            time_zone="Europe/Berlin",
            currency="EUR",
            cycle_anchor_day=1,
            late_usage_days=LATE_DAYS,
            actor=ACTOR,
            at=START,
        )
        for version in self.versions:
            draft = contracts.draft_version(
                contract=self.contract, effective_at=version.effective_at, actor=ACTOR, at=START
            )
            for grant in version.grants:
                contracts.add_allowance(
                    version=draft,
                    name=grant.name,
                    service=SERVICES[grant.service],
                    granted_units=grant.units,
                    zones=[self.zones[code] for code in sorted(grant.zones)],
                    rollover_cap_units=grant.cap,
                    priority=grant.priority,
                    actor=ACTOR,
                    at=START,
                )
            for (service, zone), terms in version.rates.items():
                contracts.set_rate(
                    version=draft,
                    service=SERVICES[service],
                    zone=self.zones[zone],
                    increment_units=terms.increment,
                    minimum_units=terms.minimum,
                    overage_price_micros=terms.price,
                    overage_block_units=terms.block,
                    actor=ACTOR,
                    at=START,
                )
            contracts.publish_version(version=draft, actor=ACTOR, at=START)

    # --- the twin ----------------------------------------------------------------------------------------------------

    def reference(self, kind: Callable[..., ReferenceT] = Reference) -> ReferenceT:  # type: ignore[assignment]
        """The model of this enterprise, nothing charged yet."""
        parents = {"R": [(None, None)]} | {code: [(None, parent or "R")] for code, parent in TREE}
        began = BOUNDARIES[0] - timedelta(days=90)
        model = kind(
            boundaries=BOUNDARIES,
            versions=self.versions,
            networks=NETWORKS,
            home="home",
            elsewhere="world",
            late=timedelta(days=LATE_DAYS),
            tolerance=timedelta(minutes=5),
            contract_end=self.contract_end,
            parents=parents,
            assignments={name: [(D_BEGAN if name == "d" else began, code)] for name, code in LINES.items()},
            numbers={NUMBERS[name]: [(D_BEGAN if name == "d" else began, None, name)] for name in LINES},
        )
        for threshold in Threshold.objects.filter(enterprise=self.enterprise):
            model.thresholds.append(self.mark(threshold))
        model.open_cycles(START)
        return model

    def mark(self, threshold: Threshold) -> Mark:
        """A threshold in the model's terms."""
        kind = OwnerKind.LINE if threshold.line_id else OwnerKind.ACCOUNT
        owner = self._owner_names[kind, threshold.line_id or threshold.account_id]
        return Mark(threshold.id, owner, SERVICE_NAMES[threshold.service], threshold.percent, threshold.units)

    # --- deliveries --------------------------------------------------------------------------------------------------

    def accept(self, records: list[Record], at: datetime = START, *, for_all: bool = False) -> None:
        """Deliver records of one source, for this enterprise or as the operator does."""
        ingest.accept(
            delivery=ingest.Delivery(
                operator_id=self.operator.id,
                enterprise_id=None if for_all else self.enterprise.id,
                source_id=self.sources[records[0].source],
                accepted_by="test",
            ),
            usages=[usage(record) for record in records],
            at=at,
        )

    # --- what stands in the database, in the model's terms -----------------------------------------------------------

    def bucket_keys(self) -> dict[int, str]:
        """Bucket id -> the model's key of it."""
        keys: dict[int, str] = {}
        loans = dict(Loan.objects.filter(enterprise=self.enterprise).values_list("bucket_id", "trade_id"))
        for bucket in Bucket.objects.filter(enterprise=self.enterprise).select_related("allowance").order_by("id"):
            if bucket.kind == "grant":
                keys[bucket.id] = f"grant:{bucket.allowance.name}:{BOUNDARIES.index(bucket.cycle_start)}"
            elif bucket.kind == "rollover":
                keys[bucket.id] = f"rollover:{keys[bucket.source_id]}"
            elif bucket.kind == "contingency":
                keys[bucket.id] = f"contingency:{keys[bucket.source_id]}:{bucket.release}"
            elif bucket.kind == "loan":
                keys[bucket.id] = f"loan:{loans[bucket.id]}"
            else:
                kind = OwnerKind.LINE if bucket.line_id else OwnerKind.ACCOUNT
                owner = self._owner_names[kind, bucket.line_id or bucket.account_id]
                whose = owner[1] if bucket.kind == "trade" else f"{owner[0]}:{owner[1]}"
                keys[bucket.id] = f"{bucket.kind}:{keys[bucket.source_id]}:{whose}"
        return keys

    def buckets(self) -> dict[str, tuple]:
        """Key -> the seven quantities, and whether it is closed."""
        keys = self.bucket_keys()
        return {
            keys[b.id]: (
                b.granted_units, b.received_units, b.remaining_units, b.reserved_units, b.used_units, b.given_units,
                b.expired_units, b.closed_at is not None,
            )
            for b in Bucket.objects.filter(enterprise=self.enterprise)
        }  # fmt: skip

    def counters(self) -> dict[tuple, list[int]]:
        """(owner, cycle, service, zone) -> used, overage, amount, records."""
        zones = {zone.id: code for code, zone in self.zones.items()}
        return {
            (
                self._owner_names[c.owner_kind, c.owner_id],
                BOUNDARIES.index(c.period_start),
                SERVICE_NAMES[c.service],
                zones[c.zone_id],
            ): [c.used_units, c.overage_units, c.amount_micros, c.records]
            for c in Counter.objects.filter(enterprise=self.enterprise, grain=Grain.CYCLE)
        }

    def charges(self) -> dict[tuple[str, str], list[tuple]]:
        """(source, id) -> charge lines: cycle, start, units, overage, amount, draws, chain, refused."""
        keys, sources = self.bucket_keys(), {number: name for name, number in self.sources.items()}
        paths = {
            path.id: tuple(self._account_codes[account_id] for account_id in path.account_ids)
            for path in AccountPath.objects.filter(enterprise=self.enterprise)
        }
        found: dict[tuple[str, str], list[tuple]] = {}
        names = {
            record.id: (sources[record.source_id], record.source_record_id)
            for record in UsageRecord.objects.filter(enterprise=self.enterprise)
        }
        for line in ChargeLine.objects.filter(enterprise=self.enterprise).order_by("usage_id", "number"):
            draws = [(keys[b], units) for b, units in zip(line.bucket_ids, line.bucket_units, strict=True)]
            found.setdefault(names[line.usage_id], []).append(
                (
                    BOUNDARIES.index(line.cycle_start), line.starts_at, line.units, line.overage_units,
                    line.amount_micros, draws, paths[line.path_id], line.refused_units,
                )
            )  # fmt: skip
        return found

    def crossings(self) -> dict[tuple[int, int], tuple[int, int]]:
        """(threshold, cycle) -> level, used."""
        return {
            (c.threshold_id, BOUNDARIES.index(c.period_start)): (c.level_units, c.used_units)
            for c in Crossing.objects.filter(enterprise=self.enterprise)
        }

    def limit_uses(self) -> dict[tuple[int, datetime], int]:
        """(first of the succession, period) -> used."""
        uses = LimitUse.objects.filter(enterprise=self.enterprise).exclude(used=0)
        return {(use.limit_id, use.period_start): use.used for use in uses}

    def limit_crossings(self) -> dict[tuple[int, datetime, int], int]:
        """(first of the succession, period, level) -> used."""
        rows = LimitCrossing.objects.filter(enterprise=self.enterprise)
        return {(row.first_id, row.period_start, row.level): row.used for row in rows}

    def suspended(self) -> list[tuple[str, str, str]]:
        """(source, id, reason) in order of arrival."""
        sources = {number: name for name, number in self.sources.items()}
        rows = SuspendedUsage.objects.filter(enterprise=self.enterprise).order_by("id")
        return [(sources[row.source_id], row.source_record_id, row.reason) for row in rows]


def differences(world: World, model: Reference) -> dict[str, object]:
    """Everything in which the database and the model differ; empty where all is well."""
    pairs = {
        "buckets": (world.buckets(), {key: (*b.quantities(), b.is_closed) for key, b in model.buckets.items()}),
        "counters": (world.counters(), dict(model.counters)),
        "charges": (
            world.charges(),
            {
                key: [(c.cycle, c.starts_at, c.units, c.overage, c.amount, c.draws, c.chain, c.refused) for c in lines]
                for key, lines in model.charges.items()
            },
        ),
        "crossings": (world.crossings(), model.crossings),
        "limit use": (
            world.limit_uses(),
            {(limit.name, period): used for limit in model.limits for period, used in model.uses(limit).items()},
        ),
        "limit crossings": (world.limit_crossings(), model.limit_crossings),
    }
    found: dict[str, object] = {}
    for name, (real, wanted) in pairs.items():
        for key in real.keys() | wanted.keys():
            if real.get(key) != wanted.get(key):
                found[f"{name} {key}"] = {"database": real.get(key), "model": wanted.get(key)}
    if world.suspended() != model.suspended:
        found["suspended"] = {"database": world.suspended(), "model": model.suspended}
    return found


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction of which nothing stays, and a worker's memory that knows nothing of it."""
    with transaction.atomic():
        pipeline.forget_everything()
        yield
        pipeline.forget_everything()
        transaction.set_rollback(True)
