"""Clients of the REST interface at the time of the cast. Imports the product late: settings want servers first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.client import Api
    from tests.cast import Cast


@pytest.fixture(autouse=True)
def _at_the_time_of_the_cast(monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.api.endpoints import Endpoint
    from portal.charging import pipeline
    from tests.cast import NOW

    monkeypatch.setattr(Endpoint, "clock", staticmethod(lambda: NOW))
    pipeline.forget_everything()


def _signed_in(cast: Cast, name: str) -> Api:
    from tests.api.client import Api

    return Api.of(cast, name)


@pytest.fixture
def alice(cast: Cast) -> Api:
    """Aurora's telecoms manager."""
    return _signed_in(cast, "alice")


@pytest.fixture
def carla(cast: Cast) -> Api:
    """The manager of Aurora's North."""
    return _signed_in(cast, "carla")


@pytest.fixture
def dora(cast: Cast) -> Api:
    """The observer of Aurora's South."""
    return _signed_in(cast, "dora")


@pytest.fixture
def emil(cast: Cast) -> Api:
    """An employee of Aurora."""
    return _signed_in(cast, "emil")


@pytest.fixture
def olga(cast: Cast) -> Api:
    """The operator's account manager."""
    return _signed_in(cast, "olga")
