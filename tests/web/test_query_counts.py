"""Pages take a fixed number of queries, whatever the number of lines."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from balances import inventory
from balances.inventory import LineRow
from balances.units import MIB
from tests.cast import ACTOR, FEBRUARY, NOW, Cast
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db

#: Beside the page's own: session, user, memberships, claims.
BUDGETS = {"account": 34, "account-lines": 19, "line": 32, "operator": 16, "home": 8}


def add_lines(cast: Cast, first: int, count: int) -> None:
    """Lines in every corner of Aurora, each with some usage."""
    rows = [
        LineRow(row=number, msisdn=str(4917050000000 + number), account_code=code, assigned_from=FEBRUARY)
        for number, code in zip(
            range(first, first + count), ["N-FIELD", "N-SERVICE", "S-PLANT", "S-MACHINES"] * count, strict=False
        )
    ]
    result = inventory.load_lines(enterprise=cast.aurora.enterprise, rows=rows, actor=ACTOR, at=NOW)
    assert not result.errors
    lines = cast.aurora.enterprise.lines.filter(msisdn__startswith="49170500").order_by("-id")[:count]
    charge(cast.aurora, *(used(line, "data", MIB) for line in lines))


def queries_of(cast: Cast) -> dict[str, int]:
    """Queries of each page, by name."""
    aurora = cast.aurora
    pages = {
        "account": (cast.alice, [aurora.root.id]),
        "account-lines": (cast.alice, [aurora.root.id]),
        "line": (cast.alice, [aurora.lines["emil phone"].id]),
        "operator": (cast.olga, []),
        "home": (cast.alice, []),
    }
    counts = {}
    for name, (user, arguments) in pages.items():
        client = Client()
        client.force_login(user)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(reverse(name, args=arguments)).status_code in (200, 302)
        counts[name] = len(captured)
    return counts


def test_two_hundred_lines_cost_as_many_queries_as_ten(cast: Cast):
    add_lines(cast, 0, 10)
    few = queries_of(cast)
    add_lines(cast, 10, 190)
    many = queries_of(cast)
    assert few == many
    assert all(many[name] <= budget for name, budget in BUDGETS.items()), many
