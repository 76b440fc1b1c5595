"""Finds Chromium for the browser tests, or installs Debian's package of it where that is possible.

    python3 scripts/browser.py      prints the path; installs if need be

Installs only as root and only on systems with apt. Outside CI a missing browser is reported and no error,
because the tests then skip with the reason; with CI=true it is one.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
WAIT_SECONDS = 900


class BrowserMissing(Exception):
    """No Chromium here; the message says what to do."""


def find_browser() -> str:
    """Path of Chromium: $CHROMIUM, or the first known name on PATH. Raises BrowserMissing."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        if os.access(chosen, os.X_OK):
            return chosen
        raise BrowserMissing(f"CHROMIUM={chosen} is not a program that can be run.")
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise BrowserMissing(
        "Chromium is not installed. Install it (Debian: apt-get install chromium), or set CHROMIUM to its path."
    )


def install_browser() -> str:
    """Install Debian's Chromium and return its path. Raises BrowserMissing where that cannot be done."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return find_browser()
    print("Installing Chromium for the browser tests (a minute or two)", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        try:
            finished = subprocess.run(
                ["apt-get", "-q", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=WAIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise BrowserMissing(f"apt-get {arguments[0]} took more than {WAIT_SECONDS} s.") from None
        # A mirror that fails `update` may still serve the package from the lists that are there.
        if finished.returncode != 0 and arguments[0] == "install":
            words = finished.stdout.decode(errors="replace").strip().splitlines()[-3:]
            raise BrowserMissing("apt-get could not install Chromium: " + " / ".join(words))
    return find_browser()


def main() -> int:
    try:
        try:
            path = find_browser()
        except BrowserMissing:
            path = install_browser()
    except BrowserMissing as missing:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            print(f"No browser, which is an error in CI. {missing}", file=sys.stderr)
            return 1
        print(f"Browser tests will be skipped. {missing}", file=sys.stderr)
        return 0
    print(f"Chromium for the browser tests: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
