"""A charging process for tests: `python -m tests.faults.charging_worker ENTERPRISE TURNS`; it says "ready", and begins
with a line of JSON: where simulated time began (`begin`), when (`since`, seconds), how fast it runs (`speed`), and how
many seconds it lasts (`seconds`).

With TURNS 1 it takes turns with the enterprise as workers do; with 0 it goes past the turn, so that several meet at
the enterprise's row. It ends when time is over and nothing waits, and says as JSON what it charged, how often it was
another one's turn, and what it logged as a warning or worse.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """Simulated time, the same in all processes: `speed` seconds of it a second."""

    begin: str
    since: float
    speed: float
    seconds: float

    def now(self) -> datetime:
        """The simulated time."""
        passed = timedelta(seconds=(time.time() - self.since) * self.speed)
        return datetime.fromisoformat(self.begin).astimezone(UTC) + passed

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return time.time() > self.since + self.seconds


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    import django

    django.setup()
    from structlog.testing import capture_logs

    from portal.charging import pipeline

    enterprise_id, takes_turns = int(sys.argv[1]), sys.argv[2] == "1"
    print("ready", flush=True)
    clock = Clock(**json.loads(sys.stdin.readline()))
    charged = groups = others_turn = 0
    with capture_logs() as told:
        while True:
            try:
                if takes_turns:
                    counts = pipeline.drain(enterprise_id, seconds=0.2, clock=clock.now)
                else:
                    counts = pipeline.charge_group(enterprise_id, at=clock.now(), most_records=40)
            except pipeline.Busy:
                others_turn += 1
                continue
            done = counts.charged if counts else 0
            charged, groups = charged + done, groups + bool(done)
            if not done:
                if clock.is_over:
                    break
                time.sleep(0.1)
    problems = [str(entry) for entry in told if entry["log_level"] not in ("debug", "info")]
    print(json.dumps({"charged": charged, "groups": groups, "others_turn": others_turn, "problems": problems}))


if __name__ == "__main__":
    main()
