"""What the environment says about a run, checked before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from portal.runtime.errors import RuntimeProblem
from portal.runtime.service import ROOT


@dataclass(frozen=True)
class Options:
    """The settings of `make run`."""

    data_dir: Path
    host: str
    port: int
    charging_workers: int
    demo: bool
    traffic: bool
    own_servers: bool

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Options":
        """Read the variables. Raises RuntimeProblem where one makes no sense."""
        named = {name for name in ("DATABASE_URL", "REDIS_URL") if environment.get(name)}
        if len(named) == 1:
            raise RuntimeProblem("Set both DATABASE_URL and REDIS_URL, or neither for the embedded servers.")
        return cls(
            data_dir=data_folder(environment),
            host=environment.get("HOST") or "127.0.0.1",
            port=_number(environment, "PORT", 8000, most=65535),
            charging_workers=_number(environment, "CHARGING_WORKERS", 2, most=64),
            demo=_wanted(environment, "DEMO"),
            traffic=_wanted(environment, "TRAFFIC"),
            own_servers=bool(named),
        )

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Where servers, logs and uploads are: DATA_DIR, or `.data` in the checkout."""
    return Path(environment.get("DATA_DIR") or ROOT / ".data").resolve()


def _wanted(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "1").lower() not in ("0", "no", "false")


def _number(environment: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise RuntimeProblem(f"{name}={text} makes no sense: it must be a number from 1 to {most}.")
    return int(text)
