"""Whose usage a line's is: of whoever had the line when it was used, also where the company pays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from balances import contracts, inventory
from balances.models import ChargeLine, Counter, Crossing, UsageRecord
from balances.models.counters import Grain, OwnerKind
from balances.selectors import charges, lines, pages
from balances.selectors.terms import terms_at
from portal.access import scope_of
from portal.models import Membership, Notice, Role, User
from portal.notices import outbox
from portal.notices.recipients import recipients_of
from tests.api.client import charge, used
from tests.cast import ACTOR, NOW, Cast

HANDED_OVER = datetime(2026, 3, 12, 9, tzinfo=UTC)


@pytest.fixture
def fridas(cast: Cast) -> User:
    """Frida signs in, too: as the employee who gets Emil's phone on 12 March."""
    frida = User.objects.create(email="frida@example.org", name="Frida")
    Membership.objects.create(
        user=frida, role=Role.EMPLOYEE, enterprise=cast.aurora.enterprise, person=cast.aurora.people["P-2"]
    )
    phone = cast.aurora.lines["emil phone"]
    contracts.set_threshold(line=phone, service=1, units=1000, actor=ACTOR, at=NOW)
    charge(cast.aurora, used(1, started_at="2026-02-10T09:00:00+01:00"), used(2))
    inventory.change_person(line=phone, person=cast.aurora.people["P-2"], actor=ACTOR, at=HANDED_OVER)
    charge(cast.aurora, used(3, started_at="2026-03-13T09:00:00+01:00", units=5120))
    outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=NOW)
    return frida


def ids_of(records) -> set[str]:
    return set(records.values_list("source_record_id", flat=True))


def test_the_former_user_keeps_their_own_and_none_of_the_new_one(cast: Cast, fridas: User) -> None:
    assert ids_of(UsageRecord.objects.within(scope_of(cast.emil))) == {"cdr-1", "cdr-2"}
    assert ids_of(UsageRecord.objects.within(scope_of(fridas))) == {"cdr-3"}
    assert ids_of(UsageRecord.objects.within(scope_of(cast.carla))) == {"cdr-1", "cdr-2", "cdr-3"}


def test_charge_lines_marks_and_notices_are_theirs_who_had_the_line_then(cast: Cast, fridas: User) -> None:
    emils, new = scope_of(cast.emil), scope_of(fridas)
    assert ChargeLine.objects.within(emils).count() == 2
    assert ChargeLine.objects.within(new).count() == 1
    assert Crossing.objects.within(emils).exists()
    assert Notice.objects.within(emils).exists()
    assert not Crossing.objects.within(new).exists()
    assert not Notice.objects.within(new).exists()


def test_a_cycle_of_two_users_is_added_up_for_the_new_one_from_records(cast: Cast, fridas: User) -> None:
    phone, new = cast.aurora.lines["emil phone"], scope_of(fridas)
    terms = terms_at(phone.enterprise_id, NOW)
    assert not Counter.objects.within(new).exists()
    zones = lines.usage_by_zone(new, phone, terms)
    assert [(zone.zone_name, zone.used_units, zone.records) for zone in zones] == [("Home", 5120, 1)]
    assert lines.with_usage(new, [phone], terms)[0].by_service[1].used_units == 5120
    page = pages.line_page(new, phone.id, clock=lambda: NOW)
    assert page.usage[1].used_units == 5120
    assert sum(day.units for day in page.days) == 5120
    assert [shown.usage.source_record_id for shown in page.latest] == ["cdr-3"]
    assert lines.usage_by_zone(scope_of(cast.alice), phone, terms)[0].used_units == 7168


def test_counters_are_the_users_in_cycles_of_theirs_alone(cast: Cast, fridas: User) -> None:
    seen = Counter.objects.within(scope_of(cast.emil)).filter(owner_kind=OwnerKind.LINE, grain=Grain.CYCLE)
    assert [counter.used_units for counter in seen] == [2048]  # February's
    tablet = cast.aurora.lines["emil tablet"]
    charge(cast.aurora, used(4, msisdn=tablet.msisdn))
    assert seen.filter(owner_id=tablet.id).count() == 1


def test_of_late_usage_is_told_who_had_the_line_then(cast: Cast, fridas: User) -> None:
    threshold = contracts.set_threshold(
        line=cast.aurora.lines["emil phone"], service=1, units=2**20, actor=ACTOR, at=NOW
    )
    charge(cast.aurora, used(9, units=2**21, started_at=(HANDED_OVER - timedelta(hours=1)).isoformat()))
    outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=NOW)
    notice = Notice.objects.get(facts__level_units=threshold.units)
    told = {recipient.user_id for recipient in recipients_of(notice, NOW)}
    assert cast.emil.id in told
    assert fridas.id not in told


def test_a_line_that_is_nobodys_any_more_shows_nothing_new(cast: Cast) -> None:
    phone = cast.aurora.lines["emil phone"]
    charge(cast.aurora, used(1))
    inventory.change_person(line=phone, person=None, actor=ACTOR, at=HANDED_OVER)
    charge(cast.aurora, used(2, started_at=(HANDED_OVER + timedelta(days=1)).isoformat()))
    scope = scope_of(cast.emil)
    assert ids_of(UsageRecord.objects.within(scope)) == {"cdr-1"}
    with pytest.raises(UsageRecord.DoesNotExist):
        charges.explain(scope, UsageRecord.objects.get(source_record_id="cdr-2").id)
