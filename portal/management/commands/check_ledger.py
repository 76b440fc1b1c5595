"""`manage.py check_ledger`: prove every identity on live data, and name what is off."""

import json
import time

from django.core.management.base import BaseCommand, CommandError

from balances import proof
from balances.models import Enterprise
from balances.personal_proof import CHECKS as PERSONAL_CHECKS
from policies.proof import CHECKS as POLICY_CHECKS
from policies.steering.proof import CHECKS as STEERING_CHECKS

CHECKS = proof.CHECKS + PERSONAL_CHECKS + POLICY_CHECKS + STEERING_CHECKS


class Command(BaseCommand):
    help = "Prove the identities of ledger, charges, accounts, limits and intake on live data; exit 1 where one fails."

    def add_arguments(self, parser):
        parser.add_argument("--enterprise", help="Only this customer number.")
        parser.add_argument("--json", action="store_true", help="One JSON object a check.")

    def handle(self, *args, enterprise=None, **options):
        enterprise_id = None
        if enterprise:
            found = Enterprise.objects.filter(number=enterprise).values_list("id", flat=True).first()
            if found is None:
                raise CommandError(f"There is no enterprise with the number {enterprise}.")
            enterprise_id = found
        broken = 0
        since = time.monotonic()
        for finding in proof.prove(enterprise_id=enterprise_id, checks=CHECKS):
            broken += not finding.holds
            self._tell(finding, time.monotonic() - since, options["json"])
            since = time.monotonic()
        records = proof.accounted(enterprise_id=enterprise_id)
        if not options["json"]:
            told = ", ".join(f"{count:,} {name}" for name, count in records.items())
            self.stdout.write(f"records: {told}")
        if broken:
            raise CommandError(f"{broken} of {len(CHECKS)} identities do not hold.")
        if not options["json"]:
            self.stdout.write(self.style.SUCCESS(f"All {len(CHECKS)} identities hold."))

    def _tell(self, finding: proof.Finding, seconds: float, as_json: bool) -> None:
        if as_json:
            self.stdout.write(
                json.dumps({"check": finding.check.name, "holds": finding.holds, "faults": finding.faults})
            )
            return
        mark = self.style.SUCCESS("holds") if finding.holds else self.style.ERROR("BROKEN")
        self.stdout.write(f"{mark}  {finding.check.name} ({seconds:.1f} s): {finding.check.says}")
        for fault in finding.faults:
            self.stdout.write(f"        {fault}")
