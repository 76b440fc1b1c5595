"""Makes or updates .venv, then runs a program in it.

    scripts/python scripts/bootstrap.py [--tests] [PROGRAM ARGUMENT...]

Installs the pinned requirements with plain pip, and only when their text has changed. Standard library only.
A folder that another Python made, or that broke, is made anew. Never touches packages outside .venv.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements.txt"
TEST_REQUIREMENTS = ROOT / "tests" / "requirements.txt"
NEEDED_BYTES = 1024 * 1024 * 1024


class CannotInstall(Exception):
    """The environment cannot be made; the message says why and what helps."""


def main(arguments: list[str]) -> int:
    """Prepare the environment, then become the program, if one is named."""
    with_tests = arguments[:1] == ["--tests"]
    program = arguments[1:] if with_tests else arguments
    try:
        with Path(__file__).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` at the same time take turns
            make_environment()
            install([REQUIREMENTS, TEST_REQUIREMENTS] if with_tests else [REQUIREMENTS])
    except CannotInstall as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if program:
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), *program])  # noqa: S606 - the same process, so that signals reach it
    return 0


def make_environment() -> None:
    """Create .venv, unless a working one is there."""
    if works():
        return
    if shutil.disk_usage(ROOT).free < NEEDED_BYTES and not VENV.exists():
        raise CannotInstall(f"Less than 1 GB is free where {ROOT} is, too little for the installation.")
    version = sysconfig.get_python_version()
    print(f"Making .venv with Python {version}", flush=True)
    finished = run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if finished.returncode != 0:
        words = finished.stdout
        shutil.rmtree(VENV, ignore_errors=True)
        if "ensurepip" in words:
            raise CannotInstall(
                f"This Python has no ensurepip. Install it; on Debian and Ubuntu: apt-get install python{version}-venv"
            )
        raise CannotInstall(f"Python could not make {VENV}: {tail(words)}")


def works() -> bool:
    """Whether .venv has a Python that starts, new enough, with pip."""
    try:
        finished = run([str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"])
    except OSError:
        return False
    return finished.returncode == 0


def install(files: list[Path]) -> None:
    """Install the requirements, unless exactly these are installed already."""
    texts = [file.read_bytes() for file in files]
    stamps = [VENV / f".installed-{hashlib.sha256(b''.join(one)).hexdigest()[:20]}" for one in _sets(texts)]
    if any(stamp.exists() for stamp in stamps):
        return
    count = sum(1 for text in texts for line in text.decode().splitlines() if "==" in line)
    print(f"Installing {count} packages into .venv (about a minute the first time)", flush=True)
    begun = time.monotonic()
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--prefer-binary"]
    names = [part for file in files for part in ("-r", str(file))]
    finished = run([str(PYTHON), "-m", "pip", "install", *options, *names])
    if finished.returncode != 0:
        raise CannotInstall(explain(finished.stdout))
    for old in VENV.glob(".installed-*"):
        old.unlink()
    stamps[0].touch()
    print(f"Packages are installed ({time.monotonic() - begun:.0f} s)", flush=True)


def _sets(texts: list[bytes]) -> list[list[bytes]]:
    """The texts themselves, and the larger set with them: `make run` after `make test` installs nothing."""
    everything = [REQUIREMENTS.read_bytes(), TEST_REQUIREMENTS.read_bytes()]
    return [texts] if texts == everything else [texts, everything]


def explain(words: str) -> str:
    """What pip said, as a sentence that helps."""
    if "No space left on device" in words:
        return "The installation failed: the disk is full. Make room and start again."
    if "Temporary failure in name resolution" in words or "Connection" in words or "Max retries" in words:
        return f"The package index cannot be reached: {tail(words)}"
    return f"The installation failed: {tail(words)}"


def tail(words: str, lines: int = 6) -> str:
    """The last lines of an output."""
    return "\n".join(words.strip().splitlines()[-lines:])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it prints."""
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
