"""`manage.py retry_parked`: charge again what charging had given up."""

from django.core.management.base import BaseCommand

from portal.charging import ingest, pipeline


class Command(BaseCommand):
    """For the rare part that killed or failed its workers time after time, after its cause has been mended."""

    help = "Let parked deliveries wait for charging again, with all their attempts. Harmless where none is parked."

    def handle(self, **options):
        enterprise_ids = pipeline.retry_parked()
        ingest.nudge(enterprise_ids)
        self.stdout.write(f"{len(enterprise_ids)} parked parts wait for charging again.")
