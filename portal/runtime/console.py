"""What `make run` says: short lines, each step with the time it took. Never logs; logs are files."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """Print one line at once, also into a pipe; a terminal that is gone is no reason to fail."""
    try:
        print(text, flush=True)
    except (BrokenPipeError, OSError):
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - for the rest of the process


@contextmanager
def step(done: str) -> Iterator[None]:
    """Time the block and say `done (0.6 s)` after it."""
    begun = time.monotonic()
    yield
    say(f"{done} ({time.monotonic() - begun:.1f} s)")
