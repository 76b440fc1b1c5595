"""`python -m clients.traffic`: reports believable usage to a portal, as it happens, until it is told to stop.

At `--speed` x each line behaves like x lines: events come x times as often, while their times stay those of
the clock, so that no record lies in the future. What happened while the portal was away is delivered
afterwards, up to fifteen minutes.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from clients.traffic import config as configuration
from clients.traffic.config import BadConfig, Config
from clients.traffic.model import Record, Traffic
from clients.traffic.sender import Rejected, Sender

TICK_SECONDS = 1.0
STATUS_SECONDS = 10.0
#: What piles up in a longer outage is not made up later: a network's own buffers end somewhere, too.
BACKLOG_SECONDS = 15 * 60


def say(sentence: str) -> None:
    """One line, at once, also into a pipe."""
    print(f"traffic: {sentence}", flush=True)


def _speed(text: str) -> float:
    """A speed between 1 and 1000, written 20 or x20."""
    try:
        speed = float(text.lower().removeprefix("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is no speed; write x20.") from None
    if not 1 <= speed <= 1000:
        raise argparse.ArgumentTypeError("a speed lies between x1 and x1000.")
    return speed


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m clients.traffic", description=__doc__.split("\n\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the portal")
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        help="JSON file with token and lines (manage.py demo writes one)",
    )
    parser.add_argument(
        "--speed", type=_speed, help="x1 to x1000: how much busier than life (default: the file's, else x1)"
    )
    parser.add_argument("--seed", type=int, help="instead of the seed in the file")
    parser.add_argument("--duration", type=float, default=math.inf, metavar="SECONDS", help="stop after so long")
    parser.add_argument("--rate", type=float, default=math.inf, metavar="CAP", help="at most so many records a second")
    parser.add_argument("--batch", type=int, default=500, help="records a call at most (1 to 10000, default 500)")
    arguments = parser.parse_args(argv)
    if not 1 <= arguments.batch <= 10_000:
        parser.error("--batch lies between 1 and 10000.")
    if arguments.rate <= 0 or arguments.duration <= 0:
        parser.error("--rate and --duration are above 0.")
    return arguments


@dataclass
class Run:
    """One run of the generator: what it makes, how it is delivered, and when it ends."""

    traffic: Traffic
    sender: Sender
    stopping: threading.Event
    batch: int
    most_a_second: float
    speed: float
    credit: float = 0.0
    left_out: int = 0

    def until(self, ends_at: float) -> None:
        """Deliver slot after slot as the clock passes them, until `ends_at` or until told to stop."""
        slot = self.traffic.slot_of(time.time())
        told_at, told_records = time.time(), 0
        while not self.stopping.is_set() and time.time() < ends_at:
            now = time.time()
            slot = max(slot, self.traffic.slot_of(now - BACKLOG_SECONDS))
            records = self._due(slot, self.traffic.slot_of(now))
            slot = self.traffic.slot_of(now)
            for first in range(0, len(records), self.batch):
                if not self.sender.deliver(records[first : first + self.batch]):
                    return
            if time.time() - told_at >= STATUS_SECONDS:
                sent = self.sender.figures.records
                self.tell((sent - told_records) / (time.time() - told_at))
                told_at, told_records = time.time(), sent
            self.stopping.wait(max(0.0, min(now + TICK_SECONDS, ends_at) - time.time()))

    def _due(self, first: int, end: int) -> list[Record]:
        """The records of slots [first, end), with what lies above the cap left out evenly."""
        records = [record for slot in range(first, end) for record in self.traffic.slot(slot)]
        if math.isinf(self.most_a_second):
            return records
        self.credit += self.most_a_second * self.traffic.slot_seconds * (end - first)
        kept = min(len(records), int(self.credit))
        self.credit = min(self.credit - kept, max(1.0, self.most_a_second))
        self.left_out += len(records) - kept
        return [records[index * len(records) // kept] for index in range(kept)]

    def tell(self, per_second: float) -> None:
        """The status line."""
        figures = self.sender.figures
        cap = f", {self.left_out} left out by --rate" if self.left_out else ""
        say(
            f"{figures.records} records in {figures.batches} batches, {per_second:.1f}/s at x{self.speed:g}, "
            f"{figures.retries} retries{cap}"
        )


def prepare(config: Config, arguments: argparse.Namespace, stopping: threading.Event) -> Run:
    """A run as the command line wants it."""
    seed = config.seed if arguments.seed is None else arguments.seed
    speed = arguments.speed or config.speed
    traffic = Traffic(
        config.lines,
        seed=seed,
        # Another seed or speed makes other records in the same second: they must not share ids.
        prefix=f"{seed}x{speed:g}",
        rate=speed,
        home_network=config.home_network,
        time_zone=config.time_zone,
    )
    sender = Sender(arguments.url, config.token, config.source, say=say, stopping=stopping)
    return Run(traffic, sender, stopping, arguments.batch, arguments.rate, speed)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0 at an orderly end, 2 where the file or the portal says that it cannot work."""
    arguments = _arguments(argv)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    begun = time.time()
    try:
        run = prepare(configuration.read(arguments.config), arguments, stopping)
        say(f"{len(run.traffic)} lines to {arguments.url} at x{run.speed:g}")
        run.until(begun + arguments.duration)
    except (BadConfig, Rejected) as error:
        say(str(error))
        return 2
    run.tell(run.sender.figures.records / max(0.001, time.time() - begun))
    return 0


if __name__ == "__main__":
    sys.exit(main())
