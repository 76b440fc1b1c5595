"""Somebody with a personal account and a charge to object to, in the database of a stack: made, and contested.

Each step is a process of its own, as `tests.faults.house` is, through the same functions that users reach.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from portal.runtime.service import ROOT


@dataclass(frozen=True)
class Contested:
    """What a test looks at. `contest_id` 0: nothing is contested yet."""

    enterprise_id: int
    account_id: int
    contest_id: int = 0


def make() -> Contested:
    """Emil has used 100 MiB abroad, which waits to be charged: 40 are his, 10 of his allowance and 30 for money."""
    from balances.units import MIB
    from tests.cast import build
    from tests.employee import employee
    from tests.web.usage import accept, used

    emil = employee(build())
    house = emil.cast.aurora
    accept(house, used(house.lines["emil phone"], "data", 100 * MIB, visited_network="208"))
    return Contested(house.enterprise.id, emil.account.id)


def uphold() -> Contested:
    """He objects, and the company pays after all: from now on it is for the workers."""
    from balances.models import PersonalAccount, UsageRecord
    from portal import contests

    account, at = PersonalAccount.objects.get(), datetime.now(UTC)
    record = UsageRecord.objects.get(payer=2)
    [contest] = contests.file(usages=[record], person=account.person, reason="Work", actor="user:7 Emil", at=at)
    contests.decide(contest=contest, uphold=True, answer="", actor="user:8 Alice", at=at)
    return Contested(account.enterprise_id, account.id, contest.id)


STEPS = {"make": make, "uphold": uphold}


def run_in(environment: Mapping[str, str], step: str) -> Contested:
    """A step, in the database of another environment."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.faults.contested", step],
        cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    return Contested(**json.loads(finished.stdout.splitlines()[-1]))


def main() -> None:
    """Do a step in the database of the environment and print what it made."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import django

    django.setup()
    print(json.dumps(asdict(STEPS[sys.argv[1]]())))


if __name__ == "__main__":
    main()
