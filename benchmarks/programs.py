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


#: Programs that go on between cases, in a run that is in a hurry; None where each case has its own.
_kept: list[tuple[str, Program]] | None = None
_kept_address: tuple[str, int] | None = None
_kept_since = 0.0


@contextmanager
def kept() -> Iterator[None]:
    """Keep a worker and the web server from one case to the next: starting them takes longer than a short case.

    Both begin at once, beside whatever the caller prepares.
    """
    global _kept, _kept_address, _kept_since
    _kept, _kept_since, _kept_address = [], time.time(), ("127.0.0.1", free_port())
    _kept.append(("worker", Program(_start(service.worker_command("bench1")))))
    _kept.append(("web", Program(_start(service.web_command(*_kept_address)))))
    try:
        yield
    finally:
        processes.end_groups([program.process for _, program in _kept])
        _kept = _kept_address = None


@contextmanager
def workers(count: int) -> Iterator[list[Program]]:
    """So many charging workers, up and idle; stopped at the end, or kept."""
    running = [program for kind, program in _kept or () if kind == "worker"]
    if len(running) > count:
        raise RuntimeError("Kept workers can only become more: take the cases with fewer of them first.")
    started = _kept_since or time.time()
    fresh = [Program(_start(service.worker_command(f"bench{n}"))) for n in range(len(running) + 1, count + 1)]
    if _kept is not None:
        _kept.extend(("worker", program) for program in fresh)
    try:
        _wait_for_workers(count, started)
        yield running + fresh
    finally:
        if _kept is None:
            processes.end_groups([program.process for program in fresh])


@contextmanager
def web() -> Iterator[tuple[str, int]]:
    """The web server on a free port, stopped at the end or kept; yields its address."""
    if _kept is not None and _kept_address is not None:
        _wait_for_web(_kept_address, next(program for kind, program in _kept if kind == "web"))
        yield _kept_address
        return
    address = "127.0.0.1", free_port()
    program = Program(_start(service.web_command(*address)))
    try:
        _wait_for_web(address, program)
        yield address
    finally:
        processes.end_groups([program.process])


def _wait_for_web(address: tuple[str, int], program: Program) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(f"http://{address[0]}:{address[1]}/healthz"):
        if time.monotonic() > deadline or program.process.poll() is not None:
            raise RuntimeError("The web server did not come up.")
        time.sleep(0.1)


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
