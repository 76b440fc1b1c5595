"""Contracts: drafts become versions that never change, grant what is due, and miss no rate."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from balances import contracts
from balances.errors import Refused
from balances.models import (
    Allowance,
    AuditEvent,
    Bucket,
    Contract,
    ContractVersion,
    Enterprise,
    Operator,
    Rate,
    Threshold,
    Zone,
)
from balances.models.buckets import BucketKind
from balances.models.contracts import VersionState
from balances.units import GIB, Service
from tests.cast import ACTOR, APRIL, DATA_UNITS, FEBRUARY, MARCH, NOW, Cast, House, set_rates

BY = {"actor": ACTOR, "at": NOW}
DAY = timedelta(days=1)


def draft(house: House, effective_at: datetime, **more: Any) -> ContractVersion:
    return contracts.draft_version(contract=house.contract, effective_at=effective_at, **{**BY, **more})


def allow(version: ContractVersion, **more: Any) -> Allowance:
    terms: dict[str, Any] = {"name": "Data", "service": Service.DATA, "granted_units": GIB}
    return contracts.add_allowance(version=version, **{**terms, **more}, **BY)


class TestZones:
    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({"code": "eu"}, "code"),
            ({"code": "No Blanks"}, "code"),
            ({"networks": ["20801", "208"]}, "networks"),
            ({"networks": ["D1"]}, "networks"),
            ({"is_home": True}, "is_home"),
            ({"is_default": True}, "is_default"),
        ],
    )
    def test_are_refused_by_field(self, cast: Cast, terms: dict[str, Any], field: str) -> None:
        with pytest.raises(Refused) as refusal:
            contracts.create_zone(
                operator=cast.operator, **{"code": "sea", "name": "At sea", "networks": [], **terms}, **BY
            )
        assert refusal.value.field == field
        assert Zone.objects.count() == 3

    def test_of_another_operator_cannot_be_sold(self, cast: Cast) -> None:
        other = Operator.objects.create(name="Südnetz")
        zone = contracts.create_zone(operator=other, code="home", name="Home", networks=["262"], **BY)
        version = draft(cast.aurora, APRIL)
        with pytest.raises(contracts.NotFound):
            allow(version, zones=[zone])
        with pytest.raises(contracts.NotFound):
            contracts.set_rate(
                version=version,
                service=Service.DATA,
                zone=zone,
                increment_units=1,
                minimum_units=0,
                overage_price_micros=1,
                overage_block_units=1,
                **BY,
            )


class TestContract:
    TERMS: dict[str, Any] = {
        "number": "C-2",
        "starts_at": FEBRUARY,
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "cycle_anchor_day": 1,
    }

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({"time_zone": "Europe/Atlantis"}, "time_zone"),
            ({"time_zone": "../etc/passwd"}, "time_zone"),
            ({"currency": "TALER"}, "currency"),
            ({"cycle_anchor_day": 0}, "cycle_anchor_day"),
            ({"cycle_anchor_day": 32}, "cycle_anchor_day"),
            ({"ends_at": FEBRUARY}, "ends_at"),
            ({"late_usage_days": -1}, "late_usage_days"),
            ({"starts_at": datetime(2026, 2, 1)}, "starts_at"),
            ({"number": "C-A-1000", "starts_at": FEBRUARY - DAY, "ends_at": FEBRUARY}, "number"),
            ({"starts_at": NOW}, "starts_at"),
            ({"starts_at": FEBRUARY - DAY, "ends_at": FEBRUARY + DAY}, "starts_at"),
        ],
    )
    def test_is_refused_by_field(self, cast: Cast, terms: dict[str, Any], field: str) -> None:
        with pytest.raises(Refused) as refusal:
            contracts.create_contract(enterprise=cast.aurora.enterprise, **{**self.TERMS, **terms}, **BY)
        assert refusal.value.field == field
        assert Contract.objects.filter(enterprise=cast.aurora.enterprise).count() == 1

    def test_may_end_where_the_next_begins(self, cast: Cast) -> None:
        terms = {**self.TERMS, "starts_at": FEBRUARY - 30 * DAY, "ends_at": FEBRUARY}
        contract = contracts.create_contract(enterprise=cast.aurora.enterprise, **terms, **BY)
        with pytest.raises(contracts.NotValid):
            contracts.draft_version(contract=contract, effective_at=FEBRUARY, **BY)


class TestDraft:
    def test_copies_terms_and_can_then_differ(self, cast: Cast) -> None:
        source = cast.aurora.version
        copied = draft(cast.aurora, APRIL, copy_from=source)
        assert (copied.number, copied.state) == (2, VersionState.DRAFT)
        assert Rate.objects.filter(version=copied).count() == 12
        data = Allowance.objects.get(version=copied, service=Service.DATA)
        assert {zone.code for zone in data.zones.all()} == {"home", "eu"}
        contracts.remove_allowance(allowance=data, **BY)
        allow(copied, granted_units=7 * GIB)
        assert Allowance.objects.get(version=source, service=Service.DATA).granted_units == DATA_UNITS

    def test_copies_nothing_of_another_enterprise(self, cast: Cast) -> None:
        with pytest.raises(contracts.NotFound):
            draft(cast.aurora, APRIL, copy_from=cast.borealis.version)
        assert ContractVersion.objects.filter(enterprise=cast.aurora.enterprise).count() == 1

    def test_rate_set_twice_is_one_rate(self, cast: Cast) -> None:
        version = draft(cast.aurora, APRIL)
        set_rates(version, cast.zones)
        set_rates(version, cast.zones)
        assert Rate.objects.filter(version=version).count() == 12

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({"granted_units": -1}, "granted_units"),
            ({"granted_units": 1.5}, "granted_units"),
            ({"granted_units": 2**60}, "granted_units"),
            ({"service": 9}, "service"),
            ({"priority": 0}, "priority"),
            ({"rollover_cap_units": -1}, "rollover_cap_units"),
            ({"name": ""}, "name"),
        ],
    )
    def test_allowance_is_refused_by_field(self, cast: Cast, terms: dict[str, Any], field: str) -> None:
        version = draft(cast.aurora, APRIL)
        with pytest.raises(Refused) as refusal:
            allow(version, **terms)
        assert refusal.value.field == field


class TestPublishing:
    def test_grants_each_cycle_that_is_due(self, cast: Cast) -> None:
        granted = Bucket.objects.filter(enterprise=cast.aurora.enterprise, kind=BucketKind.GRANT)
        assert sorted(set(granted.values_list("cycle_start", flat=True))) == [FEBRUARY, MARCH]
        assert {bucket.account_id for bucket in granted} == {cast.aurora.root.id}

    def test_makes_the_default_thresholds_once(self, cast: Cast) -> None:
        marks = Threshold.objects.filter(account=cast.aurora.root, service=Service.DATA)
        assert sorted(marks.values_list("percent", flat=True)) == [50, 80, 100]
        contracts.remove_threshold(threshold=marks.get(percent=50), **BY)
        again = draft(cast.aurora, APRIL, copy_from=cast.aurora.version)
        contracts.publish_version(version=again, **BY)
        assert sorted(marks.values_list("percent", flat=True)) == [80, 100]

    def test_is_refused_without_a_rate_for_each_service_and_zone(self, cast: Cast) -> None:
        version = draft(cast.aurora, APRIL)
        with pytest.raises(contracts.NotReady, match="neither"):
            contracts.publish_version(version=version, **BY)
        allow(version)
        with pytest.raises(contracts.NotReady, match="data in Home, data in European Union, data in World"):
            contracts.publish_version(version=version, **BY)
        set_rates(version, cast.zones)
        contracts.create_zone(operator=cast.operator, code="sea", name="At sea", networks=["901"], **BY)
        with pytest.raises(contracts.NotReady, match="data in At sea"):
            contracts.publish_version(version=version, **BY)
        version.refresh_from_db()
        assert version.state == VersionState.DRAFT

    def test_is_refused_outside_the_contract_and_twice_at_one_instant(self, cast: Cast) -> None:
        with pytest.raises(contracts.NotValid, match="before its contract begins"):
            draft(cast.aurora, FEBRUARY - DAY)
        same = draft(cast.aurora, FEBRUARY, copy_from=cast.aurora.version)
        with pytest.raises(contracts.AlreadyUsed) as refusal:
            contracts.publish_version(version=same, **BY)
        assert refusal.value.field == "effective_at"

    def test_in_the_middle_of_a_cycle_keeps_what_the_cycle_was_opened_with(self, cast: Cast) -> None:
        version = draft(cast.aurora, NOW, copy_from=cast.aurora.version)
        contracts.remove_allowance(allowance=version.allowances.get(service=Service.DATA), **BY)
        allow(version, granted_units=GIB)
        before = set(Bucket.objects.values_list("id", flat=True))
        published = contracts.publish_version(version=version, **BY)
        assert (published.state, published.published_at) == (VersionState.PUBLISHED, NOW)
        assert set(Bucket.objects.values_list("id", flat=True)) == before
        assert AuditEvent.objects.filter(action="contract.version.published", subject=str(version)).exists()

    def test_ends_all_change_by_function_and_by_hand(self, cast: Cast) -> None:
        version, zones = cast.aurora.version, cast.zones
        with pytest.raises(contracts.Published):
            allow(version)
        with pytest.raises(contracts.Published):
            set_rates(version, zones)
        with pytest.raises(contracts.Published):
            contracts.publish_version(version=version, **BY)
        with pytest.raises(contracts.Published):
            contracts.remove_allowance(allowance=version.allowances.first(), **BY)
        for touch in (
            lambda: Rate.objects.filter(version=version).update(overage_price_micros=0),
            lambda: Rate.objects.filter(version=version).delete(),
            lambda: Allowance.objects.filter(version=version).update(granted_units=0),
        ):
            with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
                touch()


class TestThresholds:
    def test_of_lines_and_accounts_are_set_once_and_removed(self, cast: Cast) -> None:
        line = cast.aurora.lines["press 7"]
        first = contracts.set_threshold(line=line, service=Service.DATA, units=GIB, **BY)
        again = contracts.set_threshold(line=line, service=Service.DATA, units=GIB, **BY)
        assert first == again
        north = cast.aurora.accounts["NORTH"]
        contracts.set_threshold(account=north, service=Service.DATA, percent=90, **BY)
        contracts.remove_threshold(threshold=first, **BY)
        assert not Threshold.objects.filter(line=line).exists()
        with pytest.raises(Refused):
            contracts.remove_threshold(threshold=again, **BY)

    @pytest.mark.parametrize(
        "terms",
        [
            {"percent": 50, "units": 5},
            {},
            {"percent": 0},
            {"percent": 1001},
            {"units": 0},
            {"units": 5, "service": 9},
        ],
    )
    def test_are_refused_where_they_mean_nothing(self, cast: Cast, terms: dict[str, Any]) -> None:
        with pytest.raises(Refused):
            contracts.set_threshold(account=cast.aurora.root, **{"service": Service.DATA, **terms}, **BY)

    def test_need_one_owner(self, cast: Cast) -> None:
        with pytest.raises(Refused):
            contracts.set_threshold(service=Service.DATA, percent=50, **BY)
        with pytest.raises(Refused):
            contracts.set_threshold(
                account=cast.aurora.root,
                line=cast.aurora.lines["press 7"],
                service=Service.DATA,
                percent=50,
                **BY,
            )

    def test_are_bounded(self, cast: Cast) -> None:
        for units in range(1, 21):
            contracts.set_threshold(account=cast.aurora.accounts["NORTH"], service=Service.VOICE, units=units, **BY)
        with pytest.raises(Refused, match="At most 20"):
            contracts.set_threshold(account=cast.aurora.accounts["NORTH"], service=Service.VOICE, units=21, **BY)


def test_enterprise_without_charging_state_is_refused(cast: Cast) -> None:
    bare = Enterprise.objects.create(operator=cast.operator, name="Bare", number="X")
    with pytest.raises(Refused, match="not set up"):
        contracts.create_contract(enterprise=bare, **TestContract.TERMS, **BY)
