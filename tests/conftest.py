"""What every test run stands on: PostgreSQL and Valkey of its own, and the roles of the real product.

The servers live in a temporary folder for one run and are isolated from a running `make run`. Tables are made
by the owner role in a template database, once; each test process copies it and works as the application role,
so tests meet the real privileges. DATABASE_URL and REDIS_URL, where the caller sets them, are used instead.
Owns no domain objects: those are in `tests/cast.py`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import django
import pytest

from portal.runtime import throwaway
from portal.runtime.errors import RuntimeProblem
from scripts.browser import BrowserMissing, find_browser
from tests.databases import TestDatabase, empty_partitioned_tables, own_redis_url

if TYPE_CHECKING:
    from tests.cast import Cast


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, then load the settings, which name them; pytest-django finds Django ready."""
    if not hasattr(config, "workerinput"):
        _start_servers(config)
    os.environ["PORTAL_TESTING"] = "1"
    os.environ["REDIS_URL"] = own_redis_url(os.environ["REDIS_URL"], _worker_number())
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()


def _start_servers(config: pytest.Config) -> None:
    own = ExitStack()
    os.environ["SECRET_KEY"] = "only-for-tests"
    if {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
        os.environ["DATA_DIR"] = own.enter_context(tempfile.TemporaryDirectory(prefix="portal-"))
    else:
        try:
            servers = own.enter_context(throwaway.servers())
        except RuntimeProblem as problem:
            pytest.exit(f"The servers for the tests did not start. {problem}", returncode=3)
        os.environ.update(servers.environment(), DATA_DIR=str(servers.data_dir))
    # `make run` collects static files there; tests read them from their sources, but WhiteNoise wants the folder.
    Path(os.environ["DATA_DIR"], "static").mkdir(exist_ok=True)
    config.add_cleanup(own.close)


def _worker_number() -> int:
    """0 in a run with one process, 1.. in the processes of pytest-xdist."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(name.removeprefix("gw")) + 1 if name else 0


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: pytest.FixtureRequest) -> object:
    """Replace pytest-django's set-up: this process's database, made by the owner, used by the application."""
    from django.db import connection

    database = TestDatabase(
        owner_url=os.environ.get("DATABASE_OWNER_URL", os.environ["DATABASE_URL"]),
        application_url=os.environ["DATABASE_URL"],
        number=_worker_number(),
    )
    database.create()
    with django_db_blocker.unblock():
        connection.close_pool()
        connection.settings_dict["NAME"] = database.name
    yield
    with django_db_blocker.unblock():
        connection.close()
        connection.close_pool()
    database.drop()


@pytest.fixture
def cast(db: None) -> Cast:
    """One operator, two enterprises and their people, freshly made; see `tests/cast.py`."""
    from tests.cast import build

    return build()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that commits, empty the partitioned tables that Django's flush does not know; after any that uses
    the database, charging's memory, which no rollback reaches."""
    marker = request.node.get_closest_marker("django_db")
    commits = "transactional_db" in request.fixturenames or (marker is not None and marker.kwargs.get("transaction"))
    if commits:
        request.getfixturevalue("transactional_db")  # so that this ends before the flush
    yield
    if commits:
        empty_partitioned_tables()
    if commits or marker is not None or "db" in request.fixturenames:
        from portal.charging import pipeline

        pipeline.forget_everything()


@pytest.fixture(scope="session")
def browser_executable() -> str:
    """Path of Chromium. Without one the test is skipped; in CI that is an error instead."""
    try:
        return find_browser()
    except BrowserMissing as missing:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"Browser tests cannot run: {missing}")
        print(missing, file=sys.stderr)
        pytest.skip(f"no browser: {missing}")
