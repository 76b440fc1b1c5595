"""One supervisor a data folder: a lock that the kernel frees however its holder ends."""

import fcntl
import os
from io import TextIOWrapper
from pathlib import Path

from portal.runtime.errors import RuntimeProblem

FILE_NAME = "run.lock"


def take(data_dir: Path, url: str) -> TextIOWrapper:
    """Take the lock for a run that serves `url`; keep the returned file open. Raises RuntimeProblem."""
    lock = (data_dir / FILE_NAME).open("a+")
    if not _try(lock):
        lock.close()
        process, other = holder(data_dir) or (0, "an unknown address")
        raise RuntimeProblem(
            f"The portal of {data_dir} is already running at {other} (process {process}). Stop that one, or "
            "set DATA_DIR to another folder."
        )
    lock.truncate(0)
    lock.write(f"{os.getpid()} {url}\n")
    lock.flush()
    return lock


def holder(data_dir: Path) -> tuple[int, str] | None:
    """Process id and address of the supervisor that runs in `data_dir`; None where none does."""
    try:
        with (data_dir / FILE_NAME).open("r+") as lock:
            if _try(lock):
                return None
            words = lock.read().split()
    except FileNotFoundError:
        return None
    return (int(words[0]), words[1]) if len(words) == 2 else None


def _try(lock: TextIOWrapper) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
