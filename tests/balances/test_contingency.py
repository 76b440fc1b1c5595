"""What is set aside is not drawn before it opens: by hand, on its date, or when all else is used up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances import allocation, contingency, cycles, ledger, proof, reservations
from balances.allocation_plan import Wish
from balances.contingency import NotSetAside
from balances.errors import Refused
from balances.ledger import NotEnough
from balances.models import AuditEvent, Bucket
from portal.charging import pipeline
from tests.balances.test_allocation import number, receiver
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World
from tests.charging.test_pipeline import charge, charged, used

pytestmark = pytest.mark.django_db
DOING = {"actor": ACTOR, "at": START}
HOME = "grant:Data at home:1"


@pytest.fixture
def world() -> World:
    pipeline.forget_everything()
    return World()


def aside(world: World, units: int, rule: str = "by_hand", **changes) -> Bucket:
    return contingency.set_aside(**{"bucket_id": number(world), "units": units, "rule": rule, **DOING, **changes})


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


def test_what_is_set_aside_is_not_drawn_until_it_is_released(world: World):
    held = aside(world, 60)
    charge(world, used("1", "a", 100))  # 40 at home and 40 of the 100
    assert charged("1")[0].overage_units == 20
    contingency.release(bucket_id=held.id, **DOING)
    charge(world, used("2", "a", 60))
    assert charged("2")[0].overage_units == 0
    assert [event.action for event in AuditEvent.objects.filter(action__startswith="bucket.").order_by("id")] == [
        "bucket.set_aside",
        "bucket.released",
    ]
    assert proven(world)


def test_what_opens_when_all_else_is_used_up_is_the_last_of_its_owner(world: World):
    held = aside(world, 30, "on_exhaustion", bucket_id=number(world, HOME))
    charge(world, used("1", "a", 120))
    drawn = dict(zip(charged("1")[0].bucket_ids, charged("1")[0].bucket_units, strict=True))
    assert drawn == {number(world, HOME): 10, number(world): 100, held.id: 10}
    assert proven(world)


def test_a_slice_opens_on_its_date(world: World):
    day = timedelta(days=1)
    held = aside(world, 60, "on_date", release_at=START + day)
    assert aside(world, 5, "on_date", release_at=START + 2 * day).id != held.id
    assert contingency.release_due(actor="beat", at=START + day - timedelta(seconds=1)) == 0
    assert contingency.release_due(actor="beat", at=START + day) == 1
    assert contingency.release_due(actor="beat", at=START + day) == 0
    assert Bucket.objects.get(id=number(world)).remaining_units == 95
    assert proven(world)


def test_the_same_rule_again_adds_to_the_slice_and_a_part_can_be_released(world: World):
    held = aside(world, 10)
    assert aside(world, 5).id == held.id
    contingency.release(bucket_id=held.id, units=4, **DOING)
    held.refresh_from_db()
    assert (held.remaining_units, Bucket.objects.get(id=number(world)).remaining_units) == (11, 89)


def test_what_was_set_aside_is_carried_over_with_the_rest(world: World):
    aside(world, 60)
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=BOUNDARIES[2], actor=ACTOR)
    carried = Bucket.objects.filter(kind="rollover", cycle_start=BOUNDARIES[2], name__startswith="Data")
    assert sum(bucket.received_units for bucket in carried) == 30
    assert proven(world)


def test_what_is_set_aside_cannot_be_given_reserved_or_set_aside_again(world: World):
    held = aside(world, 60)
    wishes = [Wish(1, receiver(world, "N"), units=5)]
    expires_at = START + timedelta(hours=1)
    for refused in (
        lambda: allocation.apply(bucket_id=held.id, wishes=wishes, **DOING),
        lambda: ledger.allocate(bucket_id=held.id, account_id=world.accounts["N"].id, units=5, **DOING),
        lambda: reservations.reserve(bucket_id=held.id, key="k", units=5, expires_at=expires_at, **DOING),
        lambda: aside(world, 5, bucket_id=held.id),
    ):
        with pytest.raises(Refused) as refusal:
            refused()
        assert "release it first" in refusal.value.message


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        (NotEnough, {"units": 101}),
        (Refused, {"units": 0}),
        (Refused, {"rule": "never"}),
        (NotSetAside, {"rule": "on_date"}),
        (NotSetAside, {"release_at": START + timedelta(days=1)}),
        (NotSetAside, {"rule": "on_date", "release_at": START}),
        (NotSetAside, {"rule": "on_date", "release_at": BOUNDARIES[2]}),
        (NotSetAside, {"bucket_id": 0}),
        (Refused, {"at": BOUNDARIES[2]}),
    ],
)
def test_what_cannot_be_is_refused(world: World, refusal, changes):
    with pytest.raises(refusal):
        aside(world, **{"units": 5, **changes})
    for bucket_id, units in ((number(world), 1), (0, 1)):
        with pytest.raises(NotSetAside):
            contingency.release(bucket_id=bucket_id, units=units, **DOING)
