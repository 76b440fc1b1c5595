#!/usr/bin/env python3
"""Django's command line for the portal.

Chooses the database role: commands that change the schema connect as its owner, every other
command as the application, which owns nothing (see `portal/runtime/roles.py`).
"""

import os
import sys

OWNER_COMMANDS = {"migrate", "makemigrations", "sqlmigrate", "flush"}


def main(argv: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if len(argv) > 1 and argv[1] in OWNER_COMMANDS:
        os.environ.setdefault("PORTAL_DATABASE_ROLE", "owner")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit("Django is not installed for this Python: use `make run`, or .venv/bin/python manage.py.")
    execute_from_command_line(argv)


if __name__ == "__main__":
    main(sys.argv)
