"""The product's own programs under measurement: Celery workers and the web server, as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from portal.charging import ingest
from portal.runtime import processes, service
from portal.runtime.server import free_port
from portal.runtime.service import ROOT

READY_SECONDS = 60


@dataclass
class Program:
    """A running process."""

    process: subprocess.Popen

    def memory_mib(self) -> float:
        """Resident memory, in MiB."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def workers(count: int) -> Iterator[list[Program]]:
    """So many charging workers, up and idle; stopped at the end."""
    started = time.time()
    running = [Program(_start(service.worker_command(f"bench{number}"))) for number in range(1, count + 1)]
    try:
        _wait_for_workers(count, started)
        yield running
    finally:
        processes.end_groups([program.process for program in running])


@contextmanager
def web() -> Iterator[tuple[str, int]]:
    """The web server on a free port; yields its address."""
    port = free_port()
    process = _start(service.web_command("127.0.0.1", port))
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/healthz"):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("The web server did not come up.")
            time.sleep(0.1)
        yield "127.0.0.1", port
    finally:
        processes.end_groups([process])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def _start(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=(None if os.environ.get("BENCH_LOG") else subprocess.DEVNULL),
        start_new_session=True,
        preexec_fn=processes.end_with_parent(signal.SIGKILL),  # a bench that is killed leaves nothing running
    )


def _wait_for_workers(count: int, started: float) -> None:
    """Until each worker has answered a heartbeat since it was started."""
    from portal.charging.tasks import heartbeat

    deadline = time.monotonic() + READY_SECONDS
    while True:
        heartbeat.apply_async()
        seen = [float(at) for at in ingest.inbox().hgetall("heartbeat:workers").values()]
        if sum(at > started for at in seen) >= count:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} workers did not come up.")
        time.sleep(0.2)
