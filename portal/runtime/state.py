"""The state file of the embedded servers: `<data>/embedded.json`, readable by its owner only.

Holds ports, passwords, folders, process ids and, for everyone else to read, the three URLs. It is the only
place the passwords are kept.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from portal.runtime.errors import RuntimeProblem

FILE_NAME = "embedded.json"
DATABASE = "portal"
SUPERUSER, OWNER, APPLICATION = "postgres", "portal_owner", "portal_app"


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass
class State:
    """What one data folder's servers need to be found again. Field names are part of the file's format."""

    directory: str = ""
    server_user: str = ""
    postgres_port: int = 0
    valkey_port: int = 0
    superuser_password: str = field(default_factory=_password)
    owner_password: str = field(default_factory=_password)
    application_password: str = field(default_factory=_password)
    redis_password: str = field(default_factory=_password)
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """URL of the application role."""
        return self._postgres_url(APPLICATION, self.application_password, DATABASE)

    @property
    def database_owner_url(self) -> str:
        """URL of the role that owns the database and runs migrations."""
        return self._postgres_url(OWNER, self.owner_password, DATABASE)

    @property
    def redis_url(self) -> str:
        """URL of the first of the Redis databases."""
        return f"redis://:{self.redis_password}@127.0.0.1:{self.valkey_port}/0"

    def superuser_url(self, database: str = "postgres") -> str:
        """URL of the bootstrap role; nothing but the launcher uses it."""
        return self._postgres_url(SUPERUSER, self.superuser_password, database)

    def _postgres_url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self.postgres_port}/{database}"


def load(data_dir: Path) -> State | None:
    """Read the state of a data folder; None where no server was ever started."""
    path = data_dir / FILE_NAME
    try:
        stored = json.loads(path.read_text())
        return State(**{name: stored[name] for name in State.__dataclass_fields__})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RuntimeProblem(
            f"{path} cannot be read ({error}). It holds the passwords of the embedded servers: restore it, "
            "or begin afresh with `make reset`."
        ) from error


def save(data_dir: Path, state: State) -> None:
    """Write the state so that a crash leaves either the old file or the new one."""
    path = data_dir / FILE_NAME
    urls = {name: getattr(state, name) for name in ("database_url", "database_owner_url", "redis_url")}
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({**urls, **asdict(state)}, file, indent=2)
        file.write("\n")
    os.replace(temporary, path)
