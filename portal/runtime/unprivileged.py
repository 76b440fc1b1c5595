"""Whom the embedded servers run as, and what that user can reach.

PostgreSQL refuses to run as root. Started by root (as in most containers), the servers become an existing
unprivileged user. Never creates users, never changes the mode of a folder that is not the product's own.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portal.runtime.errors import RuntimeProblem

CANDIDATES = ("postgres", "nobody", "daemon")


@dataclass(frozen=True)
class ServerUser:
    """The user of the server processes. `uid` is None when they run as whoever started them."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def popen_arguments(self) -> dict[str, Any]:
        """Arguments for `subprocess` that make the child this user."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can list and traverse `folder`, all its parents included."""
        return self._succeeds("test", "-r", folder) and self._succeeds("test", "-x", folder)

    def can_run(self, program: Path) -> bool:
        """Whether this user can execute `program`."""
        return self._succeeds(program, "--version")

    def own(self, path: Path) -> None:
        """Make this user the owner of `path`, which must be the product's own."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def works(self) -> bool:
        """Whether a process can become this user here: containers may forbid it or not map the user."""
        return self._succeeds("true")

    def _succeeds(self, *command: str | Path) -> bool:
        try:
            finished = subprocess.run(
                [os.fspath(part) for part in command],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=30,
                **self.popen_arguments(),
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return finished.returncode == 0


def server_user(recorded: str | None = None) -> ServerUser:
    """Choose the user: whoever runs this, unless that is root.

    `recorded` is the user of an earlier start, who owns the files. Raises RuntimeProblem if root cannot
    become anybody else.
    """
    if os.geteuid() != 0:
        return ServerUser(name=pwd_name(os.geteuid()))
    for user in _candidates(recorded):
        if user.works():
            return user
    raise RuntimeProblem(
        "PostgreSQL does not run as root, and none of the users "
        f"{', '.join(CANDIDATES)} can be used here instead. Start as a normal user, or set DATABASE_URL and "
        "REDIS_URL to servers of your own."
    )


def pwd_name(uid: int) -> str:
    """Name of a user, or its number where it has none (as in some containers)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _candidates(recorded: str | None) -> Iterator[ServerUser]:
    for name in dict.fromkeys([*([recorded] if recorded else []), *CANDIDATES]):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            yield ServerUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
