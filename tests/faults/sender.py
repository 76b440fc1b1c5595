"""A client that reports usage over HTTP and does not give up: what it sent, and what it was told of it.

A delivery that fails, or whose answer is lost, is sent again with the same records until it is accepted, as a
mediation system does. Every record carries the client's own number of the use among its attributes, so that charges
can be compared with uses without trusting the product's notion of identity.
"""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.faults.house import House

#: Usage is so old at most: all of it lies in the current cycle of a `House`.
OLDEST = timedelta(days=9)
ANSWER_SECONDS = 15


def make_uses(
    house: House, source: str, count: int, *, seed: int, now: datetime | None = None, bad: float = 0.02
) -> list[dict]:
    """Records of `count` uses by the house's lines up to `now`; a share `bad` of them cannot be charged."""
    chance = random.Random(f"{source}:{seed}")
    now = now or datetime.now(UTC)
    uses = []
    for number in range(count):
        service = chance.choice(["data", "data", "voice", "messaging", "video_conferencing"])
        at = now - timedelta(seconds=chance.randrange(60, int(OLDEST.total_seconds())))
        record = {
            "source_record_id": f"{source}-{number}",
            "msisdn": chance.choice(house.msisdns),
            "service": service,
            "units": 1 if service == "messaging" else chance.randrange(1, 50_000),
            "started_at": at.isoformat(),
            "attributes": {"use": number},
        }
        if chance.random() < bad:
            record |= chance.choice([{"msisdn": "4999999999999"}, {"units": -5}, {"service": "telegrams"}])
        uses.append(record)
    return uses


def post(url: str, house: House, source: str, records: list[dict]) -> int:
    """Send one delivery; the number of records that were accepted. Raises OSError for any other answer, or none."""
    request = urllib.request.Request(
        f"{url}/api/v1/usage-batches",
        data=gzip.compress(json.dumps({"source": source, "records": records}).encode(), compresslevel=1),
        headers={
            "Authorization": f"Bearer {house.token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        },
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        return json.load(answer)["accepted"]


class Sender(threading.Thread):
    """Sends deliveries in a thread until `finish()` or until all are accepted."""

    def __init__(
        self,
        url: str,
        house: House,
        source: str,
        deliveries: Iterator[list[dict]],
        *,
        seed: int,
        lost_answers: float = 0.0,
        new_identities: bool = False,
        pause_seconds: float = 0.0,
    ) -> None:
        super().__init__(name=f"sender-{source}", daemon=True)
        self.url, self.house, self.source, self.deliveries = url, house, source, deliveries
        self.lost_answers, self.new_identities, self.pause_seconds = lost_answers, new_identities, pause_seconds
        self.accepted: list[dict] = []
        self.tries = self.errors = self.lost = 0
        self.refusals: list[str] = []
        self._chance = random.Random(seed)
        self._finished = threading.Event()

    def finish(self, *, within_seconds: float = 60) -> None:
        """Let the delivery that is on its way be accepted, and end."""
        self._finished.set()
        self.join(within_seconds)
        assert not self.is_alive(), f"{self.name} could not deliver within {within_seconds} s"

    def run(self) -> None:
        for records in self.deliveries:
            self._deliver(records)
            if self._finished.wait(self.pause_seconds):
                return

    def _deliver(self, records: list[dict]) -> None:
        """One delivery, until it is accepted."""
        while True:
            self.tries += 1
            sent = self._renamed(records) if self.new_identities else records
            try:
                assert post(self.url, self.house, self.source, sent) == len(records)
            except urllib.error.HTTPError as error:
                self.errors += 1
                if error.code < 500:
                    self.refusals.append(f"{error.code}: {error.read(300)!r}")
                time.sleep(0.2)
            except OSError:
                self.errors += 1
                time.sleep(0.2)
            else:
                if self._chance.random() >= self.lost_answers:
                    self.accepted += records
                    return
                self.lost += 1

    def _renamed(self, records: list[dict]) -> list[dict]:
        """A client at fault: it takes every try for new usage."""
        return [{**record, "source_record_id": f"{record['source_record_id']}-{self.tries}"} for record in records]


def deliveries(uses: list[dict], *, size: int, seed: int, doubles: float = 0.0) -> Iterator[list[dict]]:
    """Uses in deliveries of up to `size`; a share `doubles` of them is reported again in a later delivery."""
    chance = random.Random(seed)
    again: list[dict] = []
    for start in range(0, len(uses), size):
        fresh = uses[start : start + size]
        yield [*fresh, *again]
        again = [use for use in fresh if chance.random() < doubles]
    if again:
        yield again
