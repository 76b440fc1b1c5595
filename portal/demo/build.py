"""Builds one enterprise of the demo: tree, inventory, contract, thresholds; then its past (`portal.demo.past`).

Everything goes through the functions that users reach, dated as it would have been. Each step is done once: a
build that was killed goes on with the first step that is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from django.db import transaction

from balances import contracts, exchange, hierarchy, inventory_loads
from balances.loading import LoadResult
from balances.models import Account, Contract, Device, Enterprise, Line, Operator, Person, Zone
from balances.models.accounts import DrawAbove
from balances.units import GIB, Service
from clients.traffic.profiles import RUNAWAY
from portal.demo import market
from portal.demo.byod import Byod, declare_masking
from portal.demo.controls import Controls
from portal.demo.past import ACTOR, Past
from portal.demo.story import Story
from portal.demo.terms import PRICES, SWAPS, TIME_ZONE, ZONES

SERVICE_WORDS = {
    Service.DATA: "Data",
    Service.VOICE: "Voice",
    Service.MESSAGING: "Messages",
    Service.VIDEO_CONFERENCING: "Video conferences",
}


class LoadFailed(Exception):
    """A bulk load of the demo had rows with errors: the plan and the loaders do not fit."""


class EnterpriseBuild:
    """The making of one enterprise. `progress` is told what is being done and which part of it is finished."""

    enterprise: Enterprise

    def __init__(self, story: Story, operator: Operator, progress: Callable[[str, float], None]):
        self.story, self.plan, self.operator, self.progress = story, story.plan, operator, progress
        self.began_at = story.began_at

    def run(self) -> None:
        """Make whatever is missing."""
        name = self.plan.size.name
        self.progress(f"{name}: {len(self.plan.accounts) + 1} accounts, {len(self.plan.lines)} lines", 0.0)
        self._make_tree()
        self._make_inventory()
        self.progress(f"{name}: the contract", 0.05)
        self._make_contract()
        self._make_thresholds()
        declare_masking(self.story, self.enterprise)
        steering = Byod(self.story, self.enterprise) if self.story.key == "meridian" else None
        if steering is not None:
            steering.begin()
        for done, words in Past(self.story, self.enterprise).live_through():
            self.progress(f"{name}: {words}", 0.1 + 0.9 * done)
        market.open_market(self.story, self.enterprise)
        self.progress(f"{name}: what its managers have set", 0.99)
        Controls(self.story, self.enterprise).set_all()
        if steering is not None:
            steering.finish()

    # --- what there is ------------------------------------------------------------------------------------

    def _make_tree(self) -> None:
        size = self.plan.size
        found = Enterprise.objects.filter(operator=self.operator, number=size.number)
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
        if not self.story.terms.squeezed_draws_above:
            hierarchy.set_draw_above(
                account=self._account(self.story.squeezed.code),
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
                    n, line.imei, line.model, "personal" if line.is_personal_device else "corporate", line.device_type
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

    # --- the contract -------------------------------------------------------------------------------------

    @transaction.atomic
    def _make_contract(self) -> None:
        if Contract.objects.filter(enterprise=self.enterprise).exists():
            return
        at, zones = self.began_at, {zone.code: zone for zone in Zone.objects.filter(operator=self.operator)}
        contract = contracts.create_contract(
            enterprise=self.enterprise,
            number=f"C-{self.plan.size.number}",
            starts_at=at,
            time_zone=TIME_ZONE.key,
            currency="EUR",
            cycle_anchor_day=self.story.anchor_day,
            late_usage_days=90,
            actor=ACTOR,
            at=at,
        )
        version = contracts.draft_version(contract=contract, effective_at=at, actor=ACTOR, at=at)
        for service, units in self.story.granted_units().items():
            contracts.add_allowance(
                version=version,
                name=SERVICE_WORDS[service],
                service=service,
                granted_units=units,
                zones=[
                    zones[code] for code in (self.story.terms.data_zones if service == Service.DATA else ("home", "eu"))
                ],
                rollover_cap_units=units * self.story.terms.rollover_percent // 100,
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
        for swap in SWAPS:
            exchange.set_rate(
                version=version, from_service=swap.give, to_service=swap.get, from_units=swap.give_units,
                to_units=swap.get_units, actor=ACTOR, at=at,
            )  # fmt: skip
        contracts.publish_version(version=version, actor=ACTOR, at=at)

    def _make_thresholds(self) -> None:
        """Thresholds beside those that come with the contract: on the squeezed cost centre and on two
        lines.
        """
        made = {"actor": ACTOR, "at": self.began_at}
        centre = self._account(self.story.squeezed.code)
        if centre.thresholds.exists():
            return
        first = Line.objects.filter(enterprise=self.enterprise, msisdn=self.plan.lines[0].msisdn).get()
        with transaction.atomic():
            for percent in (80, 100):
                contracts.set_threshold(account=centre, service=Service.DATA, percent=percent, **made)
            contracts.set_threshold(line=first, service=Service.DATA, units=GIB, **made)
            for line in self.plan.lines:
                if line.profile == RUNAWAY:
                    found = Line.objects.get(enterprise=self.enterprise, msisdn=line.msisdn)
                    contracts.set_threshold(line=found, service=Service.DATA, units=10 * GIB, **made)


def prepare_operator(name: str) -> Operator:
    """The operator with its zones."""
    operator, _ = Operator.objects.get_or_create(name=name)
    for zone in ZONES:
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


def _all_made(result: LoadResult) -> None:
    if result.errors:
        first = result.errors[0]
        raise LoadFailed(f"{len(result.errors)} rows; first: row {first.row}, {first.column}: {first.message}")
