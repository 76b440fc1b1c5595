"""Tags of lines: the only writer of LineTag. Limits, policies and reports read them; they are no place in the tree.

Each function opens its own transaction under the enterprise's lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from balances import audit, locks
from balances.errors import Refused
from balances.models import ChargingState, Line, LineTag

#: Tags of one line at most.
TAGS_MOST = 12
_TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class TagRefused(Refused):
    """A tag that cannot be, or a line that is gone."""


def read(value: str) -> str:
    """A tag as it is kept: small letters, digits, - and _, at most 40. Raises TagRefused."""
    tag = value.strip().lower()
    if not _TAG.fullmatch(tag):
        raise TagRefused(
            f"“{value}” is no tag: use letters, digits, hyphens and underscores, 40 at most.", field="tags"
        )
    return tag


def of(line: Line) -> list[str]:
    """The tags that a line bears now, in order of name."""
    return list(
        LineTag.objects.filter(line=line, removed_at__isnull=True).order_by("tag").values_list("tag", flat=True)
    )


def set_tags(*, line: Line, tags: Iterable[str], actor: str, at: datetime) -> list[str]:
    """Let a line bear exactly these tags from now on; returns them. Raises TagRefused, Busy."""
    wanted = {read(tag) for tag in tags}
    if len(wanted) > TAGS_MOST:
        raise TagRefused(f"At most {TAGS_MOST} tags fit on a line.", field="tags")
    with locks.enterprise(line.enterprise_id):
        if not Line.objects.filter(id=line.id, enterprise_id=line.enterprise_id).exists():
            raise TagRefused("This line does not exist.", field="line")
        borne = set(of(line))
        if wanted == borne:
            return sorted(borne)
        sequence = ChargingState.objects.get(enterprise_id=line.enterprise_id).charge_sequence
        LineTag.objects.filter(line=line, removed_at__isnull=True, tag__in=borne - wanted).update(
            removed_at=at, removed_sequence=sequence
        )
        LineTag.objects.bulk_create(
            LineTag(enterprise_id=line.enterprise_id, line=line, tag=tag, added_sequence=sequence, added_at=at)
            for tag in sorted(wanted - borne)
        )
        audit.record(
            enterprise_id=line.enterprise_id,
            account_id=line.account_id,
            actor=actor,
            action="line.tagged",
            subject=str(line),
            detail={"before": sorted(borne), "after": sorted(wanted)},
            at=at,
        )
        return sorted(wanted)
