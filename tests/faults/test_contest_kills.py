"""SIGKILL in the middle of a contest's correction: the company is charged once, and everything comes back once.

The worker is stopped where it is by a row that the test holds: once while it charges the correction, its records
written and its buckets not, and once while it gives back, units granted anew and money not. Each time it is killed
there. What it had written is gone with it, and the next worker does all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from balances.units import MIB
from tests.faults.contested import Contested, run_in
from tests.stack import Stack, own_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CORRECTIONS = (
    "SELECT count(*) FROM balances_usagerecord r JOIN balances_usagesource s ON s.id = r.source_id "
    "WHERE s.name = 'Corrections'"
)
MONEY_BACK = "SELECT count(*) FROM balances_personalentry WHERE kind = 'correction'"
PERSONAL = "SELECT count(*) FROM balances_usagerecord WHERE payer = 2"
STATE = "SELECT state FROM portal_contest"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with own_stack(workers=1) as started:
        yield started


def until(what: Callable[[], Any], seconds: float = 120) -> None:
    """Wait till it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.05)


class Looking:
    """What a test reads of the stack's database, and rows that it holds."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self._url = stack, stack.environment["DATABASE_URL"]
        self._look = psycopg.connect(self._url, autocommit=True)

    def one(self, query: str) -> Any:
        return self._look.execute(query).fetchone()[0]

    @contextmanager
    def worker_killed_at(self, rows: str) -> Iterator[None]:
        """Hold rows while the block lets the worker come to them; it is killed there, and stays dead after it."""
        with psycopg.connect(self._url) as holder:
            holder.execute(f"SELECT 1 FROM {rows} FOR NO KEY UPDATE")
            yield
            until(lambda: self._is_waited_for(holder.info.backend_pid))
            self.stack.kill("charging1")
            holder.rollback()

    def _is_waited_for(self, pid: int) -> bool:
        return self.one(f"SELECT count(*) FROM pg_stat_activity WHERE {pid} = ANY(pg_blocking_pids(pid))") > 0


def figures_of(looking: Looking, made: Contested) -> tuple[int, int]:
    """What Emil has: money in micros, units of this month's allowance."""
    return (
        looking.one(f"SELECT balance_micros FROM balances_personalaccount WHERE id = {made.account_id}"),
        looking.one("SELECT coalesce(sum(granted_units - used_units), 0)::bigint FROM balances_personalbucket"),
    )


def test_killed_while_it_charges_the_correction_and_while_it_gives_back_all_happens_once(stack: Stack) -> None:
    looking = Looking(stack)
    made = run_in(stack.environment, "make")
    until(lambda: figures_of(looking, made) == (17_000_000, 0) and looking.one(PERSONAL))

    with looking.worker_killed_at("balances_bucket"):
        run_in(stack.environment, "uphold")
    assert (looking.one(CORRECTIONS), looking.one(STATE)) == (0, "upheld")

    with looking.worker_killed_at("balances_personalaccount"):
        stack.revive("charging1")
        until(lambda: looking.one(CORRECTIONS) == 1)
        assert figures_of(looking, made) == (17_000_000, 0)
    assert (looking.one(MONEY_BACK), looking.one(STATE)) == (0, "upheld")
    assert figures_of(looking, made) == (17_000_000, 0)

    stack.revive("charging1")
    until(lambda: looking.one(STATE) == "corrected")
    assert figures_of(looking, made) == (20_000_000, 10 * MIB)
    assert looking.one("SELECT refunded_micros FROM portal_contest") == 3_000_000

    # It goes on looking: another turn of each finds nothing more to do, and everybody is told once.
    told = "SELECT count(*) FROM portal_notice WHERE key LIKE 'contest:%'"
    until(lambda: looking.one(told) == 3)
    time.sleep(7)
    assert looking.one(told) == looking.one("SELECT count(*) FROM portal_contestact") == 3
    assert (looking.one(CORRECTIONS), looking.one(MONEY_BACK)) == (1, 1)
    assert figures_of(looking, made) == (20_000_000, 10 * MIB)
    stack.manage("check_ledger")
