"""The locks of the domain, in the one order in which they may be taken.

(1) the global advisory lock of tree roots, (2) `ChargingState` of the enterprise, FOR UPDATE, (3) everything
else of that enterprise. Owns nothing else. Every wait has an end: whoever waits longer than `WAIT` is
refused, not hung.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from balances.errors import Refused

WAIT = "10s"
_ROOTS = 4_811_002  # any number: the advisory lock of tree roots


class Busy(Refused):
    """Somebody else has held the lock for too long."""


class NotSetUp(Refused):
    """An enterprise without charging state: it was not made by `hierarchy.create_enterprise`."""


@contextmanager
def roots() -> Iterator[None]:
    """A transaction in which no other can make a tree root."""
    with transaction.atomic():
        _wait("SELECT pg_advisory_xact_lock(%s)", _ROOTS)
        yield


@contextmanager
def enterprise(enterprise_id: int) -> Iterator[None]:
    """A transaction that is the enterprise's only writer:

    of tree, inventory, contracts, balances and charging.
    """
    with transaction.atomic():
        states = _wait("SELECT 1 FROM balances_chargingstate WHERE enterprise_id = %s FOR UPDATE", enterprise_id)
        if not states:
            raise NotSetUp(f"Enterprise {enterprise_id} does not exist, or was not set up for charging.")
        yield


@contextmanager
def enterprises_of(operator_id: int) -> Iterator[None]:
    """A transaction that is the only writer of all the operator's enterprises:

    what they share changes in it.
    """
    with transaction.atomic():
        _wait(
            "SELECT 1 FROM balances_chargingstate s JOIN balances_enterprise e ON e.id = s.enterprise_id "
            "WHERE e.operator_id = %s ORDER BY s.enterprise_id FOR UPDATE OF s",
            operator_id,
        )
        yield


def _wait(statement: str, number: int) -> int:
    """Run a locking statement with an end to its wait; returns the number of rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [WAIT])
        try:
            cursor.execute(statement, [number])
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise Busy("Somebody else is changing this just now. Try again in a moment.") from error
            raise
        return cursor.rowcount
