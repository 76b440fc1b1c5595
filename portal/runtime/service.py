"""The product's long-running programs: how each is started, and one of them as a supervised child.

Owns the command lines of server, workers, beat and traffic, for `make run` and for the tests that start the
real stack. Never decides when to restart: that is the supervisor's.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from portal.runtime import processes

ROOT = Path(__file__).resolve().parents[2]
MARK = "PORTAL_STACK"  # names the data folder in the environment of all that a stack starts
LOG_KEPT_BYTES = 20 * 1024 * 1024
BACK_OFF_SECONDS = (0.5, 1, 2, 5, 10, 30)
STEADY_SECONDS = 60


def web_command(host: str, port: int) -> list[str]:
    """The ASGI server, with one worker process."""
    options = ["--interface", "asgi", "--host", host, "--port", str(port), "--workers", "1"]
    quiet = ["--no-access-log", "--log-level", "warning"]
    stopping = ["--workers-kill-timeout", "8s"]  # open WebSockets must not hold up a stop
    return [sys.executable, "-m", "granian", *options, *quiet, *stopping, "portal.asgi:application"]


def worker_command(name: str) -> list[str]:
    """A Celery worker of one process: charging wants whole cores, so more workers, not bigger ones."""
    return _worker(name, "-P", "solo", "-c", "1", "-X", "sending")


def sender_command(name: str) -> list[str]:
    """The worker that sends e-mails and webhooks, side by side, and does nothing else: receivers may be slow."""
    return _worker(name, "-P", "threads", "-c", "2", "-Q", "sending")


def _worker(name: str, *options: str) -> list[str]:
    alone = ["--without-mingle", "--without-gossip"]  # what workers tell each other helps nobody here
    named = ["-n", f"{name}@%h", "-l", "WARNING"]
    return [sys.executable, "-m", "celery", "-A", "portal", "worker", *options, *named, *alone]


def beat_command() -> list[str]:
    """The scheduler; its schedule is in the database. No pid file: a killed one's would be in the way."""
    return [sys.executable, "-m", "celery", "-A", "portal", "beat", "-l", "WARNING", "--pidfile="]


def traffic_command(port: int, configuration: Path) -> list[str]:
    """The client that sends believable usage through the public API."""
    url = f"http://127.0.0.1:{port}"
    return [sys.executable, "-m", "clients.traffic", "--url", url, "--config", str(configuration)]


def rotate(log: Path) -> None:
    """Keep one older log file once the current one has grown."""
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


@dataclass
class Service:
    """One program that should always run. It leads a process group and writes to its own log file."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    child: subprocess.Popen[bytes] | None = None
    starts: int = 0
    failures: int = 0
    started_at: float = 0.0
    due_at: float = 0.0

    def start(self) -> None:
        """Start the program; call it from the main thread, whose end ends the program too."""
        rotate(self.log)
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**self.environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.end_with_parent(signal.SIGTERM),
            )
        self.starts += 1
        self.started_at = time.monotonic()

    def runs(self) -> bool:
        """Whether the program is there."""
        return self.child is not None and self.child.poll() is None

    def note_end(self) -> str:
        """The program has ended: clear what is left of its group, set when it is due again, say how."""
        assert self.child is not None
        code = self.child.returncode
        processes.kill_group(self.child)
        self.child = None
        now = time.monotonic()
        if now - self.started_at > STEADY_SECONDS:
            self.failures = 0
        self.due_at = now + BACK_OFF_SECONDS[min(self.failures, len(BACK_OFF_SECONDS) - 1)]
        self.failures += 1
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """SIGKILL to the whole group, as a crash would."""
        if self.child is not None:
            processes.kill_group(self.child)
            self.child = None

    def last_words(self, lines: int = 15) -> str:
        """The end of the log file."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
