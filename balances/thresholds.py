"""Marks on usage: the only writer of Threshold. Whether one is reached is charging's matter.

Part of `balances.contracts`, which is the door to it. Each function opens its own transaction under the
enterprise's lock.
"""

from __future__ import annotations

from datetime import datetime

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import Account, ContractVersion, Line, Threshold
from balances.units import SERVICE_NAMES

#: Percent of the allowance at which the telecoms manager is told, unless they choose otherwise.
DEFAULT_PERCENTS = (50, 80, 100)
PERCENT_MOST = 1000
#: Thresholds of one owner and service.
THRESHOLDS_MOST = 20


class ThresholdRefused(Refused):
    """A threshold that cannot be, or whose owner is gone."""


def set_threshold(
    *,
    account: Account | None = None,
    line: Line | None = None,
    service: int,
    percent: int | None = None,
    units: int | None = None,
    actor: str,
    at: datetime,
) -> Threshold:
    """A mark on the usage of an account or a line in a cycle, in percent of its allowance or in units.

    Setting the same mark again returns the one that stands. Raises ThresholdRefused, Unreadable, Busy.
    """
    owner = account or line
    if owner is None or (account and line):
        raise ThresholdRefused("A threshold belongs to an account or to a line.", field="account")
    if (percent is None) == (units is None):
        raise ThresholdRefused("Give either percent or units.", field="percent")
    fields.service(service)
    if percent is not None:
        fields.whole_number(percent, 1, PERCENT_MOST, field="percent")
    else:
        fields.whole_number(units, 1, fields.UNITS_MOST, field="units")
    with locks.enterprise(owner.enterprise_id):
        known = Account.objects.filter(id=account.id) if account else Line.objects.filter(id=owner.id)
        if not known.filter(enterprise_id=owner.enterprise_id).exists():
            raise ThresholdRefused("This account or line does not exist.", field="account" if account else "line")
        mine = Threshold.objects.filter(account=account, line=line, service=service)
        if present := mine.filter(percent=percent, units=units).first():
            return present
        if mine.count() >= THRESHOLDS_MOST:
            raise ThresholdRefused(f"At most {THRESHOLDS_MOST} thresholds fit on one owner and service.")
        threshold = Threshold.objects.create(
            enterprise_id=owner.enterprise_id,
            account=account,
            line=line,
            service=service,
            percent=percent,
            units=units,
        )
        _record_threshold(threshold, owner, "threshold.set", actor, at)
        return threshold


def remove_threshold(*, threshold: Threshold, actor: str, at: datetime) -> None:
    """Take a mark away, with the crossings of it. Raises ThresholdRefused, Busy."""
    with locks.enterprise(threshold.enterprise_id):
        mine = Threshold.objects.filter(id=threshold.id, enterprise_id=threshold.enterprise_id)
        present = mine.select_related("account", "line").first()
        if present is None:
            raise ThresholdRefused("This threshold does not exist.", field="threshold")
        mine.delete()
        _record_threshold(present, present.account or present.line, "threshold.removed", actor, at)


def set_defaults(version: ContractVersion, known_services: set[int]) -> None:
    """Marks on the root account for services that are allowed for the first time;

    removed ones stay removed.
    """
    root = Account.objects.get(enterprise_id=version.enterprise_id, parent__isnull=True)
    services = set(version.allowances.values_list("service", flat=True)) - known_services
    Threshold.objects.bulk_create(
        [
            Threshold(enterprise_id=version.enterprise_id, account=root, service=service, percent=percent)
            for service in sorted(services)
            for percent in DEFAULT_PERCENTS
        ],
        ignore_conflicts=True,
    )


def _record_threshold(threshold: Threshold, owner, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=threshold.enterprise_id,
        account_id=threshold.account_id or owner.account_id,
        actor=actor,
        action=action,
        subject=str(owner),
        detail={
            "service": SERVICE_NAMES[threshold.service],
            "percent": threshold.percent,
            "units": threshold.units,
        },
        at=at,
    )
