"""`make run`: starts everything on this machine, keeps it running, stops all of it.

The order: servers, schema, demo, static files, then web server, workers, beat and traffic. One thread and one
loop: children end with it by the kernel's hand even if it is killed. Never touches processes that are not of
its data folder.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from portal.runtime import embedded, processes, run_lock, service, static_files
from portal.runtime.console import say, step
from portal.runtime.errors import RuntimeProblem
from portal.runtime.options import Options
from portal.runtime.service import MARK, ROOT, Service

READY_SECONDS = 90
STOP_SECONDS = 10
LOOP_SECONDS = 0.25
GIVE_UP_AFTER = 4  # failures of one program before the portal was ever ready
SERVERS_LOOK_SECONDS = 2


class Stopped(Exception):
    """Somebody asked for the end while a step was running."""


@dataclass
class Supervisor:
    """One run of the whole stack in one data folder."""

    options: Options
    services: list[Service] = field(default_factory=list)
    servers: embedded.Servers | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_asked: bool = False
    ready: bool = False
    _commands: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _servers_looked_at: float = 0.0

    def run(self) -> None:
        """Start, watch until asked to stop, stop. Raises RuntimeProblem if it cannot start."""
        self._listen_for_signals()
        embedded.make_data_folder(self.options.data_dir)
        lock = run_lock.take(self.options.data_dir, self.options.url)
        try:
            self._clear_leftovers()
            check_port(self.options.host, self.options.port)
            self._prepare()
            self._start_services()
            self._watch()
        except Stopped:
            pass
        finally:
            self._stop()
            lock.close()

    # --- start ---------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.environment = {
            "COMPRESS_STATIC": "0",
            **os.environ,
            "DATA_DIR": str(self.options.data_dir),
            "PORT": str(self.options.port),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            MARK: str(self.options.data_dir),
        }
        if not self.options.own_servers:
            with step("PostgreSQL 18 and Valkey are up"):
                self.servers = embedded.start(self.options.data_dir, end_with_parent=True, say=say)
            self.environment.update(self.servers.environment())
        collect = static_files.out_of_date(self.options.data_dir)
        if collect:
            # It needs no database, so it begins first and is awaited last.
            self._begin("collectstatic", "--noinput", "--clear", "--verbosity=0")
        with step("The schema is up to date"):
            self._begin("migrate", "--noinput", "--verbosity=0")
            self._finish("migrate")
        if self.options.demo:
            with step("The demo enterprises are there"):
                self._begin("demo", "--if-empty")
                self._finish("demo")
        if collect:
            with step("Static files are collected"):
                self._finish("collectstatic")
            static_files.note(self.options.data_dir)

    def _begin(self, name: str, *options: str) -> None:
        """Start one command of manage.py; it prints for itself."""
        self._check_stop()
        self._commands[name] = subprocess.Popen(
            [sys.executable, "manage.py", name, *options],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=processes.end_with_parent(signal.SIGTERM),
        )

    def _finish(self, name: str) -> None:
        """Wait until a command has ended well. Raises RuntimeProblem if it failed, Stopped if asked to."""
        command = self._commands[name]
        while command.poll() is None:
            time.sleep(0.02)
            self._check_stop()
        del self._commands[name]
        if command.returncode != 0:
            raise RuntimeProblem(f"`manage.py {name}` failed (exit code {command.returncode}); its output is above.")

    def _start_services(self) -> None:
        options, logs = self.options, self.options.data_dir / "logs"
        commands = {"web": service.web_command(options.host, options.port)}
        for number in range(1, options.charging_workers + 1):
            commands[f"charging{number}"] = service.worker_command(f"charging{number}")
        commands["sender"] = service.sender_command("sender")
        commands["beat"] = service.beat_command()
        begun = time.monotonic()
        for name, command in commands.items():
            self._add(Service(name, command, self.environment, logs / f"{name}.log"))
        self._wait_until_ready(begun)
        configuration = options.data_dir / "traffic.json"
        if options.traffic and configuration.exists():
            command = service.traffic_command(options.port, configuration)
            self._add(Service("traffic", command, self.environment, logs / "traffic.log"))
        self._welcome()

    def _add(self, new: Service) -> None:
        self.services.append(new)
        new.start()

    def _wait_until_ready(self, begun: float) -> None:
        names = f"Web server, {self.options.charging_workers} charging workers, sender and beat"
        told = ""
        while True:
            self._keep_running()
            self._check_stop()
            missing = not_ready(self.options.url)
            if missing is None:
                self.ready = True
                say(f"{names} are up ({time.monotonic() - begun:.1f} s)")
                return
            if time.monotonic() - begun > READY_SECONDS and missing != told:
                told = missing
                say(f"Not ready yet: {missing}. The logs are in {self.options.data_dir / 'logs'}")
            time.sleep(LOOP_SECONDS)

    def _welcome(self) -> None:
        say(f"\nThe portal is at {self.options.url}")
        for line in logins(self.options.data_dir / "cast.json"):
            say(line)
        say(f"\nLogs are in {self.options.data_dir / 'logs'}. Ctrl-C stops everything.")

    # --- watch ---------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self.stop_asked:
            self._keep_running()
            time.sleep(LOOP_SECONDS)

    def _keep_running(self) -> None:
        now = time.monotonic()
        if self.servers is not None and now - self._servers_looked_at > SERVERS_LOOK_SECONDS:
            self._servers_looked_at = now
            self._keep_servers_running()
        for one in self.services:
            if one.child is None:
                if now >= one.due_at:
                    one.start()
            elif not one.runs():
                end = one.note_end()
                self._give_up_if_hopeless(one, end)
                say(f"{one.name} ended ({end}) and is started again; see {one.log}")

    def _keep_servers_running(self) -> None:
        assert self.servers is not None
        for server in self.servers:
            if server.ended():
                say(f"{server.title} ended and is started again; see {server.log}")
                try:
                    self.servers.start(server)
                except RuntimeProblem as problem:
                    say(f"{problem} Trying again.")

    def _give_up_if_hopeless(self, one: Service, end: str) -> None:
        if not self.ready and one.failures >= GIVE_UP_AFTER:
            raise RuntimeProblem(f"{one.name} does not start ({end}). The end of {one.log}:\n{one.last_words()}")

    # --- stop ----------------------------------------------------------------------------------------------

    def _listen_for_signals(self) -> None:
        def ask(number: int, frame: object) -> None:
            self.stop_asked = True

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                signal.signal(number, ask)

    def _check_stop(self) -> None:
        if self.stop_asked:
            raise Stopped

    def _stop(self) -> None:
        begun = time.monotonic()
        children = [*self._commands.values(), *(one.child for one in self.services if one.child is not None)]
        if children:
            say("Stopping")
        processes.end_groups(children, grace_seconds=STOP_SECONDS)
        self._clear_leftovers()
        if self.servers is not None:
            self.servers.stop()
        if children:
            say(f"Everything has stopped ({time.monotonic() - begun:.1f} s)")

    def _clear_leftovers(self) -> None:
        """End what an earlier run of this data folder, or one of its children, may have left."""
        processes.end(processes.marked(MARK, str(self.options.data_dir)), grace_seconds=STOP_SECONDS)


def check_port(host: str, port: int) -> None:
    """Raise RuntimeProblem, with what helps, where a server cannot listen on the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections still closing are no matter
            listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else 8000
            raise RuntimeProblem(
                f"Port {port} is taken by another program. Choose another one: PORT={other} make run"
            ) from error
        raise RuntimeProblem(f"The portal cannot listen on {host}, port {port}: {error.strerror}.") from error


def not_ready(url: str) -> str | None:
    """What /readyz still misses, in words; None when the portal is ready."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:  # noqa: S310 - our own address
            return None if response.status == 200 else f"/readyz says {response.status}"
    except urllib.error.HTTPError as error:
        return f"/readyz says {error.read(2000).decode(errors='replace').strip() or error.code}"
    except OSError as error:
        return f"the web server does not answer ({getattr(error, 'reason', error)})"


def logins(cast_file: Path) -> list[str]:
    """The demo's people as lines of a table; empty without a demo."""
    try:
        cast = json.loads(cast_file.read_text())
    except (OSError, ValueError):
        return []
    rows = [tuple(str(person.get(key, "")) for key in ("email", "password", "name", "role")) for person in cast]
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    return ["Sign in as (e-mail, password):"] + [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def run() -> int:
    """`manage.py run`. Returns the exit code; problems are one sentence on standard error."""
    try:
        Supervisor(Options.read(os.environ)).run()
    except RuntimeProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0
