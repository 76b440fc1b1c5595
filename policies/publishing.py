"""Policies and their versions: the only writer of Policy and PolicyVersion.

Owns: drafting, the check for conflicts, publishing, taking a publication back, retiring. A version holds for usage from
its `effective_at` to its `ends_at`, by the time of use, whenever it is charged; none begins in the past, so that
nothing that was decided is judged again. `policies.rules` says what rules are, `policies.decision` what they do.

Each function opens its own transaction under the enterprise's lock; a trigger raises the configuration version.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import F, Q

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import Account, Zone
from balances.units import SERVICES_BY_NAME
from policies import limits, templates
from policies.conflicts import Conflict, Placed, conflicts_of
from policies.models import Policy, PolicyState, PolicyVersion
from policies.rules import NAME_LENGTH, Rule, check_zones, rules_from_json, rules_to_json

#: Policies of one enterprise, and rules of it that are in force at once.
POLICIES_MOST, RULES_IN_FORCE_MOST = 500, 2_000


class PolicyRefused(Refused):
    """A policy or version that cannot be, or is not in the state for it."""


def create(*, account: Account, name: str, rules: Any, note: str = "", actor: str, at: datetime) -> PolicyVersion:
    """A policy with its first draft. Raises PolicyRefused, RuleFault, Unreadable, Busy."""
    cleaned = fields.text(name, field="name", label="The name", most=NAME_LENGTH)
    read = checked(rules, account.enterprise_id)
    with locks.enterprise(account.enterprise_id):
        known = Account.objects.filter(id=account.id, enterprise_id=account.enterprise_id, closed_at__isnull=True)
        if not known.exists():
            raise PolicyRefused("This account does not exist, or is closed.", field="account")
        mine = Policy.objects.filter(enterprise_id=account.enterprise_id)
        if mine.filter(account=account, name=cleaned).exists():
            raise PolicyRefused(f"This account has a policy “{cleaned}” already.", field="name")
        if mine.count() >= POLICIES_MOST:
            raise PolicyRefused(f"At most {POLICIES_MOST} policies fit into an enterprise.")
        policy = Policy.objects.create(
            enterprise_id=account.enterprise_id, account=account, name=cleaned, made_at=at, made_by=actor
        )
        version = _draft(policy, read, note, actor, at)
        _record(version, "policy.created", actor, at)
        return version


def create_from_template(*, account: Account, template: str, actor: str, at: datetime) -> PolicyVersion:
    """A draft as a template says, with its limits, which only tell people until the policy is published.

    Raises PolicyRefused, LimitRefused, RuleFault, Busy.
    """
    offered = templates.offered_to(account.enterprise_id)
    found = offered.get(template)
    if found is None:
        known = ", ".join(offered) or "none"
        raise PolicyRefused(f"There is no such template to begin with; there are: {known}.", field="template")
    with locks.enterprise(account.enterprise_id):
        taken = set(Policy.objects.filter(account=account).values_list("name", flat=True))
        names = (found.name, *(f"{found.name} {number}" for number in range(2, POLICIES_MOST + 2)))
        name = next(name for name in names if name not in taken)
        version = create(account=account, name=name, rules=list(found.rules), note=found.source, actor=actor, at=at)
        for terms in found.limits:
            limits.make(
                account=account, service=SERVICES_BY_NAME.get(terms.service), is_abroad=terms.is_abroad,
                measure=terms.measure, window=terms.window, amount=terms.amount, percents=terms.percents,
                name=terms.name, actor=actor, at=at,
            )  # fmt: skip
        return version


def save_draft(*, policy: Policy, rules: Any, note: str = "", actor: str, at: datetime) -> PolicyVersion:
    """The policy's draft with these rules; a new one where there is none. Raises RuleFault, PolicyRefused, Busy."""
    read = checked(rules, policy.enterprise_id)
    note = fields.text(note, field="note", label="The note", most=200, required=False)
    with locks.enterprise(policy.enterprise_id):
        policy = _known(policy)
        draft = policy.versions.filter(state=PolicyState.DRAFT).first()
        if draft is None:
            draft = _draft(policy, read, note, actor, at)
        else:
            draft.rules, draft.note, draft.made_at, draft.made_by = rules_to_json(read), note, at, actor
            draft.save(update_fields=["rules", "note", "made_at", "made_by"])
        _record(draft, "policy.drafted", actor, at)
        return draft


def discard(*, version: PolicyVersion, actor: str, at: datetime) -> None:
    """Throw a draft away, and the policy with it where nothing else is left of it. Raises PolicyRefused, Busy."""
    with locks.enterprise(version.enterprise_id):
        version = _draft_of(version)
        _record(version, "policy.draft_discarded", actor, at)
        policy = version.policy
        version.delete()
        if not policy.versions.exists():
            policy.delete()


def publish(
    *, version: PolicyVersion, effective_at: datetime | None = None, reason: str, actor: str, at: datetime
) -> PolicyVersion:
    """Let a draft hold from `effective_at` on (from now, unless told), in place of what is published.

    Raises PolicyRefused (no draft; no rules; begins in the past), Unreadable (no reason), Busy.
    """
    reason = fields.text(reason, field="reason", label="The reason", most=200)
    starts = effective_at or at
    if starts < at:
        raise PolicyRefused("A policy cannot begin in the past.", field="effective_at")
    with locks.enterprise(version.enterprise_id):
        version = _draft_of(version)
        rules = checked(version.rules, version.enterprise_id)
        if not rules:
            raise PolicyRefused("There is no rule in it: add one first.", field="rules")
        in_force = PolicyVersion.objects.filter(enterprise_id=version.enterprise_id, state=PolicyState.PUBLISHED)
        standing = sum(len(found) for found in in_force.values_list("rules", flat=True))
        if standing + len(rules) > RULES_IN_FORCE_MOST:
            raise PolicyRefused(f"At most {RULES_IN_FORCE_MOST:,} rules hold in one enterprise.", field="rules")
        version.conflicts = [conflict.as_data() for conflict in conflicts(version)]
        _end_all(version.policy, starts, actor, at)
        version.state, version.effective_at, version.reason = PolicyState.PUBLISHED, starts, reason
        version.published_at, version.published_by = at, actor
        version.save()
        _record(version, "policy.published", actor, at, reason=reason, effective_at=starts.isoformat())
        return version


def retire(*, policy: Policy, reason: str, actor: str, at: datetime) -> PolicyVersion:
    """End the published version now; nothing takes its place. Raises PolicyRefused, Unreadable, Busy."""
    reason = fields.text(reason, field="reason", label="The reason", most=200)
    with locks.enterprise(policy.enterprise_id):
        standing = _known(policy).versions.filter(state=PolicyState.PUBLISHED).first()
        if standing is None:
            raise PolicyRefused("No version of this policy is published.")
        _end_all(policy, at, actor, at)
        standing.refresh_from_db()
        _record(standing, "policy.retired", actor, at, reason=reason)
        return standing


def undo_publication(*, policy: Policy, actor: str, at: datetime) -> PolicyVersion | None:
    """Bring back what held before the latest publication: as a new version from now on; retired where nothing did.

    Raises PolicyRefused, Busy.
    """
    with locks.enterprise(policy.enterprise_id):
        policy = _known(policy)
        standing = policy.versions.filter(state=PolicyState.PUBLISHED).first()
        if standing is None:
            raise PolicyRefused("No version of this policy is published.")
        reason = f"Version {standing.number} taken back"
        former = policy.versions.filter(state=PolicyState.RETIRED, number__lt=standing.number).first()
        if former is None or (former.ends_at and standing.effective_at and former.ends_at < standing.effective_at):
            retire(policy=policy, reason=reason, actor=actor, at=at)
            return None
        # A draft in work keeps its place: its number moves behind the version that is brought back.
        parked = policy.versions.filter(state=PolicyState.DRAFT).first()
        kept = (parked.rules, parked.note) if parked else None
        if parked:
            parked.delete()
        version = _draft(policy, rules_from_json(former.rules), former.note, actor, at)
        version.restores = former
        version.save(update_fields=["restores"])
        version = publish(version=version, reason=reason, actor=actor, at=at)
        if kept:
            _draft(policy, rules_from_json(kept[0]), kept[1], actor, at)
        return version


def conflicts(version: PolicyVersion, rules: Iterable[Rule] | None = None) -> list[Conflict]:
    """What the version's rules (or `rules` instead) would meet: one another, and published rules on its path and below.

    Reads only.
    """
    account = version.policy.account
    mine = placed(version, list(rules) if rules is not None else None)
    on_path = Q(policy__account__tree_id=account.tree_id) & (
        Q(policy__account__lft__lte=account.lft, policy__account__rght__gte=account.rght)
        | Q(policy__account__lft__gte=account.lft, policy__account__rght__lte=account.rght)
    )
    others = PolicyVersion.objects.filter(on_path, enterprise_id=version.enterprise_id, state=PolicyState.PUBLISHED)
    others = others.exclude(policy=version.policy).select_related("policy__account").order_by("policy_id")
    return conflicts_of(mine, [one for other in others for one in placed(other)])


def placed(version: PolicyVersion, rules: list[Rule] | None = None) -> list[Placed]:
    """The rules of a version, each with where it stands; numbers count from 1."""
    account = version.policy.account
    return [
        Placed(
            version.policy_id,
            version.policy.name,
            account.id,
            account.name,
            account.level,
            version.number,
            number,
            rule,
        )
        for number, rule in enumerate(rules if rules is not None else rules_from_json(version.rules), start=1)
    ]


def checked(data: Any, enterprise_id: int) -> tuple[Rule, ...]:
    """Rules from JSON, with zones that the operator has. Raises RuleFault."""
    rules = rules_from_json(data)
    check_zones(rules, set(Zone.objects.filter(operator__enterprises=enterprise_id).values_list("code", flat=True)))
    return rules


# --- under the lock -------------------------------------------------------------------------------------------------


def _known(policy: Policy) -> Policy:
    found = Policy.objects.select_related("account").filter(id=policy.id, enterprise_id=policy.enterprise_id).first()
    if found is None:
        raise PolicyRefused("This policy does not exist.", field="policy")
    return found


def _draft_of(version: PolicyVersion) -> PolicyVersion:
    """The version as it is now, if it is a draft."""
    found = (
        PolicyVersion.objects.select_related("policy__account")
        .filter(id=version.id, enterprise_id=version.enterprise_id)
        .first()
    )
    if found is None:
        raise PolicyRefused("This version does not exist.", field="version")
    if found.state != PolicyState.DRAFT:
        raise PolicyRefused(f"{found} is {found.get_state_display().lower()} and never changes. Draft a new version.")
    return found


def _draft(policy: Policy, rules: Iterable[Rule], note: str, actor: str, at: datetime) -> PolicyVersion:
    latest = policy.versions.order_by("-number").values_list("number", flat=True).first() or 0
    return PolicyVersion.objects.create(
        enterprise_id=policy.enterprise_id, policy=policy, number=latest + 1, rules=rules_to_json(tuple(rules)),
        note=note[:200], made_at=at, made_by=actor,
    )  # fmt: skip


def _end_all(policy: Policy, ends_at: datetime, actor: str, at: datetime) -> None:
    """Nothing that was published holds from `ends_at` on; what was to begin later never does."""
    standing = policy.versions.exclude(state=PolicyState.DRAFT).filter(Q(ends_at=None) | Q(ends_at__gt=ends_at))
    for version in standing.exclude(ends_at=F("effective_at")):
        starts = version.effective_at or ends_at  # what is no draft has one
        version.state, version.ends_at = PolicyState.RETIRED, max(ends_at, starts)
        version.retired_at, version.retired_by = at, actor
        version.save(update_fields=["state", "ends_at", "retired_at", "retired_by"])


def _record(version: PolicyVersion, action: str, actor: str, at: datetime, **detail: Any) -> None:
    audit.record(
        enterprise_id=version.enterprise_id,
        account_id=version.policy.account_id,
        actor=actor,
        action=action,
        subject=str(version),
        detail={"version": version.number, "rules": len(version.rules), **detail},
        at=at,
    )
