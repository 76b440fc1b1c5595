"""Starts, recognises and stops processes, so that none outlives its purpose.

Never trusts a bare process id: ids are reused, so a process is known by its working folder or by a mark in
its environment.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(death_signal: int) -> Callable[[], None]:
    """Return a `preexec_fn` that makes the kernel send `death_signal` when the starting process is gone.

    Linux only; elsewhere it does nothing. The kernel watches the starting *thread*, so start such a process
    from the main thread. It runs after the change of user, which would clear the setting.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before the kernel was asked to watch it
            os.kill(os.getpid(), death_signal)

    return prepare


def working_in(directory: Path, name: str) -> list[psutil.Process]:
    """Processes called `name...` whose working folder is `directory`, parents before their children.

    PostgreSQL and Valkey both change into their data folder: a better identity than a pid file.
    """
    wanted = os.path.realpath(directory)
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith(name) and process.cwd() == wanted:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    ids = {process.pid for process in found}
    return sorted(found, key=lambda process: (_parent_id(process) in ids, process.pid))


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Processes other than this one that carry `variable=value` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _parent_id(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def end(processes: Iterable[psutil.Process], *, first: int = signal.SIGTERM, grace_seconds: float = 5) -> None:
    """Send `first` to the processes, and SIGKILL to those still there after `grace_seconds`."""
    processes = list(processes)
    for process in processes:
        _send(process, first)
    alive = _wait(processes, grace_seconds)
    for process in alive:
        _send(process, signal.SIGKILL)
    _wait(alive, 5)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the processes to end and return those that have not.

    Zombies have ended: they only wait for a parent, which may be too busy to ask for them.
    """
    deadline = time.monotonic() + seconds
    while processes := [process for process in processes if _works(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return processes


def _works(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _send(process: psutil.Process, signal_number: int) -> None:
    try:
        process.send_signal(signal_number)
    except psutil.Error:
        pass


def end_groups(
    children: Iterable[subprocess.Popen[bytes]], *, grace_seconds: float = 10, nap_seconds: float = 0.05
) -> None:
    """End children that lead their own process groups: SIGTERM to each, then SIGKILL to the whole groups."""
    children = list(children)
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        time.sleep(nap_seconds)
    for child in children:
        kill_group(child)


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a child's process group; its leader may have ended, what that started may be there still."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()
