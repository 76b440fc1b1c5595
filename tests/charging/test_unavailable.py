"""A server that goes away is nobody's fault: no record is suspended for it, no attempt counted; and what was parked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from django.core.management import call_command
from django.db import InterfaceError, OperationalError

from balances.models import SuspendedUsage, UsagePart
from portal.charging import pipeline, writing
from tests.charging.test_pipeline import drain, proven, used

if TYPE_CHECKING:
    from tests.charging.small_world import World


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, psycopg.OperationalError])
def test_a_lost_connection_suspends_nothing_and_counts_no_attempt(world: World, monkeypatch, error) -> None:
    world.accept([used("x", "a", 1)])

    def go_away(*_: object) -> None:
        raise error("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write", go_away)
        with pytest.raises(pipeline.UNAVAILABLE):
            drain(world)
    assert list(UsagePart.objects.values_list("state", "attempts")) == [("queued", 0)]
    assert not SuspendedUsage.objects.exists()
    assert drain(world).records == 1


def test_parked_parts_are_charged_once_somebody_asks_for_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.accept([used("x", "a", 1)])
    UsagePart.objects.update(state="parked", attempts=20)
    assert drain(world).parts == 0
    call_command("retry_parked")
    assert "1 parked parts" in capsys.readouterr().out
    assert drain(world).records == 1
    assert proven(world)
