"""`manage.py check_tree`: do the tree's numbers agree with its parent pointers?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from balances.tree_check import check_tree

SHOWN_MOST = 50


class Command(BaseCommand):
    """Prints what is wrong and ends with 1, or says that nothing is."""

    help = "Check lft, rght, level, tree_id and placements of account trees against their parent pointers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--enterprise", type=int, help="Id of one enterprise; all without it.")

    def handle(self, *args: Any, **options: Any) -> None:
        faults = check_tree(options["enterprise"])
        for fault in faults[:SHOWN_MOST]:
            self.stdout.write(fault)
        if len(faults) > SHOWN_MOST:
            self.stdout.write(f"... and {len(faults) - SHOWN_MOST} more")
        if faults:
            raise CommandError(f"{len(faults)} faults in the account trees.")
        self.stdout.write("The account trees are sound.")
