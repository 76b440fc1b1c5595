"""A charging process for tests: `python -m tests.charging.drain_worker ENTERPRISE AT [LIMIT]`.

Charges groups of a few records until nothing waits, without the turn that workers take, so that several meet at the
enterprise's row; once it consents to a limit, where one is named, always with number 1.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    import django

    django.setup()
    from policies import consent
    from policies.models import Limit
    from portal.charging import pipeline

    enterprise_id, at = int(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
    held = Limit.objects.get(id=int(sys.argv[3])) if len(sys.argv) > 3 else None
    turn = 0
    while pipeline.charge_group(enterprise_id, at=at, most_records=5) is not None:
        turn += 1
        if held is not None and turn == 3:
            shown = replace(consent.shown_now(held, at), number=1)
            with suppress(consent.AlreadyConsented):  # all but one are told so
                consent.consent(
                    limit=held,
                    shown=shown,
                    amount=40,
                    channel="test",
                    text_shown="40 more",
                    actor=f"user:{os.getpid()}",
                    at=at,
                )


if __name__ == "__main__":
    main()
