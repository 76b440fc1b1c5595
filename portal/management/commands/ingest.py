"""`manage.py ingest FILE --source NAME`: take a usage file in, as a stream, and say what becomes of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from balances.errors import Refused
from balances.models import Enterprise, Operator
from portal.charging import files, ingest, outcomes, profiles
from portal.charging.columns import Columns

#: Waiting for charging ends after so long without any progress.
PATIENCE_SECONDS = 120
ERRORS_SHOWN = 20


class Command(BaseCommand):
    """Reads CSV, plain or gzip, by a column profile; the same file again is harmless."""

    help = "Take in a usage file (CSV or CSV.gz). The same file again changes nothing: records are known by their ids."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)
        parser.add_argument("--source", required=True, help="who reports: ids are unique within a source")
        parser.add_argument("--enterprise", metavar="NUMBER", help="customer number; without it, by the lines' numbers")
        parser.add_argument("--operator", metavar="NAME", help="needed where there are several")
        parser.add_argument("--profile", default=profiles.STANDARD_NAME, help="column profile (default: standard)")
        parser.add_argument(
            "--wait", action="store_true", help="wait until all of it is charged, and print the outcome"
        )

    def handle(self, *, file: Path, source: str, enterprise, operator, profile: str, wait: bool, **options):
        self.begun, self.told_at, self.tells_inline = time.monotonic(), 0.0, self.stdout.isatty()
        try:
            owner = _operator(operator)
            delivery = ingest.Delivery(
                operator_id=owner.id,
                enterprise_id=_enterprise(owner, enterprise),
                source_id=ingest.source(operator_id=owner.id, name=_source(source)),
                accepted_by=f"ingest {file.name}"[:160],
            )
            batch_ids = self._take(file, profiles.named(owner.id, profile), delivery)
        except Refused as refusal:
            raise CommandError(refusal.message) from None
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}.") from None
        if wait:
            self._wait(batch_ids)

    def _take(self, path: Path, columns: Columns, delivery: ingest.Delivery) -> list[UUID]:
        """Accept the file chunk by chunk; a break in it is told after what came before has been accepted."""
        total, accepted, unidentified, batch_ids = files.size(path), 0, 0, []
        with path.open("rb") as file:
            try:
                for chunk in files.read(file, columns):
                    if chunk.usages:
                        batch_ids.append(ingest.accept(delivery=delivery, usages=chunk.usages, at=datetime.now(UTC)))
                    for error in chunk.errors[: max(0, ERRORS_SHOWN - unidentified)]:
                        self.stderr.write(f"row {error.row}: {error.message}")
                    accepted += len(chunk.usages)
                    unidentified += len(chunk.errors)
                    self._progress(accepted + unidentified, chunk.done_bytes / total)
            except files.FileRefused:
                self._summary(accepted, unidentified)
                raise
        self._summary(accepted, unidentified)
        return batch_ids

    def _progress(self, rows: int, done: float) -> None:
        """One line, rewritten on a terminal, at most four a second."""
        now = time.monotonic()
        if now - self.told_at < (0.25 if self.tells_inline else 2.0):
            return
        self.told_at = now
        words = f"{done:4.0%}  {rows:>11,} rows  {rows / (now - self.begun):>8,.0f} rows/s"
        self.stdout.write(words, ending="\r" if self.tells_inline else "\n")
        self.stdout.flush()

    def _summary(self, accepted: int, unidentified: int) -> None:
        seconds = time.monotonic() - self.begun
        self.stdout.write(f"accepted {accepted:,} records in {seconds:.1f} s" + " " * 30)
        if unidentified:
            self.stdout.write(f"not taken {unidentified:,} rows without an id of their own")

    def _wait(self, batch_ids: list[UUID]) -> None:
        """Until nothing waits; gives up when nothing moves for long."""
        latest, moved_at = -1, time.monotonic()
        while not (now := outcomes.of_batches(batch_ids)).is_final:
            if now.waiting != latest:
                latest, moved_at = now.waiting, time.monotonic()
            if time.monotonic() - moved_at > PATIENCE_SECONDS:
                raise CommandError(
                    f"{now.waiting:,} records have waited for {PATIENCE_SECONDS} s. Does a worker run? They stay "
                    "accepted, and are charged as soon as one does."
                )
            time.sleep(0.2)
        parked = f", parked {now.parked:,}" if now.parked else ""
        self.stdout.write(f"charged {now.charged:,}, duplicate {now.duplicate:,}, suspended {now.suspended:,}{parked}")


def _operator(name: str | None) -> Operator:
    found = list(Operator.objects.filter(name=name) if name else Operator.objects.all()[:2])
    if len(found) != 1:
        raise CommandError(f"There is no operator “{name}”." if name else "Name the operator: --operator NAME.")
    return found[0]


def _enterprise(operator: Operator, number: str | None) -> int | None:
    if number is None:
        return None
    found = Enterprise.objects.filter(operator=operator, number=number).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"{operator.name} has no enterprise with the number “{number}”.")
    return found


def _source(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 60:
        raise CommandError("The source has 1 to 60 characters.")
    return name
