"""The real stack for tests: ASGI server, Celery workers and beat as processes, on a free port.

`live_stack()` works on this test process's database and Redis block, for browser journeys: data that a test
commits is there at once. `own_stack()` has PostgreSQL and Valkey of its own, which a test may kill. Both stop
all that they started; the programs are those of `make run`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from portal.runtime import embedded, processes, service, throwaway
from portal.runtime.server import Server, free_port
from portal.runtime.service import MARK, ROOT, Service
from portal.runtime.supervisor import not_ready

READY_SECONDS = 90


class Stack:
    """One running portal. Programs are named `web`, `charging1`, `charging2`, ..., `sender` and `beat`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        workers: int = 1,
        beat: bool = True,
        sender: bool = False,
        servers: embedded.Servers | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.servers = servers
        self._mark = uuid.uuid4().hex
        self.environment = {
            **os.environ,
            **environment,
            "PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_TESTING": "1",
            MARK: self._mark,
        }
        self.logs = Path(tempfile.mkdtemp(prefix="stack-", dir=self.environment["DATA_DIR"]))
        self.services: dict[str, Service] = {}
        self._define("web", service.web_command("127.0.0.1", self.port))
        for number in range(1, workers + 1):
            self._define_worker(number)
        if sender:
            self._define("sender", service.sender_command(f"sender-{self.port}"))
        if beat:
            self._define("beat", service.beat_command())

    # --- life ----------------------------------------------------------------------------------------------

    def start(self) -> Stack:
        """Start what is not running and wait until /readyz says 200."""
        for one in self.services.values():
            if not one.runs():
                one.start()
        self.wait_until_ready()
        return self

    def stop(self) -> None:
        """Stop the programs; nothing of them is left."""
        processes.end_groups([one.child for one in self.services.values() if one.child is not None])
        processes.end(processes.marked(MARK, self._mark))

    def wait_until_ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait for /readyz; raise AssertionError with what it misses and the ends of the logs."""
        deadline = time.monotonic() + timeout_seconds
        missing = not_ready(self.url)
        while missing is not None:
            ended = [name for name, one in self.services.items() if one.child is not None and not one.runs()]
            if ended or time.monotonic() > deadline:
                words = "\n".join(f"--- {name}\n{one.last_words()}" for name, one in self.services.items())
                raise AssertionError(f"The stack is not ready: {missing}; ended: {ended}\n{words}")
            time.sleep(0.2)
            missing = not_ready(self.url)

    # --- harm and repair -----------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """SIGKILL to one program and all that it started."""
        self.services[name].kill()

    def revive(self, name: str) -> None:
        """Start a killed program again, without waiting for it."""
        self.services[name].start()

    def add_worker(self) -> str:
        """Start one more charging worker and return its name."""
        number = 1 + sum(1 for name in self.services if name.startswith("charging"))
        one = self._define_worker(number)
        one.start()
        return one.name

    def kill_database(self) -> None:
        """Stop PostgreSQL at once, as a crash would: no checkpoint, recovery at the next start."""
        self._own.postgres.stop(at_once=True)

    def start_database(self) -> None:
        """Start PostgreSQL again on the same port and wait until it has recovered."""
        self._start_server(self._own.postgres)

    def kill_broker(self) -> None:
        """SIGKILL to Valkey."""
        self._own.valkey.stop(at_once=True)

    def start_broker(self) -> None:
        """Start Valkey again on the same port, with what its append-only file holds."""
        self._start_server(self._own.valkey)

    # --- use -----------------------------------------------------------------------------------------------

    def manage(self, *arguments: str, timeout_seconds: float = 300) -> str:
        """Run a command of manage.py against this stack's servers; return what it prints."""
        finished = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
        if finished.returncode != 0:
            raise AssertionError(f"manage.py {' '.join(arguments)} failed:\n{finished.stdout}{finished.stderr}")
        return finished.stdout

    @property
    def _own(self) -> embedded.Servers:
        if self.servers is None:
            raise AssertionError("This stack shares its servers with other tests: use own_stack() to kill them.")
        return self.servers

    def _start_server(self, server: Server) -> None:
        port = server.port
        self._own.start(server)
        assert server.port == port, f"{server.title} came back on another port: {port} was taken meanwhile"

    def _define(self, name: str, command: list[str]) -> Service:
        self.services[name] = Service(name, command, self.environment, self.logs / f"{name}.log")
        return self.services[name]

    def _define_worker(self, number: int) -> Service:
        # The port keeps apart the workers of two stacks on one machine.
        return self._define(f"charging{number}", service.worker_command(f"charging{number}-{self.port}"))


@contextmanager
def live_stack(*, workers: int = 1, beat: bool = True) -> Iterator[Stack]:
    """A stack on this test process's database and Redis block, for tests that commit (transaction=True)."""
    from django.db import connection

    from tests.databases import with_database

    database_url = with_database(os.environ["DATABASE_URL"], str(connection.settings_dict["NAME"]))
    stack = Stack({"DATABASE_URL": database_url}, workers=workers, beat=beat)
    try:
        yield stack.start()
    finally:
        stack.stop()


@contextmanager
def own_stack(*, workers: int = 2, beat: bool = True, durable: bool = False, sender: bool = False) -> Iterator[Stack]:
    """A stack on an empty, migrated database and a Valkey of its own, which the test may kill."""
    with throwaway.servers(durable=durable) as servers:
        environment = {**servers.environment(), "DATA_DIR": str(servers.data_dir)}
        stack = Stack(environment, workers=workers, beat=beat, sender=sender, servers=servers)
        try:
            stack.manage("migrate", "--noinput", "--verbosity=0")
            yield stack.start()
        finally:
            stack.stop()
