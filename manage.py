#!/usr/bin/env python3
"""Django's command line for the portal.

Chooses the database role: commands that change the schema connect as its owner, every other
command as the application, which owns nothing (see `portal/runtime/roles.py`).
"""

import os
import sys

OWNER_COMMANDS = {"migrate", "makemigrations", "sqlmigrate", "flush"}

RUNTIME_COMMANDS = {"run", "reset"}


def runtime_command(command: str) -> int:
    """`run` starts the servers that the settings name, so both come before Django; `reset` needs neither."""
    from portal.runtime import reset, supervisor

    return supervisor.run() if command == "run" else reset.reset()


def main(argv: list[str]) -> None:
    command = argv[1] if len(argv) > 1 else ""
    if command in RUNTIME_COMMANDS:
        sys.exit(runtime_command(command))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if command in OWNER_COMMANDS:
        os.environ.setdefault("PORTAL_DATABASE_ROLE", "owner")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit("Django is not installed for this Python: use `make run`, or .venv/bin/python manage.py.")
    execute_from_command_line(argv)


if __name__ == "__main__":
    main(sys.argv)
