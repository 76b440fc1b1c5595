"""What the two embedded servers have in common: a folder, a port, a process of an unprivileged user.

A server is found by its working folder, so a stale pid file, a crash or a SIGKILL never confuses it. Never
touches processes outside that folder.
"""

import contextlib
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from portal.runtime import processes
from portal.runtime.binaries import Binaries
from portal.runtime.errors import RuntimeProblem
from portal.runtime.state import State
from portal.runtime.unprivileged import ServerUser

READY_TIMEOUT_SECONDS = 300  # crash recovery may have gigabytes to replay
ATTEMPTS = 3


class PortTaken(Exception):
    """Another program took the port between the choice and the start."""


@dataclass(frozen=True)
class Home:
    """Where the servers of one data folder live and whom they run as."""

    directory: Path
    logs: Path
    user: ServerUser
    binaries: Binaries
    durable: bool
    end_with_parent: bool
    say: Callable[[str], None]


class Server(ABC):
    """One server of a data folder. Subclasses say how it is created, started, asked and stopped."""

    name: str
    title: str
    process_name: str
    stop_signal: int
    stop_at_once_signal: int

    def __init__(self, home: Home, state: State) -> None:
        self.home, self.state = home, state
        self.folder = home.directory / self.name
        self.log = home.logs / f"{self.name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._main: psutil.Process | None = None

    @abstractmethod
    def create(self) -> None:
        """Make the server's folder where it does not exist yet."""

    @abstractmethod
    def command(self) -> tuple[list[str], bytes]:
        """Return the command line, and what the program reads from standard input."""

    @abstractmethod
    def answer(self) -> bool:
        """Whether the server takes our credentials and works; False while it is still starting."""

    @property
    @abstractmethod
    def port(self) -> int:
        """The TCP port on 127.0.0.1; 0 until chosen."""

    @abstractmethod
    def keep_port(self, port: int) -> None:
        """Store the chosen port in the state."""

    def processes(self) -> list[psutil.Process]:
        """The server's processes, the main one first; orphans of a killed server are among them."""
        if self._child is not None:
            self._child.poll()  # reap it, if it ended
        return processes.working_in(self.folder, self.process_name)

    def ended(self) -> bool:
        """Whether the server that `start` started or found has gone; cheap enough to ask every second."""
        if self._child is not None:
            return self._child.poll() is not None
        return self._main is None or not self._main.is_running()

    def runs(self) -> bool:
        """Whether the server is up and answers with our credentials."""
        if self._child is not None and self._child.poll() is not None:
            return False
        return bool(self.port) and self.answer()

    def start(self) -> bool:
        """Start the server and wait until it answers; False where it already ran.

        Raises RuntimeProblem with the reason if it does not come up.
        """
        if self.processes():
            self._join_or_clear()
        found = self.processes()
        if found:
            self._main = found[0]
            return False
        for _ in range(ATTEMPTS):
            if not self.port or not port_is_free(self.port):
                self.keep_port(free_port())
            log_start = self.log.stat().st_size if self.log.exists() else 0
            self._launch()
            with contextlib.suppress(PortTaken):
                self._wait_until_ready(log_start)
                return True
            self.keep_port(0)
        raise RuntimeProblem(f"{self.title} found no free port on 127.0.0.1 in {ATTEMPTS} attempts.")

    def stop(self, *, at_once: bool = False, grace_seconds: float = 60) -> None:
        """Stop the server: orderly, or `at_once` as in a crash; kill it when it takes too long."""
        found = self.processes()
        if found:
            first = self.stop_at_once_signal if at_once else self.stop_signal
            processes.end(found[:1], first=first, grace_seconds=grace_seconds)
            processes.end(self.processes(), first=signal.SIGKILL)
        if self._child is not None:
            self._child.wait()
            self._child = None

    def _join_or_clear(self) -> None:
        """A process is there: it works, or starts, or stops, or is an orphan of a crash that has to go."""
        deadline = time.monotonic() + 10
        while self.processes() and time.monotonic() < deadline:
            if self.runs():
                return
            time.sleep(0.1)
        processes.end(self.processes(), first=self.stop_signal)

    def _launch(self) -> None:
        command, script = self.command()
        death_signal = self.stop_signal if self.home.end_with_parent else None
        try:
            with self.log.open("ab") as log:
                self._child = subprocess.Popen(
                    command,
                    cwd="/",
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    umask=0o077,
                    env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
                    preexec_fn=processes.end_with_parent(death_signal) if death_signal else None,
                    **self.home.user.popen_arguments(),
                )
        except OSError as error:
            raise RuntimeProblem(f"{self.title} cannot be started: {error}.") from error
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(script)
            self._child.stdin.close()

    def _wait_until_ready(self, log_start: int) -> None:
        assert self._child is not None
        begun = time.monotonic()
        told = False
        while not self.answer():
            waited = time.monotonic() - begun
            if self._child.poll() is not None:
                raise self._failure(log_start)
            if waited > READY_TIMEOUT_SECONDS:
                raise RuntimeProblem(
                    f"{self.title} did not come up in {READY_TIMEOUT_SECONDS} s; {self.log} says more."
                )
            if waited > 3 and not told:
                told = True
                self.home.say(f"{self.title} is recovering from an unclean stop, please wait")
            time.sleep(0.02 if waited < 2 else 0.2)

    def _failure(self, log_start: int) -> Exception:
        """Turn the last words of a server that ended into an exception that helps."""
        with self.log.open("rb") as log:
            log.seek(log_start)
            words = log.read().decode(errors="replace")
        if "Address already in use" in words:
            return PortTaken()
        return explain(self.title, words, self.log)


def explain(title: str, words: str, log: Path) -> RuntimeProblem:
    """A helpful sentence for what a server or `initdb` printed before it gave up."""
    if "No space left on device" in words:
        return RuntimeProblem(f"{title} cannot start: the disk is full. Make room and start again.")
    if "Exec format error" in words or "GLIBC_" in words or "required file not found" in words:
        return RuntimeProblem(
            f"{title} has no build that fits this system. Set DATABASE_URL and REDIS_URL to servers of your own."
        )
    last = " / ".join([line.strip() for line in words.splitlines() if line.strip()][-3:])
    return RuntimeProblem(f"{title} did not start: {last or 'it said nothing'} ({log})")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now; connections that are still closing do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True
