"""`make reset`: stops what runs in the data folder and deletes it, if it is recognised as one of ours."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

from portal.runtime import embedded, run_lock, state
from portal.runtime.console import say
from portal.runtime.errors import RuntimeProblem
from portal.runtime.options import data_folder

WAIT_SECONDS = 90
OUR_FILES = (run_lock.FILE_NAME, state.FILE_NAME, "secret_key")


def reset() -> int:
    """`manage.py reset`. Returns the exit code; problems are one sentence on standard error."""
    data_dir = data_folder(os.environ)
    try:
        folders = embedded.folders(data_dir)
        if data_dir.exists() and not any((data_dir / name).exists() for name in OUR_FILES):
            raise RuntimeProblem(f"{data_dir} is not a data folder of the portal; nothing has been deleted.")
        if not folders:
            say(f"Nothing to delete: {data_dir} does not exist.")
            return 0
        _stop_what_runs(data_dir)
    except RuntimeProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    for folder in folders:
        say(f"Deleting {folder}")
        shutil.rmtree(folder)
    return 0


def _stop_what_runs(data_dir: Path) -> None:
    running = run_lock.holder(data_dir)
    if running is not None:
        process, url = running
        say(f"Stopping the portal at {url} (process {process})")
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + WAIT_SECONDS
        while run_lock.holder(data_dir) is not None:
            if time.monotonic() > deadline:
                raise RuntimeProblem(f"Process {process} did not stop in {WAIT_SECONDS} s; nothing was deleted.")
            time.sleep(0.1)
    embedded.stop(data_dir, at_once=True)
