"""Databases of the tests: one template made by migrations, one copy a test process.

The owner role creates and migrates, the application role runs the tests. In these databases only, that role
may also TRUNCATE, and triggers against truncation are off: that is how Django empties tables between tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from portal.runtime import roles

ROOT = Path(__file__).resolve().parent.parent
REDIS_DATABASES_A_PROCESS = 4  # broker, channel layer, inbox, and one spare
_LEAVING_SECONDS = 15
_LOCK = 7_302_118  # any number: an advisory lock of the test suite


def with_database(url: str, name: str) -> str:
    """The same server and role, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def own_redis_url(url: str, number: int) -> str:
    """The block of Redis databases of test process `number`, empty."""
    import redis

    first = int(urlsplit(url).path.strip("/") or 0)
    base = first - first % REDIS_DATABASES_A_PROCESS if number else first
    mine = urlunsplit(urlsplit(url)._replace(path=f"/{base + number * REDIS_DATABASES_A_PROCESS}"))
    for offset in range(REDIS_DATABASES_A_PROCESS):
        place = urlunsplit(urlsplit(mine)._replace(path=f"/{int(urlsplit(mine).path[1:]) + offset}"))
        with redis.Redis.from_url(place) as client:
            client.flushdb()
    return mine


def empty_tables() -> None:
    """Empty every table after committed work, also the partitioned ones, which Django's flush does not know."""
    from django.core.management import call_command
    from django.db import connection

    empty_partitioned_tables()
    call_command("flush", interactive=False, verbosity=0, reset_sequences=False, inhibit_post_migrate=True)
    connection.close()


def empty_partitioned_tables() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE balances_usagerecord, balances_chargeline")


@dataclass(frozen=True)
class TestDatabase:
    """The database of one test process."""

    __test__ = False

    owner_url: str
    application_url: str
    number: int

    @property
    def name(self) -> str:
        return f"{self._prefix}_{self.number}"

    @property
    def _prefix(self) -> str:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
        return f"test_portal_{run[:12]}"

    @property
    def template(self) -> str:
        return f"{self._prefix}_template"

    def create(self, name: str | None = None) -> str:
        """Copy the template, which the first process to come migrates; return the name."""
        name = name or self.name
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            if not self._exists(connection, self.template):
                self._make_template(connection)
            self._drop(connection, name)
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(self.template))
            )
        with psycopg.connect(with_database(self.owner_url, name), autocommit=True) as connection:
            self._let_in(connection)  # rights on a database itself are not copied from its template
        return name

    def drop(self, name: str | None = None) -> None:
        """Remove the copy; the template goes with the servers, or with the last process to leave."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            self._drop(connection, name or self.name)
            others = connection.execute(
                "SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)", [f"{self._prefix}_"]
            ).fetchone()
            if others == (1,):
                self._drop(connection, self.template)

    def _make_template(self, connection: psycopg.Connection) -> None:
        unfinished = f"{self.template}_unfinished"
        self._drop(connection, unfinished)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
        url = with_database(self.owner_url, unfinished)
        with psycopg.connect(url, autocommit=True) as database:
            self._let_in(database)
        self._migrate(url)
        with psycopg.connect(url, autocommit=True) as database:
            self._allow_emptying(database)
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(self.template))
        )

    def _let_in(self, connection: psycopg.Connection) -> None:
        if self._application_role != urlsplit(self.owner_url).username:
            roles.open_database(connection, application=self._application_role)

    @property
    def _application_role(self) -> str:
        return urlsplit(self.application_url).username or ""

    def _migrate(self, url: str) -> None:
        finished = subprocess.run(
            [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity=0"],
            cwd=ROOT,
            env={
                **os.environ,
                "PORTAL_DATABASE_ROLE": "owner",
                "DATABASE_OWNER_URL": url,
                "DATABASE_URL": with_database(self.application_url, urlsplit(url).path.strip("/")),
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        if finished.returncode != 0:
            raise RuntimeError(f"The migrations failed:\n{finished.stdout}{finished.stderr}")

    def _allow_emptying(self, connection: psycopg.Connection) -> None:
        connection.execute(
            sql.SQL("GRANT TRUNCATE ON ALL TABLES IN SCHEMA public TO {}").format(
                sql.Identifier(self._application_role)
            )
        )
        truncate_triggers = connection.execute(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 32 <> 0"
        ).fetchall()
        for table, trigger in truncate_triggers:
            connection.execute(
                sql.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(sql.SQL(table), sql.Identifier(trigger))
            )

    @staticmethod
    def _exists(connection: psycopg.Connection, name: str) -> bool:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None

    @staticmethod
    def _drop(connection: psycopg.Connection, name: str) -> None:
        """Drop a database. FORCE may not end the application role's sessions: those just closed are waited for."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        deadline = time.monotonic() + _LEAVING_SECONDS
        while True:
            try:
                connection.execute(statement)
                return
            except psycopg.errors.InsufficientPrivilege:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
