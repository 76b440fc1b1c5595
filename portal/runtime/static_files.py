"""Knows whether the collected static files are those of the checkout. Never collects them itself."""

import hashlib
from pathlib import Path

from portal.runtime.service import ROOT

SOURCES = ("static", "portal/settings.py", "requirements.txt")


def out_of_date(data_dir: Path) -> bool:
    """Whether the sources changed since `note` was called for this data folder."""
    try:
        return _stamp(data_dir).read_text() != _digest()
    except FileNotFoundError:
        return True


def note(data_dir: Path) -> None:
    """Remember the sources that have just been collected."""
    _stamp(data_dir).write_text(_digest())


def _stamp(data_dir: Path) -> Path:
    return data_dir / "static" / ".collected-from"


def _digest() -> str:
    digest = hashlib.sha256()
    for source in SOURCES:
        top = ROOT / source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                status = path.stat()
                digest.update(f"{path.relative_to(ROOT)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
