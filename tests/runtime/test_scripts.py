"""What runs before anything is installed: it finds Python and Chromium, or says what is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from portal.runtime.service import ROOT
from scripts import bootstrap, browser


def test_a_python_that_is_too_old_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # answers "no" when asked whether it is new enough
    old.chmod(0o755)
    finished = subprocess.run(
        ["scripts/python", "-c", "print('ran')"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr == f"PYTHON={old} is not a Python from 3.11 to 3.14.\n"


def test_packages_are_installed_once_for_the_same_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("one==1\n")
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", requirements)

    def pip(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "")

    monkeypatch.setattr(bootstrap, "run", pip)
    bootstrap.install([requirements])
    bootstrap.install([requirements])
    assert len(commands) == 1
    bootstrap.install([requirements, bootstrap.TEST_REQUIREMENTS])
    bootstrap.install([requirements])  # the larger set is there: nothing to do
    assert len(commands) == 2
    requirements.write_text("one==2\n")
    bootstrap.install([requirements])
    assert len(commands) == 3


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_missing_browser_is_an_error_in_ci_only(
    ci: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> str:
        raise browser.BrowserMissing("There is none.")

    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(browser, "find_browser", missing)
    monkeypatch.setattr(browser, "install_browser", missing)
    assert browser.main() == code
    assert "There is none." in capsys.readouterr().err


def test_a_browser_that_was_named_has_to_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(browser.BrowserMissing, match="/nowhere/chromium"):
        browser.find_browser()
