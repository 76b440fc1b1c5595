"""`manage.py run` and `manage.py reset`, as programs: what they say, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from portal.runtime import embedded, processes, run_lock
from portal.runtime.errors import RuntimeProblem
from portal.runtime.options import Options
from portal.runtime.server import free_port
from portal.runtime.service import MARK, ROOT
from portal.runtime.supervisor import logins


@dataclass
class Portal:
    """A data folder and a port for `manage.py run`, without demo and traffic."""

    data_dir: Path
    port: int
    process: subprocess.Popen[str] | None = None

    def environment(self) -> dict[str, str]:
        unwanted = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "PORTAL_TESTING", "HOST")
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        own = {"DATA_DIR": str(self.data_dir), "PORT": str(self.port), "DEMO": "0", "TRAFFIC": "0"}
        return {**kept, **own, "CHARGING_WORKERS": "1"}

    def run_to_its_end(self, command: str = "run") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run"],
            cwd=ROOT,
            env=self.environment(),
            stdout=(self.data_dir / "output").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for(lambda: "The portal is at" in self.output() or self.process.poll() is not None, 100)
        assert self.process.poll() is None, self.output()

    def output(self) -> str:
        return (self.data_dir / "output").read_text()

    def processes(self) -> list[psutil.Process]:
        """All that belongs to this portal except its supervisor."""
        servers = [
            process
            for name in ("postgres", "valkey")
            for process in processes.working_in(self.data_dir / "servers" / name, name)
        ]
        return [*processes.marked(MARK, str(self.data_dir)), *servers]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def portal() -> Iterator[Portal]:
    data_dir = Path(tempfile.mkdtemp(prefix="portal-run-"))
    data_dir.chmod(0o711)
    (data_dir / "logs").mkdir()
    one = Portal(data_dir, free_port())
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()
    processes.end(one.processes())
    for folder in reversed(embedded.folders(data_dir)):
        shutil.rmtree(folder)


def test_a_taken_port_is_one_helpful_sentence_and_starts_nothing(portal: Portal) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", portal.port))
        listener.listen()
        finished = portal.run_to_its_end()
    assert finished.returncode == 1
    assert finished.stderr == (
        f"Port {portal.port} is taken by another program. Choose another one: PORT={portal.port + 1} make run\n"
    )
    assert not (portal.data_dir / "embedded.json").exists()


def test_a_second_portal_on_the_same_data_folder_names_the_first(portal: Portal) -> None:
    with run_lock.take(portal.data_dir, "http://127.0.0.1:8765"):
        finished = portal.run_to_its_end()
    assert finished.returncode == 1
    assert "is already running at http://127.0.0.1:8765" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_a_run_serves_restarts_what_dies_and_leaves_nothing_after_sigterm(portal: Portal) -> None:
    portal.start()
    assert portal.process is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{portal.port}/healthz", timeout=10) as response:
        assert response.status == 200

    workers = [one for one in portal.processes() if "charging1@%h" in one.cmdline()]
    database = processes.working_in(portal.data_dir / "servers" / "postgres", "postgres")[0]
    assert len(workers) == 1
    workers[0].kill()
    database.kill()
    wait_for(lambda: "charging1 ended (signal SIGKILL) and is started again" in portal.output(), 10)
    wait_for(lambda: "PostgreSQL ended and is started again" in portal.output(), 10)
    wait_for(lambda: readyz(portal.port) == 200, 60)

    # Web server and its worker, charging worker, beat, Valkey, PostgreSQL and its helpers.
    wait_for(lambda: len(portal.processes()) >= 8, 60)
    belonging = portal.processes()
    portal.process.send_signal(signal.SIGTERM)
    assert portal.process.wait(timeout=60) == 0, portal.output()
    _, alive = psutil.wait_procs(belonging, timeout=1)
    assert alive == []
    assert portal.processes() == []
    assert "Traceback" not in portal.output()


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_children_and_servers_end_with_a_supervisor_that_is_killed(portal: Portal) -> None:
    portal.start()
    assert portal.process is not None
    belonging = portal.processes()
    portal.process.kill()
    portal.process.wait()
    _, alive = psutil.wait_procs(belonging, timeout=30)
    assert alive == []


def readyz(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return int(response.status)
    except OSError as error:
        return int(getattr(error, "code", 0))


def test_reset_stops_the_servers_and_deletes_the_data_folder(portal: Portal) -> None:
    servers = embedded.start(portal.data_dir, durable=False)
    finished = portal.run_to_its_end("reset")
    assert (finished.returncode, finished.stdout) == (0, f"Deleting {portal.data_dir}\n")
    assert not portal.data_dir.exists()
    assert [server.processes() for server in servers] == [[], []]


def test_reset_deletes_no_folder_that_is_not_the_portals(portal: Portal) -> None:
    (portal.data_dir / "thesis.txt").write_text("years of work")
    finished = portal.run_to_its_end("reset")
    assert finished.returncode == 1
    assert (portal.data_dir / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PORT": "http"}, "PORT=http makes no sense"),
        ({"PORT": "70000"}, "from 1 to 65535"),
        ({"CHARGING_WORKERS": "0"}, "CHARGING_WORKERS=0"),
        ({"DATABASE_URL": "postgresql://localhost/portal"}, "both DATABASE_URL and REDIS_URL"),
    ],
)
def test_settings_that_make_no_sense_are_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(RuntimeProblem, match=words):
        Options.read(environment)


def test_logins_are_shown_as_a_table(tmp_path: Path) -> None:
    cast = [
        {"name": "Alice", "role": "telecoms manager", "email": "alice@example.com", "password": "a"},
        {"name": "Bob", "role": "employee", "email": "bob@example.com", "password": "bb"},
    ]
    (tmp_path / "cast.json").write_text(json.dumps(cast))
    assert logins(tmp_path / "cast.json") == [
        "Sign in as (e-mail, password):",
        "  alice@example.com  a   Alice  telecoms manager",
        "  bob@example.com    bb  Bob    employee",
    ]
    assert logins(tmp_path / "absent.json") == []
