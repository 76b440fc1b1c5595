"""The small world, built once a module; every test works in a transaction of its own that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # at run time only once Django is ready
    from tests.charging.small_world import World


@pytest.fixture(scope="module")
def _module_world(django_db_setup, django_db_blocker) -> Iterator[World]:
    from tests.charging.small_world import World, rolled_back

    with django_db_blocker.unblock(), rolled_back():
        yield World()


@pytest.fixture
def world(_module_world: World, django_db_blocker) -> Iterator[World]:
    """An enterprise of a few dozen units; see `tests/charging/small_world.py`. Not to be mixed with `db`."""
    from tests.charging.small_world import rolled_back

    with django_db_blocker.unblock(), rolled_back():
        yield _module_world
