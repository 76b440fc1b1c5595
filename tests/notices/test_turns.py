"""What a turn of telling asks the database: little more for many facts than for one, and no less than it must know."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from balances import contracts
from balances.units import GIB
from portal.models import Delivery, Notice
from portal.notices import outbox, turns
from tests.api.client import charge, used
from tests.cast import ACTOR, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}
pytestmark = pytest.mark.django_db


def asked(cast: Cast, marks: int) -> int:
    """Queries of the turn that tells that so many marks of a line were reached."""
    before = Notice.objects.count()
    for number in range(marks):
        contracts.set_threshold(line=cast.aurora.lines["emil phone"], service=1, units=before + number + 1, **DOING)
    charge(cast.aurora, used(before + 1, units=GIB))
    with CaptureQueriesContext(connection) as queries:
        assert len(outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=NOW).notices) == marks
    return len(queries)


def test_another_fact_costs_a_turn_few_questions(cast: Cast) -> None:
    first, second = asked(cast, 1), asked(cast, 11)
    assert (second - first) / 10 <= 6
    assert Delivery.objects.filter(channel="portal").count() == 3 * 12


def test_something_is_asked_once_a_turn_and_each_time_outside() -> None:
    heard: list[int] = []
    ask = turns.once(lambda number: heard.append(number) or number)
    assert (ask(1), ask(1)) == (1, 1)
    with turns.turn():
        assert (ask(2), ask(2), ask(3)) == (2, 2, 3)
    with turns.turn():
        ask(2)
    assert heard == [1, 1, 2, 3, 2]


def test_what_somebody_else_told_meanwhile_is_left_out_and_the_rest_is_told(cast: Cast) -> None:
    asked(cast, 1)
    told = Notice.objects.get()
    rows = [
        Notice(
            key=key, enterprise_id=told.enterprise_id, line=told.line, kind=told.kind, severity=told.severity, facts={},
            happened_at=NOW, created_at=NOW + timedelta(seconds=1),
        )
        for key in ("another", told.key, "a third")
    ]  # fmt: skip
    assert [notice.key for notice in outbox._made(rows)] == ["another", "a third"]
    assert Notice.objects.count() == 3
