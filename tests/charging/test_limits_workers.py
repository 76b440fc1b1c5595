"""Four processes charge one enterprise at once, and consent at once: no limit is passed by a unit.

`block_new` is passed by the event that crosses it, and by none after it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connection

from policies.models import Consent, LimitUse
from portal.charging import pipeline
from portal.charging.state import EnterpriseState
from tests.charging.small_world import START, World
from tests.charging.test_limits import granted, limit, sound
from tests.charging.test_pipeline import charge, used
from tests.databases import with_database

WORKERS, DELIVERIES, UNITS = 4, 60, 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(240)
def test_four_workers_pass_no_limit_and_two_consents_at_once_are_one() -> None:
    world = World()
    stops, consents, blocks = (
        limit(world, "S", 100),
        limit(world, "N", 60, "consent"),
        limit(world, "d", 40, "block_new"),
    )
    for number in range(DELIVERIES):
        at = START - timedelta(minutes=number)
        world.accept([used(f"{number}-{line}", line, UNITS, at) for line in "abccccd"], START)
    environment = {
        **os.environ,
        "DATABASE_URL": with_database(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]),
    }
    command = [sys.executable, "-m", "tests.charging.drain_worker"]
    arguments = [str(world.enterprise.id), START.isoformat(), str(consents.id)]
    workers = [subprocess.Popen([*command, *arguments], env=environment) for _ in range(WORKERS)]
    assert [worker.wait(200) for worker in workers] == [0] * WORKERS

    used_of = dict(LimitUse.objects.values_list("limit_id", "used"))
    assert used_of == {stops.id: 100, consents.id: 100, blocks.id: 42}
    assert Consent.objects.count() == 1
    assert sound(world)


def test_a_worker_that_does_not_look_again_would_be_seen_to_pass_a_limit(world: World, monkeypatch) -> None:
    """The control: what keeps workers within a limit is that they compare sequences under the lock."""
    limit(world, "N", 30)
    charge(world, used("1", "a", 20))
    first = pipeline._states
    pipeline.forget_everything()
    charge(world, used("2", "a", 10))
    monkeypatch.setattr(EnterpriseState, "refresh", lambda *_: None)
    monkeypatch.setattr(pipeline, "_states", first)
    charge(world, used("3", "a", 10))
    assert granted("3") == (10, 0)
    assert not sound(world)
