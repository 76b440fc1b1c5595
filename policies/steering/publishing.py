"""Who pays, from draft to publication: the only writer of Steering and SteeringVersion.

Owns: drafting, publishing, taking a publication back, retiring. An account has one steering, whose version holds for
usage from its `effective_at` to its `ends_at`, by the time of use. None begins in the past, so that nothing that was
decided is judged again. Each version keeps the charge sequence at which it was published, and that at which its end was
decided: a replay knows what a charge knew. `rules` says what rules are, `standing` which hold at an account, `cautions`
what to look at before one is published.

Each function opens its own transaction under the enterprise's lock; a trigger raises the configuration version.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F, Q

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import Account, ChargingState, Zone
from policies.conditions import Catalogue
from policies.models import NumberList, PolicyState, Steering, SteeringVersion
from policies.steering.loading import catalogue_of
from policies.steering.rules import (
    Terms,
    check_names,
    missing_to_json,
    parts_to_json,
    rules_to_json,
    terms_from_json,
)

#: Rules of one enterprise that are in force at once.
RULES_IN_FORCE_MOST = 2_000
NOTE_LENGTH = 200


class SteeringRefused(Refused):
    """A version that cannot be, or is not in the state for it."""


def save_draft(
    *,
    account: Account,
    rules: Any,
    default: Any = None,
    missing: Any = None,
    note: str = "",
    seen: str | None = None,
    actor: str,
    at: datetime,
) -> SteeringVersion:
    """The account's draft, saying this; a new one where there is none.

    `seen`: the mark (`mark_of`) of what the writer looked at; refused where somebody has changed it since.
    Raises SteeringRefused, SteeringFault, Busy.
    """
    note = fields.text(note, field="note", label="The note", most=NOTE_LENGTH, required=False)
    with locks.enterprise(account.enterprise_id):
        account = _open(account)
        if seen is not None and seen != mark_of(account):
            raise SteeringRefused("Somebody has changed these rules meanwhile: look at them again.", field="seen")
        terms = checked(account, rules, default, missing)
        steering, _ = Steering.objects.get_or_create(
            account=account, defaults={"enterprise_id": account.enterprise_id, "made_at": at, "made_by": actor}
        )
        draft = steering.versions.filter(state=PolicyState.DRAFT).first()
        if draft is None:
            draft = SteeringVersion(
                enterprise_id=account.enterprise_id, steering=steering, number=_latest_number(steering) + 1
            )
        draft.steering = steering
        draft.rules, draft.default, draft.missing = _written(terms)
        draft.note, draft.made_at, draft.made_by = note, at, actor
        draft.save()
        _record(draft, "steering.drafted", actor, at)
        return draft


def discard(*, version: SteeringVersion, actor: str, at: datetime) -> None:
    """Throw a draft away, and the steering with it where nothing else is left of it. Raises SteeringRefused, Busy."""
    with locks.enterprise(version.enterprise_id):
        version = _draft_of(version)
        _record(version, "steering.draft_discarded", actor, at)
        steering = version.steering
        version.delete()
        if not steering.versions.exists():
            steering.delete()


def publish(
    *, version: SteeringVersion, effective_at: datetime | None = None, reason: str, actor: str, at: datetime
) -> SteeringVersion:
    """Let a draft hold from `effective_at` on (from now, unless told), in place of what is published.

    Raises SteeringRefused (no draft; says nothing; begins in the past; too many rules), SteeringFault, Unreadable (no
    reason), Busy.
    """
    reason = fields.text(reason, field="reason", label="The reason", most=200)
    starts = effective_at or at
    if starts < at:
        raise SteeringRefused("Who pays cannot be decided anew for the past.", field="effective_at")
    with locks.enterprise(version.enterprise_id):
        version = _draft_of(version)
        account = _open(version.steering.account)
        terms = checked(account, version.rules, version.default, version.missing)
        if terms == Terms():
            raise SteeringRefused("It says nothing: add a rule, or who pays where no rule matches.", field="rules")
        others = SteeringVersion.objects.filter(enterprise_id=version.enterprise_id, state=PolicyState.PUBLISHED)
        others = others.exclude(steering_id=version.steering_id)
        standing = sum(len(rules) for rules in others.values_list("rules", flat=True))
        if standing + len(terms.rules) > RULES_IN_FORCE_MOST:
            message = f"At most {RULES_IN_FORCE_MOST:,} rules of who pays hold in one enterprise."
            raise SteeringRefused(message, field="rules")
        return _put_in_force(version, starts, reason, actor, at)


def retire(*, steering: Steering, reason: str, actor: str, at: datetime) -> SteeringVersion:
    """End the published version now; nothing takes its place. Raises SteeringRefused, Unreadable, Busy."""
    reason = fields.text(reason, field="reason", label="The reason", most=200)
    with locks.enterprise(steering.enterprise_id):
        standing = _published(_known(steering))
        _end_all(standing.steering, at, actor, at)
        standing.refresh_from_db()
        _record(standing, "steering.retired", actor, at, reason=reason)
        return standing


def undo_publication(*, steering: Steering, actor: str, at: datetime) -> SteeringVersion | None:
    """Take the latest act back, a publication or an end, by new versions: of what would hold now without it, and of
    what it kept from beginning later (`comes_back`). None, and retired, where a publication displaced nothing.

    Budgets go on with what they took up. Returns the first of them. Raises SteeringRefused, SteeringFault, Busy.
    """
    with locks.enterprise(steering.enterprise_id):
        steering = _known(steering)
        standing = steering.versions.filter(state=PolicyState.PUBLISHED).first()
        former = comes_back(steering, at)
        reason = f"Version {standing.number} taken back" if standing else "Their end taken back"
        if not former:
            retire(steering=steering, reason=reason, actor=actor, at=at)
            return None
        for version in former:
            checked(steering.account, version.rules, version.default, version.missing)
        made = [_again(version, reason, actor, at) for version in former]
        made[0].refresh_from_db()
        return made[0]


def comes_back(steering: Steering, at: datetime) -> list[SteeringVersion]:
    """What taking the latest act back brings back, in the order in which it is to hold. Reads only."""
    said = list(steering.versions.exclude(state=PolicyState.DRAFT).order_by("effective_at", "number"))
    standing = next((one for one in said if one.state == PolicyState.PUBLISHED), None)
    if standing is not None:
        act = (standing.published_at, standing.published_sequence)
        # An act that took another one back may have brought several versions back.
        made = [one for one in said if one.restores_id and act == (one.published_at, one.published_sequence)]
        made = made if standing in made else [standing]
        begins = made[0].effective_at
    else:
        act = max(((one.retired_at, one.retired_sequence) for one in said if one.retired_at), default=(None, None))
        made, begins = [], act[0]
    lost = [
        one
        for one in said
        if one not in made
        and begins is not None
        and act == (one.retired_at, one.retired_sequence)
        and (one.ends_at == begins or _never_held(one, begins))
    ]
    return [
        *[one for one in lost if one.effective_at and one.effective_at <= at][-1:],
        *[one for one in lost if one.effective_at and one.effective_at > at],
    ]


def mark_of(account: Account) -> str:
    """What changes with every change of an account's draft, or of what is published where there is none."""
    said = SteeringVersion.objects.filter(steering__account=account).exclude(state=PolicyState.RETIRED)
    latest = said.order_by("-number").first()
    return f"{latest.id}-{latest.made_at.timestamp():.6f}" if latest else ""


def checked(account: Account, rules: Any, default: Any, missing: Any, catalogue: Catalogue | None = None) -> Terms:
    """What a version of an account is to say, with zones of the operator and lists of the account or of those above it.

    Raises SteeringFault.
    """
    catalogue = catalogue or catalogue_of(account.enterprise_id)
    terms = terms_from_json(rules, default, missing, catalogue=catalogue)
    zones = Zone.objects.filter(operator__enterprises=account.enterprise_id).values_list("code", flat=True)
    check_names(terms.rules, set(zones), {one.code for one in lists_at(account)})
    return terms


def lists_at(account: Account) -> list[NumberList]:
    """The lists of numbers that rules of an account may speak of: its own, and those of accounts above it."""
    above = account.get_ancestors(include_self=True).filter(enterprise_id=account.enterprise_id)
    return list(NumberList.objects.filter(enterprise_id=account.enterprise_id, account__in=above).order_by("code"))


# --- under the lock -------------------------------------------------------------------------------------------------


def _open(account: Account) -> Account:
    found = Account.objects.filter(id=account.id, enterprise_id=account.enterprise_id, closed_at__isnull=True).first()
    if found is None:
        raise SteeringRefused("This account does not exist, or is closed.", field="account")
    return found


def _known(steering: Steering) -> Steering:
    known = Steering.objects.select_related("account")
    found = known.filter(id=steering.id, enterprise_id=steering.enterprise_id).first()
    if found is None:
        raise SteeringRefused("Nothing says who pays here.", field="steering")
    return found


def _published(steering: Steering) -> SteeringVersion:
    standing = steering.versions.filter(state=PolicyState.PUBLISHED).first()
    if standing is None:
        raise SteeringRefused("No version is published here.")
    standing.steering = steering
    return standing


def _draft_of(version: SteeringVersion) -> SteeringVersion:
    """The version as it is now, if it is a draft."""
    known = SteeringVersion.objects.select_related("steering__account")
    found = known.filter(id=version.id, enterprise_id=version.enterprise_id).first()
    if found is None:
        raise SteeringRefused("This version does not exist.", field="version")
    if found.state != PolicyState.DRAFT:
        raise SteeringRefused(f"{found} is {found.get_state_display().lower()} and never changes. Draft a new version.")
    return found


def _never_held(version: SteeringVersion, since: datetime) -> bool:
    """Whether a version was kept from beginning, at a time that is not before `since`."""
    return version.effective_at is not None and version.ends_at == version.effective_at >= since


def _again(former: SteeringVersion, reason: str, actor: str, at: datetime) -> SteeringVersion:
    """A new version that says what a former one said, from now on or from when that was to begin."""
    number = _latest_number(former.steering) + 1
    # A draft in work stays as it is; only its number moves behind that of the version which is brought back.
    if draft := former.steering.versions.filter(state=PolicyState.DRAFT).first():
        draft.number, number = draft.number + 1, draft.number
        draft.save(update_fields=["number"])
    version = SteeringVersion(
        enterprise_id=former.enterprise_id, steering=former.steering, number=number, rules=former.rules,
        default=former.default, missing=former.missing, note=former.note, made_at=at, made_by=actor,
        restores=former,
    )  # fmt: skip
    return _put_in_force(version, max(at, former.effective_at or at), reason, actor, at)


def _latest_number(steering: Steering) -> int:
    return steering.versions.order_by("-number").values_list("number", flat=True).first() or 0


def _written(terms: Terms) -> tuple[list[dict[str, Any]], Any, dict[str, Any]]:
    default = None if terms.default is None else parts_to_json(terms.default)
    return rules_to_json(terms.rules), default, missing_to_json(terms.missing)


def _put_in_force(version: SteeringVersion, starts: datetime, reason: str, actor: str, at: datetime) -> SteeringVersion:
    _end_all(version.steering, starts, actor, at)
    version.state, version.effective_at, version.reason = PolicyState.PUBLISHED, starts, reason
    version.published_at, version.published_by = at, actor
    version.published_sequence = _sequence(version.enterprise_id)
    version.save()
    _record(version, "steering.published", actor, at, reason=reason, effective_at=starts.isoformat())
    return version


def _end_all(steering: Steering, ends_at: datetime, actor: str, at: datetime) -> None:
    """Nothing that was published holds from `ends_at` on; what was to begin later never does."""
    sequence = _sequence(steering.enterprise_id)
    standing = steering.versions.exclude(state=PolicyState.DRAFT).filter(Q(ends_at=None) | Q(ends_at__gt=ends_at))
    for version in standing.exclude(ends_at=F("effective_at")):
        starts = version.effective_at or ends_at  # what is no draft has one
        version.state, version.ends_at = PolicyState.RETIRED, max(ends_at, starts)
        version.retired_at, version.retired_by, version.retired_sequence = at, actor, sequence
        version.save(update_fields=["state", "ends_at", "retired_at", "retired_by", "retired_sequence"])


def _sequence(enterprise_id: int) -> int:
    return ChargingState.objects.get(enterprise_id=enterprise_id).charge_sequence


def _record(version: SteeringVersion, action: str, actor: str, at: datetime, **detail: Any) -> None:
    audit.record(
        enterprise_id=version.enterprise_id,
        account_id=version.steering.account_id,
        actor=actor,
        action=action,
        subject=str(version),
        detail={"version": version.number, "rules": len(version.rules), **detail},
        at=at,
    )
