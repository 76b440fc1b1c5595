"""Suspense: reasons in words, correction, recycling exactly once, writing off, and who may do so."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections

from balances import inventory
from balances.errors import Refused
from balances.models import AuditEvent, SuspendedUsage, UsageIdentity, UsagePart, UsageRecord
from balances.models.usage import SuspenseReason, SuspenseState
from balances.scope import Verb
from portal.access import scope_of
from portal.charging import ingest, pipeline, suspense, trial
from portal.charging.records import read_mapping
from tests.cast import ACTOR, NOW, Cast

USED = "2026-03-10T09:00:00+01:00"
EMIL = "4917010000001"


@pytest.fixture(autouse=True)
def _fresh_memory():
    pipeline.forget_everything()


def record(number: int = 1, **changes) -> dict:
    return {
        "source_record_id": f"cdr-{number}",
        "service": "data",
        "msisdn": EMIL,
        "units": 1024,
        "started_at": USED,
    } | changes


def send(cast: Cast, *mappings: dict, enterprise="aurora") -> None:
    """Deliver records and charge them."""
    enterprise_id = getattr(cast, enterprise).enterprise.id if enterprise else None
    delivery = ingest.Delivery(
        operator_id=cast.operator.id,
        enterprise_id=enterprise_id,
        source_id=ingest.source(operator_id=cast.operator.id, name="Mediation"),
        accepted_by="test",
    )
    ingest.accept(delivery=delivery, usages=[read_mapping(mapping) for mapping in mappings], at=NOW)
    drain(cast)


def drain(cast: Cast) -> None:
    for enterprise_id in (cast.aurora.enterprise.id, cast.borealis.enterprise.id, None):
        pipeline.drain(enterprise_id, clock=lambda: NOW)


def recycle(cast: Cast, *rows: SuspendedUsage, by: str = "alice", **corrections) -> int:
    count = suspense.recycle(
        ids=[row.id for row in rows],
        corrections=corrections,
        scope=scope_of(getattr(cast, by)),
        actor=ACTOR,
        at=NOW,
    )
    drain(cast)
    return count


def test_every_reason_says_what_happened_and_how_to_mend_it():
    assert set(suspense.REASON_TEXTS) == set(SuspenseReason)
    for text in suspense.REASON_TEXTS.values():
        assert text.title
        assert text.happened.endswith(".")
        assert text.mend.endswith(".")


@pytest.mark.django_db
def test_a_corrected_record_is_charged_once_under_its_own_id(cast: Cast):
    send(cast, record(msisdn="4917099999999"))
    row = SuspendedUsage.objects.get()
    assert row.reason == SuspenseReason.UNKNOWN_LINE

    assert recycle(cast, row, msisdn=EMIL) == 1
    assert recycle(cast, row, msisdn=EMIL) == 0

    row.refresh_from_db()
    usage = UsageRecord.objects.get()
    assert (row.state, row.resolved_by, row.recycled_as_id) == (SuspenseState.RECYCLED, ACTOR, usage.part_id)
    assert usage.source_record_id == "cdr-1"
    assert UsageIdentity.objects.get().usage_id == usage.id
    event = AuditEvent.objects.get(action="suspense.recycled")
    assert event.detail["corrections"] == {"msisdn": EMIL}


@pytest.mark.django_db
def test_the_same_record_sent_again_after_recycling_is_the_first_answer(cast: Cast):
    send(cast, record(msisdn="4917099999999"))
    recycle(cast, SuspendedUsage.objects.get(), msisdn=EMIL)

    send(cast, record())  # what it was corrected to

    assert UsageRecord.objects.count() == 1
    assert UsagePart.objects.order_by("id").last().outcomes == "d"


@pytest.mark.django_db
def test_a_record_that_is_still_wrong_comes_back_with_its_new_reason(cast: Cast):
    send(cast, record(units=-5))
    recycle(cast, SuspendedUsage.objects.get(), units="12.5")

    first, second = SuspendedUsage.objects.order_by("id")
    assert first.state == SuspenseState.RECYCLED
    assert (second.state, second.reason) == (SuspenseState.OPEN, SuspenseReason.FRACTIONAL_UNITS)
    assert recycle(cast, second, units="12") == 1
    assert UsageRecord.objects.get().units == 12


@pytest.mark.django_db
def test_many_are_mended_by_one_correction(cast: Cast):
    send(cast, *(record(number, service="gprs") for number in range(30)))
    rows = list(SuspendedUsage.objects.all())

    assert recycle(cast, *rows, service="data") == 30
    assert UsageRecord.objects.count() == 30


@pytest.mark.django_db
def test_a_conflict_needs_an_id_of_its_own(cast: Cast):
    send(cast, record(), record(units=9), record(2, units=-1))
    conflict = SuspendedUsage.objects.get(reason=SuspenseReason.CONFLICT)
    negative = SuspendedUsage.objects.get(reason=SuspenseReason.NEGATIVE_UNITS)

    for corrections in ({}, {"units": "7"}, {"source_record_id": "cdr-1"}):
        with pytest.raises(suspense.NeedsNewId) as refusal:
            recycle(cast, conflict, **corrections)
        assert refusal.value.field == "source_record_id"
    assert recycle(cast, conflict, negative, units="5") == 1  # in bulk it is left alone
    conflict.refresh_from_db()
    assert conflict.state == SuspenseState.OPEN
    assert recycle(cast, conflict, source_record_id="cdr-1b") == 1
    assert UsageRecord.objects.count() == 3


@pytest.mark.django_db
def test_one_new_id_is_not_for_many(cast: Cast):
    send(cast, record(1, units=-1), record(2, units=-1))
    with pytest.raises(suspense.NotCorrectable):
        recycle(cast, *SuspendedUsage.objects.all(), source_record_id="same")
    with pytest.raises(suspense.NotCorrectable):
        recycle(cast, *SuspendedUsage.objects.all(), content_hash="1")


@pytest.mark.django_db
def test_an_emptied_id_is_refused_and_nothing_changes(cast: Cast):
    send(cast, record(units=-1))
    row = SuspendedUsage.objects.get()
    with pytest.raises(Refused) as refusal:
        recycle(cast, row, source_record_id=" ")
    assert refusal.value.field == "source_record_id"
    row.refresh_from_db()
    assert row.state == SuspenseState.OPEN


@pytest.mark.django_db
def test_a_written_off_record_stays_known_by_its_id(cast: Cast):
    send(cast, record(units=-1))
    row = SuspendedUsage.objects.get()
    alice = scope_of(cast.alice)

    with pytest.raises(Refused) as refusal:
        suspense.write_off(ids=[row.id], note=" ", scope=alice, actor=ACTOR, at=NOW)
    assert refusal.value.field == "note"
    assert suspense.write_off(ids=[row.id], note="A refund", scope=alice, actor=ACTOR, at=NOW) == 1
    assert suspense.write_off(ids=[row.id], note="Again", scope=alice, actor=ACTOR, at=NOW) == 0
    assert recycle(cast, row, units="1") == 0

    row.refresh_from_db()
    assert (row.state, row.note) == (SuspenseState.WRITTEN_OFF, "A refund")
    send(cast, record(units=-1))
    assert UsagePart.objects.order_by("id").last().outcomes == "d"


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["bruno", "carla", "dora", "emil", "mallory"])
def test_records_out_of_reach_are_as_if_they_were_not_there(cast: Cast, who: str):
    send(cast, record(units=-1))
    row = SuspendedUsage.objects.get()
    scope = scope_of(getattr(cast, who))

    assert not suspense.within(scope, Verb.VIEW).exists()
    assert recycle(cast, row, by=who, units="1") == 0
    assert suspense.write_off(ids=[row.id], note="Mine", scope=scope, actor=ACTOR, at=NOW) == 0
    row.refresh_from_db()
    assert row.state == SuspenseState.OPEN


@pytest.mark.django_db
def test_nobodys_records_are_the_operators_and_find_their_enterprise_when_recycled(cast: Cast):
    send(cast, record(1, msisdn="4917033300001"), record(2, msisdn="4917033300002"), enterprise=None)
    assert not suspense.within(scope_of(cast.alice)).exists()
    rows = list(suspense.within(scope_of(cast.olga)))
    assert len(rows) == 2
    for house, msisdn in ((cast.aurora, "4917033300001"), (cast.borealis, "4917033300002")):
        inventory.add_line(
            enterprise=house.enterprise, account=house.root, msisdn=msisdn, assigned_from=NOW - timedelta(days=20),
            actor=ACTOR, at=NOW,
        )  # fmt: skip

    assert recycle(cast, *rows, by="olga") == 2

    owners = {cast.aurora.enterprise.id, cast.borealis.enterprise.id}
    assert set(UsageRecord.objects.values_list("enterprise_id", flat=True)) == owners
    assert len(set(SuspendedUsage.objects.values_list("recycled_as_id", flat=True))) == 2


@pytest.mark.django_db
def test_a_manager_cannot_push_a_record_to_another_enterprise(cast: Cast):
    send(cast, record(units=-1))
    recycle(cast, SuspendedUsage.objects.get(), units="5", msisdn="4917020000001")
    assert not UsageRecord.objects.exists()
    assert SuspendedUsage.objects.order_by("id").last().reason == SuspenseReason.UNKNOWN_LINE


@pytest.mark.django_db
def test_the_outlook_is_what_then_happens(cast: Cast):
    send(cast, record(units=-1))
    row = SuspendedUsage.objects.get()

    def outlook(**corrections) -> trial.Outlook:
        usage = suspense.corrected(row.record, corrections)
        return trial.foresee(
            enterprise_id=row.enterprise_id, source_id=row.source_id, usage=usage, own_id=row.source_record_id, at=NOW
        )

    assert outlook().reason == SuspenseReason.NEGATIVE_UNITS
    assert outlook(units="5", started_at="2027-01-01T00:00:00Z").reason == SuspenseReason.FUTURE
    good = outlook(units="1500")
    assert (good.line_id, good.account_id) == (
        cast.aurora.lines["emil phone"].id,
        cast.aurora.accounts["N-FIELD"].id,
    )
    assert (good.units, good.overage_units) == (2048, 0)
    assert not UsageRecord.objects.exists()

    recycle(cast, row, units="1500")
    assert UsageRecord.objects.get().charged_units == 2048


@pytest.mark.django_db(transaction=True)
def test_two_recycles_at_once_recycle_once():
    from tests.cast import build

    cast = build()
    send(cast, *(record(number, units=-1) for number in range(50)))
    ids = list(SuspendedUsage.objects.values_list("id", flat=True))
    scope = scope_of(cast.alice)
    begin, counts = threading.Barrier(2), []

    def claim(order: list[int]) -> None:
        begin.wait(10)
        try:
            counts.append(suspense.recycle(ids=order, corrections={"units": "5"}, scope=scope, actor=ACTOR, at=NOW))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=claim, args=(order,)) for order in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    drain(cast)

    assert sorted(counts) == [0, 50]
    assert UsageRecord.objects.count() == 50
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(charged_count), sum(duplicate_count) FROM balances_usagepart")
        assert cursor.fetchone() == (50, 0)
