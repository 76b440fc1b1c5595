"""PostgreSQL and Valkey for a first run and for the tests: one call starts both, one stops them.

`start(data_dir)` makes what is missing, reuses what already runs and repairs what a crash left. Nothing here
is used where DATABASE_URL and REDIS_URL name servers of one's own.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from portal.runtime import binaries, state, unprivileged
from portal.runtime.errors import RuntimeProblem
from portal.runtime.postgres import Postgres
from portal.runtime.server import Home, Server
from portal.runtime.state import State
from portal.runtime.unprivileged import ServerUser
from portal.runtime.valkey import Valkey

REQUIRED_BYTES = 500 * 1024 * 1024


def _silently(_: str) -> None:
    pass


class Servers:
    """The two servers of one data folder."""

    def __init__(self, data_dir: Path, home: Home, known: State) -> None:
        self.data_dir, self.state = data_dir, known
        self.postgres, self.valkey = Postgres(home, known), Valkey(home, known)
        self.started: list[Server] = []

    def __iter__(self) -> Iterator[Server]:
        return iter((self.postgres, self.valkey))

    def environment(self) -> dict[str, str]:
        """The variables by which every program of the product finds these servers."""
        return {
            "DATABASE_URL": self.state.database_url,
            "DATABASE_OWNER_URL": self.state.database_owner_url,
            "REDIS_URL": self.state.redis_url,
        }

    def start(self, server: Server) -> None:
        """Start one of the servers if it does not run, and keep what others need to find it."""
        server.create()
        if server.start():
            self.started.append(server)
        found = server.processes()
        if found:
            self.state.pids[server.name] = found[0].pid
        state.save(self.data_dir, self.state)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop both; `at_once` as a crash would, for data that is thrown away anyway."""
        for server in self:
            server.stop(at_once=at_once)
        self.state.pids.clear()
        state.save(self.data_dir, self.state)


def start(
    data_dir: Path | str,
    *,
    durable: bool = True,
    end_with_parent: bool = False,
    say: Callable[[str], None] = _silently,
) -> Servers:
    """Start PostgreSQL and Valkey of `data_dir`, or join those that run, and return them ready for use.

    `durable=False` trades safety against a crash of the machine for speed. `end_with_parent` ties the servers
    to the calling thread's life, which must then be the main one. `say` is told of waits.
    Raises RuntimeProblem.
    """
    data_dir = Path(data_dir).resolve()
    make_data_folder(data_dir)
    with _locked(data_dir):
        known = state.load(data_dir)
        user = unprivileged.server_user(known.server_user if known else None)
        directory = _place(data_dir, user, known)
        known = known or State()
        known.directory, known.server_user = str(directory), user.name
        state.save(data_dir, known)  # before the cluster is made with these passwords
        home = Home(
            directory=directory,
            logs=data_dir / "logs",
            user=user,
            binaries=binaries.reachable(binaries.locate(), user, directory),
            durable=durable,
            end_with_parent=end_with_parent,
            say=say,
        )
        servers = Servers(data_dir, home, known)
        for server in servers:
            servers.start(server)
        servers.postgres.prepare()
        return servers


def stop(data_dir: Path | str, *, at_once: bool = False) -> bool:
    """Stop the servers of `data_dir`, whoever started them; False where none was ever started."""
    data_dir = Path(data_dir).resolve()
    known = state.load(data_dir)
    if known is None:
        return False
    user = ServerUser(name=known.server_user)
    home = Home(Path(known.directory), data_dir / "logs", user, binaries.locate(), True, False, _silently)
    with _locked(data_dir):
        Servers(data_dir, home, known).stop(at_once=at_once)
    return True


def folders(data_dir: Path | str) -> list[Path]:
    """The folders that belong to `data_dir`: itself, and where its servers had to be put elsewhere."""
    data_dir = Path(data_dir).resolve()
    known = state.load(data_dir) if data_dir.exists() else None
    places = [data_dir, Path(known.directory) if known and known.directory else _place_elsewhere(data_dir)]
    outside = [place for place in places[1:] if data_dir not in place.parents]
    return [place for place in (data_dir, *outside) if place.exists()]


def make_data_folder(data_dir: Path) -> None:
    """Create the data folder and its logs; others may pass through it, not list it. Raises RuntimeProblem."""
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o711)
        (data_dir / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise RuntimeProblem(f"The data folder {data_dir} cannot be made: {error.strerror}.") from error
    if shutil.disk_usage(data_dir).free < REQUIRED_BYTES:
        raise RuntimeProblem(
            f"Less than {REQUIRED_BYTES // 1024**2} MB are free where {data_dir} is. Make room, or set "
            "DATA_DIR to a folder on another disk."
        )


def _place(data_dir: Path, user: ServerUser, known: State | None) -> Path:
    """Where the servers' files go: into the data folder, if their user can get there."""
    if known is not None and known.directory and Path(known.directory).exists():
        return Path(known.directory)
    inside = data_dir / "servers"
    if known is None and inside.exists() and any(inside.iterdir()):
        raise RuntimeProblem(
            f"{inside} holds a database, but {data_dir / state.FILE_NAME} with its passwords is missing. "
            "Restore that file, or begin afresh with `make reset`."
        )
    inside.mkdir(exist_ok=True)
    inside.chmod(0o755)
    if user.uid is None or user.can_enter(inside):
        return inside
    inside.rmdir()
    return _make_place_elsewhere(_place_elsewhere(data_dir))


def _place_elsewhere(data_dir: Path) -> Path:
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"portal-servers-{digest}"  # noqa: S108 - the owner is checked before use


def _make_place_elsewhere(place: Path) -> Path:
    """For a data folder that the server user cannot reach, such as one below /root."""
    if place.is_symlink() or (place.exists() and place.stat().st_uid != os.geteuid()):
        raise RuntimeProblem(f"{place} belongs to somebody else. Remove it, or set DATA_DIR to another folder.")
    if place.exists():
        # Its data folder, and with it the passwords, has been deleted: nobody can open this database again.
        shutil.rmtree(place)
    place.mkdir()
    place.chmod(0o755)
    return place


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """Two programs that start or stop the servers of one folder take turns."""
    with (data_dir / "embedded.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
