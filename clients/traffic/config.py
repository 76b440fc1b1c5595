"""The configuration file of the generator: who reports, for which lines, from where. JSON, read once at the
start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.traffic.model import Line
from clients.traffic.profiles import PROFILES


class BadConfig(Exception):
    """The file cannot be used; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration."""

    token: str
    lines: tuple[Line, ...]
    source: str = "traffic"
    home_network: str = "26201"
    time_zone: str = "Europe/Berlin"
    seed: int = 1
    speed: float = 1.0


def read(path: Path) -> Config:
    """The configuration in a file; raises `BadConfig`."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}. `manage.py demo` writes such a file.") from None
    except ValueError as error:
        raise BadConfig(f"{path} is not JSON: {error}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("lines"), list) or not content.get("token"):
        raise BadConfig(f"{path} must be an object with a token and a list of lines.")
    known = {"source", "home_network", "time_zone", "seed", "speed"}
    return Config(
        token=content["token"],
        lines=tuple(_line(path, index, line) for index, line in enumerate(content["lines"])),
        **{key: value for key, value in content.items() if key in known},
    )


def _line(path: Path, index: int, line: Any) -> Line:
    try:
        found = Line(**line)
    except TypeError:
        raise BadConfig(f"{path}: line {index} must have msisdn and profile, and may have imei.") from None
    if found.profile not in PROFILES:
        raise BadConfig(f"{path}: line {index} has the profile “{found.profile}”; known are {', '.join(PROFILES)}.")
    return found
