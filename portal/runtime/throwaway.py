"""Servers for one purpose: in a temporary folder, gone afterwards with their data.

    python -m portal.runtime.throwaway PROGRAM ARGUMENT...     runs a program with such servers

Safe against a crash of the servers; of the machine only if asked to be durable. Never touches the data folder of
`make run`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.runtime import embedded
from portal.runtime.errors import RuntimeProblem


@contextmanager
def servers(*, durable: bool = False) -> Iterator[embedded.Servers]:
    """Start PostgreSQL and Valkey in a new folder; stop them and delete it at the end.

    `durable`: with the settings of the real product, for tests that show that those lose nothing. They also end
    with the calling thread, which must be the main one. Raises RuntimeProblem.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="portal-"))
    data_dir.chmod(0o711)  # passable for the servers' user
    try:
        started = embedded.start(data_dir, durable=durable, end_with_parent=True)
        try:
            yield started
        finally:
            started.stop(at_once=True)
    finally:
        for folder in reversed(embedded.folders(data_dir)):
            shutil.rmtree(folder, ignore_errors=True)


def main(command: list[str]) -> int:
    """Run `command` with servers of its own and return its exit code."""
    try:
        with servers() as started:
            environment = {**os.environ, **started.environment(), "DATA_DIR": str(started.data_dir)}
            return subprocess.run(command, env=environment).returncode
    except RuntimeProblem as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
