"""Exchange between services: whole units at the contract's rate, once for a key, never without a rate."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from balances import contracts, cycles, exchange, proof
from balances.contracts import Published
from balances.errors import Refused
from balances.exchange import NoRate, TooLittle
from balances.ledger import KeyConflict, NotEnough
from balances.models import AuditEvent, Bucket, ContractVersion, Exchange, ExchangeRate
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, SERVICES, START, World
from tests.charging.test_pipeline import charge, charged, used

pytestmark = pytest.mark.django_db
DOING = {"actor": ACTOR, "at": START}
DATA, VOICE = SERVICES["data"], SERVICES["voice"]


def rated(world: World, from_units: int, to_units: int) -> ContractVersion:
    """A version of the same terms in force since a day before START, with a rate from data to voice."""
    old = ContractVersion.objects.filter(enterprise=world.enterprise).order_by("effective_at")[0]
    since = START - timedelta(days=1)
    version = contracts.draft_version(contract=old.contract, effective_at=since, copy_from=old, **DOING)
    terms = {"from_service": DATA, "to_service": VOICE, "from_units": from_units, "to_units": to_units}
    exchange.set_rate(version=version, **terms, **DOING)
    return contracts.publish_version(version=version, **DOING)


@pytest.fixture
def world() -> World:
    pipeline.forget_everything()
    return World()


def data(world: World) -> Bucket:
    return Bucket.objects.get(enterprise=world.enterprise, name="Data", cycle_start=BOUNDARIES[1])


def swap(world: World, units: int, **changes) -> Exchange:
    asked = {"bucket_id": data(world).id, "to_service": VOICE, "units": units, **DOING}
    return exchange.exchange(**asked | changes)


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


def test_what_buys_no_whole_unit_is_not_given(world: World):
    rated(world, 3, 2)
    done = swap(world, 10)
    assert (done.given_units, done.received_units) == (9, 6)
    assert (data(world).remaining_units, data(world).given_units) == (91, 9)
    target = Bucket.objects.get(id=done.to_bucket_id)
    assert (target.service, target.remaining_units, target.account_id) == (VOICE, 6, data(world).account_id)
    assert swap(world, 3).to_bucket_id == target.id
    assert AuditEvent.objects.filter(action="bucket.exchanged").count() == 2
    assert proven(world)


def test_what_was_received_is_used_and_expires_with_the_cycle(world: World):
    rated(world, 1, 2)
    done = swap(world, 5)
    charge(world, used("1", "a", 55, service="voice"))
    assert charged("1")[0].overage_units == 0
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=BOUNDARIES[2], actor=ACTOR)
    target = Bucket.objects.get(id=done.to_bucket_id)
    assert (target.used_units + target.expired_units, target.remaining_units) == (10, 0)
    assert proven(world)


def test_a_key_makes_repeating_harmless(world: World):
    rated(world, 3, 2)
    assert swap(world, 10, key="k") == swap(world, 10, key="k")
    for change in ({"units": 11}, {"to_service": SERVICES["messaging"]}):
        with pytest.raises(KeyConflict):
            swap(world, **{"units": 10, "key": "k", **change})
    assert data(world).given_units == 9


def test_nothing_is_exchanged_without_a_rate_or_beyond_what_there_is(world: World):
    with pytest.raises(NoRate):
        swap(world, 10)
    rated(world, 30, 1)
    for refusal, changes in (
        (NoRate, {"to_service": SERVICES["messaging"]}),
        (TooLittle, {"units": 29}),
        (NotEnough, {"units": 130}),
        (Refused, {"units": 0}),
        (Refused, {"bucket_id": 0}),
        (Refused, {"at": BOUNDARIES[2]}),
        (Refused, {"key": "k" * 101}),
    ):
        with pytest.raises(refusal):
            swap(world, **{"units": 60, **changes})
    assert not Exchange.objects.exists()


def test_rates_are_frozen_with_their_version_and_copied_to_the_next(world: World):
    version = rated(world, 3, 2)
    rate = version.exchange_rates.get()
    for refused in (
        lambda: exchange.remove_rate(rate=rate, **DOING),
        lambda: exchange.set_rate(
            version=version, from_service=DATA, to_service=VOICE, from_units=1, to_units=1, **DOING
        ),
    ):
        with pytest.raises(Published):
            refused()
    swap(world, 3)
    for statement in ("UPDATE balances_exchangerate SET to_units = 9", "UPDATE balances_exchange SET given_units = 1"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    draft = contracts.draft_version(contract=version.contract, effective_at=START, copy_from=version, **DOING)
    copied = draft.exchange_rates.get()
    assert (copied.from_units, copied.to_units) == (3, 2)
    exchange.remove_rate(rate=copied, **DOING)
    assert ExchangeRate.objects.get() == rate
    with pytest.raises(Refused):
        exchange.set_rate(version=draft, from_service=DATA, to_service=DATA, from_units=1, to_units=1, **DOING)


@given(st.integers(1, 2**40), st.integers(1, 10**6), st.integers(1, 10**6))
def test_rounding_gives_the_least_for_the_most(units, from_units, to_units):
    """What `quote` reckons, as the page says it."""
    received = units * to_units // from_units
    if not received:
        return
    given = -(-received * from_units // to_units)
    assert given <= units
    assert given * to_units // from_units == received
    assert (given - 1) * to_units // from_units < received
