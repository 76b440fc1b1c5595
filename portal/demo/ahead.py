"""Makes the deliveries of an enterprise's past in a second process, one ahead of the process that charges
them.

`python -m portal.demo.ahead STORY REACHED` writes them to standard output, each as eight bytes of length
and a payload. It never touches the database, and ends when nobody reads any more, also where the reader was
killed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from portal.charging.records import Usage
    from portal.demo.story import Story

#: Below so many lines, making the records takes less than starting a process.
FEWEST_LINES = 2_000
LENGTH_BYTES = 8


class MakerEnded(Exception):
    """The second process ended before the last delivery; its own words are on standard error."""


def deliveries(story: Story, reached: datetime, count: int) -> Iterator[list[Usage]]:
    """The records of the `count` deliveries from `reached` on, made while the reader is busy with the one
    before.
    """
    from portal.charging import records

    told = {"key": story.key, "lines": story.lines, "days": story.days, "seed": story.seed}
    told["now"] = story.now.isoformat()
    command = [sys.executable, "-m", "portal.demo.ahead", json.dumps(told), reached.isoformat()]
    project = Path(__file__).resolve().parents[2]
    maker = subprocess.Popen(command, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert maker.stdout is not None
    try:
        for _ in range(count):
            length = int.from_bytes(_exactly(maker.stdout, LENGTH_BYTES))
            yield records.decode_payload(_exactly(maker.stdout, length))
    finally:
        maker.stdout.close()
        maker.wait()


def _exactly(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length)
    if len(content) < length:
        raise MakerEnded("The process that makes the demo's records ended early; see above.")
    return content


def main(told: str, reached: str) -> None:
    """The second process: make, hand over, wait until it was taken."""
    import django

    django.setup()
    from portal.charging import records
    from portal.demo.story import Story

    values = json.loads(told)
    story = Story(**values | {"now": datetime.fromisoformat(values["now"])})
    with suppress(BrokenPipeError):
        for starts_at, ends_at in story.spans(datetime.fromisoformat(reached)):
            payload = records.encode_payload(story.history.usages(starts_at, ends_at))
            sys.stdout.buffer.write(len(payload).to_bytes(LENGTH_BYTES) + payload)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
