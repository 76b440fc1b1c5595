"""The embedded servers: started, joined, stopped and repaired after a crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from portal.runtime import embedded, processes
from portal.runtime.errors import RuntimeProblem
from portal.runtime.service import ROOT


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that an unprivileged server user can reach, unlike pytest's own temporary folders."""
    folder = Path(tempfile.mkdtemp(prefix="portal-embedded-"))
    folder.chmod(0o711)
    yield folder
    embedded.stop(folder, at_once=True)
    for place in reversed(embedded.folders(folder)):
        shutil.rmtree(place)


def value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def test_both_servers_answer_under_their_urls_and_ask_for_passwords(data_dir: Path) -> None:
    servers = embedded.start(data_dir, durable=False)
    environment = servers.environment()

    assert str(value(environment["DATABASE_URL"], "SHOW server_version")).startswith("18")
    assert redis.Redis.from_url(environment["REDIS_URL"]).ping()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(environment["DATABASE_URL"].replace(servers.state.application_password, "wrong"))
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=servers.state.valkey_port).ping()
    state = data_dir / "embedded.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert (
        json.loads(state.read_text()).items()
        >= {
            "database_url": environment["DATABASE_URL"],
            "database_owner_url": environment["DATABASE_OWNER_URL"],
            "redis_url": environment["REDIS_URL"],
        }.items()
    )


def test_the_servers_never_run_as_root(data_dir: Path) -> None:
    users = []
    for process in [process for server in embedded.start(data_dir, durable=False) for process in server.processes()]:
        with suppress(psutil.NoSuchProcess):  # a short-lived one of PostgreSQL's own
            users.append(process.uids().effective)
    assert len(users) > 2
    assert 0 not in users


def test_the_application_role_uses_tables_but_owns_and_creates_none(data_dir: Path) -> None:
    environment = embedded.start(data_dir, durable=False).environment()
    with psycopg.connect(environment["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY, name text)")
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as application:
        application.execute("INSERT INTO thing (name) VALUES ('one')")
        application.execute("UPDATE thing SET name = 'two'")
        application.execute("ANALYZE thing")
        application.execute("CREATE TEMPORARY TABLE passing (id int)")
        for forbidden in ("CREATE TABLE mine (id int)", "TRUNCATE thing", "DROP TABLE thing"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(forbidden)


def test_a_second_start_joins_the_running_servers(data_dir: Path) -> None:
    first = embedded.start(data_dir, durable=False)
    pids = [server.processes()[0].pid for server in first]
    second = embedded.start(data_dir, durable=False)
    assert second.started == []
    assert second.environment() == first.environment()
    assert [server.processes()[0].pid for server in second] == pids


def test_data_survives_a_stop_and_a_start(data_dir: Path) -> None:
    first = embedded.start(data_dir, durable=False)
    with psycopg.connect(first.environment()["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 7 AS number")
    redis.Redis.from_url(first.environment()["REDIS_URL"]).set("kept", 7)
    first.stop()
    assert [server.processes() for server in first] == [[], []]

    again = embedded.start(data_dir, durable=False)
    assert again.environment() == first.environment()
    assert value(again.environment()["DATABASE_URL"], "SELECT number FROM kept") == 7
    assert redis.Redis.from_url(again.environment()["REDIS_URL"]).get("kept") == b"7"


def test_servers_killed_without_warning_come_back_with_what_was_committed(data_dir: Path) -> None:
    first = embedded.start(data_dir, durable=False)
    with psycopg.connect(first.environment()["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 7 AS number")
        redis.Redis.from_url(first.environment()["REDIS_URL"]).set("kept", 7)
        for server in first:
            server.processes()[0].kill()

    again = embedded.start(data_dir, durable=False)
    assert [server.name for server in again.started] == ["postgres", "valkey"]
    assert value(again.environment()["DATABASE_URL"], "SELECT number FROM kept") == 7
    assert redis.Redis.from_url(again.environment()["REDIS_URL"]).get("kept") == b"7"


def test_a_stale_pid_file_that_names_another_program_is_no_hindrance(data_dir: Path) -> None:
    servers = embedded.start(data_dir, durable=False)
    servers.stop()
    # A process of the server's own user: PostgreSQL itself would believe it to be the old server.
    other = subprocess.Popen(["sleep", "60"], **servers.postgres.home.user.popen_arguments())
    try:
        pid_file = servers.postgres.folder / "postmaster.pid"
        pid_file.write_text(f"{other.pid}\n{servers.postgres.folder}\n")
        assert embedded.start(data_dir, durable=False).started
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_port_taken_meanwhile_is_exchanged_for_another(data_dir: Path) -> None:
    servers = embedded.start(data_dir, durable=False)
    servers.stop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", servers.state.postgres_port))
        listener.listen()
        again = embedded.start(data_dir, durable=False)
    assert again.state.postgres_port != servers.state.postgres_port
    assert value(again.environment()["DATABASE_URL"], "SELECT 1") == 1


def test_the_servers_end_with_a_killed_parent(data_dir: Path) -> None:
    script = (
        "import sys, time; from portal.runtime import embedded;"
        "embedded.start(sys.argv[1], durable=False, end_with_parent=True);"
        "print('up', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    running = [
        process
        for name in ("postgres", "valkey")
        for process in processes.working_in(data_dir / "servers" / name, name)
    ]
    assert len(running) >= 2

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(running, timeout=15)
    assert alive == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the servers as somebody else")
def test_a_data_folder_out_of_reach_for_the_server_user_gets_its_servers_elsewhere() -> None:
    closed = Path(tempfile.mkdtemp(prefix="portal-closed-"))  # 0700, as /root is
    data_dir = closed / "data"
    try:
        servers = embedded.start(data_dir, durable=False)
        place = Path(servers.state.directory)
        assert closed not in place.parents
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert value(servers.environment()["DATABASE_URL"], "SELECT 1") == 1
        assert place in embedded.folders(data_dir)
    finally:
        embedded.stop(data_dir, at_once=True)
        for folder in reversed(embedded.folders(data_dir)):
            shutil.rmtree(folder)
        closed.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the servers as somebody else")
def test_programs_out_of_reach_for_the_server_user_run_from_a_copy(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.runtime import binaries

    installed = binaries.locate()
    real = binaries._all_run
    monkeypatch.setattr(binaries, "_all_run", lambda found, user: found != installed and real(found, user))
    servers = embedded.start(data_dir, durable=False)
    assert data_dir in Path(servers.postgres.processes()[0].exe()).parents
    assert value(servers.environment()["DATABASE_URL"], "SELECT 1") == 1


def test_lost_passwords_are_reported_and_nothing_is_deleted(data_dir: Path) -> None:
    embedded.start(data_dir, durable=False).stop()
    kept = (data_dir / "embedded.json").read_text()
    (data_dir / "embedded.json").unlink()
    with pytest.raises(RuntimeProblem, match=r"embedded\.json with its passwords is missing"):
        embedded.start(data_dir, durable=False)
    (data_dir / "embedded.json").write_text(kept)
    assert embedded.start(data_dir, durable=False).started


def test_too_little_room_on_the_disk_is_said_in_one_sentence(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "REQUIRED_BYTES", 1 << 60)
    with pytest.raises(RuntimeProblem, match="Make room"):
        embedded.start(data_dir, durable=False)
