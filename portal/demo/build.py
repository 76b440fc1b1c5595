"""Builds one enterprise of the demo: tree, inventory, contract, and its past, cycle by cycle and day by day.

Everything goes through the functions that users reach, dated as it would have been; usage runs through
durable acceptance and the charging pipeline in this process, so that no worker is needed. Each step is done
once: a build that was killed goes on with the first step, or the first day, that is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Max

from balances import contracts, cycles, hierarchy, inventory_loads, ledger
from balances.models import (
    Account,
    Bucket,
    Contract,
    Device,
    Enterprise,
    Line,
    Operator,
    Person,
    UsageBatch,
    UsagePart,
    Zone,
)
from balances.models.accounts import DrawAbove
from balances.models.buckets import BucketKind
from balances.periods import Period, next_cycle
from balances.units import GIB, Service
from portal.charging import ingest, pipeline
from portal.demo import terms as bought
from portal.demo.history import History, Sums
from portal.demo.plan import AccountPlan, EnterprisePlan
from portal.demo.terms import PRICES, TIME_ZONE, Terms

ACTOR = "demo"
SOURCE = "Mediation"
DAY = timedelta(days=1)
SERVICE_WORDS = {
    Service.DATA: "Data",
    Service.VOICE: "Voice",
    Service.MESSAGING: "Messages",
    Service.VIDEO_CONFERENCING: "Video conferences",
}
#: Of what the divisions need, so much is given to them at the start of a cycle; the rest stays at the top.
ALLOCATED_SHARE = 0.55
#: The squeezed cost centre gets so much of what it had used by now: its bucket ran empty some days ago.
SQUEEZED_SHARE = 0.7


class LoadFailed(Exception):
    """A bulk load of the demo had rows with errors: the plan and the loaders do not fit."""


@dataclass
class EnterpriseBuild:
    """The making of one enterprise. `progress` is told what is being done and which part of it is finished."""

    plan: EnterprisePlan
    operator: Operator
    now: datetime
    days: int
    seed: int
    progress: Callable[[str, float], None]
    enterprise: Enterprise = field(init=False)
    terms: Terms = field(init=False)
    history: History = field(init=False)
    sums: Sums = field(init=False)
    squeezed: AccountPlan = field(init=False)

    def __post_init__(self) -> None:
        self.terms = bought.TERMS[self.plan.size.key]
        self.squeezed = self.plan.busiest_cost_centre()
        self.began_at = bought.first_cycle(self.terms, self.now, self.days).starts_at
        self.history_from = self.now - timedelta(days=self.days)

    def run(self) -> None:
        """Make whatever is missing."""
        name = self.plan.size.name
        self.progress(f"{name}: {len(self.plan.accounts) + 1} accounts, {len(self.plan.lines)} lines", 0.0)
        self._make_tree()
        self._make_inventory()
        self.progress(f"{name}: what was used", 0.05)
        self.history = History(self.plan, seed=self.seed, now=self.now)
        current = bought.current_cycle(self.terms, self.now)
        self.sums = self.history.sums(max(current.starts_at, self.history_from), self.now)
        self._make_contract(current)
        self._make_marks()
        for done, words in self._live_through():
            self.progress(f"{name}: {words}", 0.15 + 0.85 * done)

    # --- what there is
    # -----------------------------------------------------------------------------------------

    def _make_tree(self) -> None:
        size, found = (
            self.plan.size,
            Enterprise.objects.filter(operator=self.operator, number=self.plan.size.number),
        )
        self.enterprise = found.first() or hierarchy.create_enterprise(
            operator=self.operator, name=size.name, number=size.number, actor=ACTOR, at=self.began_at
        )
        if Account.objects.filter(enterprise=self.enterprise).count() > 1:
            return
        rows = [
            hierarchy.TreeRow(n, account.code, account.parent_code, account.name, account.kind)
            for n, account in enumerate(self.plan.accounts, 1)
        ]
        _all_made(hierarchy.load_tree(enterprise=self.enterprise, rows=rows, actor=ACTOR, at=self.began_at))
        if not self.terms.squeezed_draws_above:
            hierarchy.set_draw_above(
                account=self._account(self.squeezed.code),
                draw_above=DrawAbove.NEVER,
                actor=ACTOR,
                at=self.began_at,
            )

    def _make_inventory(self) -> None:
        made = {"enterprise": self.enterprise, "actor": ACTOR, "at": self.began_at}
        if not Person.objects.filter(enterprise=self.enterprise).exists():
            people = [
                inventory_loads.PersonRow(n, person.number, person.name, person.account_code, person.email)
                for n, person in enumerate(self.plan.people, 1)
            ]
            _all_made(inventory_loads.load_people(rows=people, **made))
        if not Device.objects.filter(enterprise=self.enterprise).exists():
            devices = [
                inventory_loads.DeviceRow(
                    n, line.imei, line.model, "personal" if line.is_personal_device else "corporate"
                )
                for n, line in enumerate(self.plan.lines, 1)
            ]
            _all_made(inventory_loads.load_devices(rows=devices, **made))
        if not Line.objects.filter(enterprise=self.enterprise).exists():
            lines = [
                inventory_loads.LineRow(
                    row=n,
                    msisdn=line.msisdn,
                    imsi=line.imsi,
                    label=line.label,
                    account_code=line.account_code,
                    person_number=line.person_number,
                    device_imei=line.imei,
                )
                for n, line in enumerate(self.plan.lines, 1)
            ]
            _all_made(inventory_loads.load_lines(rows=lines, **made))

    def _account(self, code: str) -> Account:
        return Account.objects.get(enterprise=self.enterprise, code=code)

    # --- the contract
    # ------------------------------------------------------------------------------------------

    @transaction.atomic
    def _make_contract(self, current: Period) -> None:
        if Contract.objects.filter(enterprise=self.enterprise).exists():
            return
        at, zones = self.began_at, {zone.code: zone for zone in Zone.objects.filter(operator=self.operator)}
        contract = contracts.create_contract(
            enterprise=self.enterprise,
            number=f"C-{self.plan.size.number}",
            starts_at=at,
            time_zone=TIME_ZONE.key,
            currency="EUR",
            cycle_anchor_day=bought.anchor_day(self.terms, self.now),
            late_usage_days=90,
            actor=ACTOR,
            at=at,
        )
        version = contracts.draft_version(contract=contract, effective_at=at, actor=ACTOR, at=at)
        for service, units in self._granted(current).items():
            contracts.add_allowance(
                version=version,
                name=SERVICE_WORDS[service],
                service=service,
                granted_units=units,
                zones=[
                    zones[code]
                    for code in (self.terms.data_zones if service == Service.DATA else ("home", "eu"))
                ],
                rollover_cap_units=units * self.terms.rollover_percent // 100,
                actor=ACTOR,
                at=at,
            )
        for price in PRICES:
            contracts.set_rate(
                version=version,
                service=price.service,
                zone=zones[price.zone],
                increment_units=price.increment_units,
                minimum_units=0,
                overage_price_micros=price.price_micros,
                overage_block_units=price.block_units,
                actor=ACTOR,
                at=at,
            )
        contracts.publish_version(version=version, actor=ACTOR, at=at)

    def _granted(self, current: Period) -> dict[Service, int]:
        since = max(current.starts_at, self.history_from)
        return bought.granted_units(self.terms, self.sums, (self.now - since) / (current.ends_at - since))

    def _make_marks(self) -> None:
        """Thresholds beside those that come with the contract: on the squeezed cost centre and on two
        lines.
        """
        made = {"actor": ACTOR, "at": self.began_at}
        centre = self._account(self.squeezed.code)
        if centre.thresholds.exists():
            return
        first = Line.objects.filter(enterprise=self.enterprise, msisdn=self.plan.lines[0].msisdn).get()
        with transaction.atomic():
            for percent in (80, 100):
                contracts.set_threshold(account=centre, service=Service.DATA, percent=percent, **made)
            contracts.set_threshold(line=first, service=Service.DATA, units=GIB, **made)
            for line in self.plan.lines:
                if line.profile == "runaway":
                    found = Line.objects.get(enterprise=self.enterprise, msisdn=line.msisdn)
                    contracts.set_threshold(line=found, service=Service.DATA, units=10 * GIB, **made)

    # --- the past
    # ----------------------------------------------------------------------------------------------

    def _live_through(self) -> Iterator[tuple[float, str]]:
        """Live through the cycles in order: close what ended, grant, allocate, then use, day by day."""
        delivery = ingest.Delivery(
            operator_id=self.operator.id,
            enterprise_id=self.enterprise.id,
            source_id=ingest.source(operator_id=self.operator.id, name=SOURCE),
            accepted_by=ACTOR,
        )
        delivered = UsageBatch.objects.filter(enterprise=self.enterprise, source_id=delivery.source_id)
        reached = delivered.aggregate(last=Max("accepted_at"))["last"] or self.history_from
        self._charge_waiting(reached)
        begun, used = self.history_from, 0
        for cycle in self._cycles():
            if cycle.ends_at <= reached:
                continue
            cycles.close_cycles(enterprise_id=self.enterprise.id, at=cycle.starts_at, actor=ACTOR)
            self._allocate(cycle)
            starts_at = max(cycle.starts_at, reached)
            while starts_at < min(cycle.ends_at, self.now):
                ends_at = min(starts_at + DAY, cycle.ends_at, self.now)
                if usages := self.history.usages(starts_at, ends_at):
                    with transaction.atomic():
                        ingest.record(delivery=delivery, usages=usages, at=ends_at)
                    self._charge_waiting(ends_at)
                used += len(usages)
                starts_at = ends_at
                yield (
                    (ends_at - begun) / (self.now - begun),
                    f"charged up to {ends_at:%d %B}, {used:,} records",
                )

    def _cycles(self) -> Iterator[Period]:
        cycle = bought.first_cycle(self.terms, self.now, self.days)
        while cycle.starts_at < self.now:
            yield cycle
            cycle = next_cycle(cycle, TIME_ZONE, bought.anchor_day(self.terms, self.now))

    def _charge_waiting(self, at: datetime) -> None:
        """Charge what waits as of `at`; where workers run already, they may be at it as well."""
        waiting = UsagePart.objects.filter(enterprise=self.enterprise, state="queued")
        while waiting.exists():
            try:
                pipeline.drain(self.enterprise.id, clock=lambda: at)
            except pipeline.Busy:
                time.sleep(0.2)

    def _allocate(self, cycle: Period) -> None:
        """Hand the divisions their part of the data and voice allowances, and the squeezed cost centre too
        little.
        """
        total = sum(self.sums.data_by_account.values()) or 1
        for service in (Service.DATA, Service.VOICE):
            top = Bucket.objects.get(
                enterprise=self.enterprise,
                kind=BucketKind.GRANT,
                service=service,
                cycle_start=cycle.starts_at,
            )
            for division in self.plan.children(""):
                share = self._data_used(division) / total * ALLOCATED_SHARE
                self._give(top.id, division, int(top.granted_units * share), cycle)
        top = Bucket.objects.get(
            enterprise=self.enterprise,
            kind=BucketKind.GRANT,
            service=Service.DATA,
            cycle_start=cycle.starts_at,
        )
        self._give(top.id, self.squeezed, int(self._data_used(self.squeezed) * SQUEEZED_SHARE), cycle)

    def _data_used(self, account: AccountPlan) -> int:
        return sum(self.sums.data_by_account[code] for code in self.plan.below(account.code))

    def _give(self, bucket_id: int, account: AccountPlan, units: int, cycle: Period) -> None:
        if units > 0:
            ledger.allocate(
                bucket_id=bucket_id,
                account_id=self._account(account.code).id,
                units=units,
                key=f"demo:{bucket_id}:{account.code}",
                actor=ACTOR,
                at=cycle.starts_at,
            )


def prepare_operator(name: str) -> Operator:
    """The operator with its zones."""
    operator, _ = Operator.objects.get_or_create(name=name)
    for zone in bought.ZONES:
        if not Zone.objects.filter(operator=operator, code=zone.code).exists():
            contracts.create_zone(
                operator=operator,
                code=zone.code,
                name=zone.name,
                networks=list(zone.networks),
                is_home=zone.is_home,
                is_default=zone.is_default,
                actor=ACTOR,
                at=datetime.now(UTC),
            )
    return operator


def _all_made(result) -> None:
    if result.errors:
        first = result.errors[0]
        raise LoadFailed(
            f"{len(result.errors)} rows; first: row {first.row}, {first.column}: {first.message}"
        )
