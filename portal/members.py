"""Memberships: who joins, who leaves. The only writer of Membership.

Owns: that nobody grants more than they hold, at the place where they hold it. What a role may do is said by
`portal.access`.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from balances import audit, fields
from balances.errors import Refused
from balances.models import Account, Enterprise, Operator, Person
from balances.scope import Scope
from portal.access import ROLE_VERBS
from portal.models import Membership, Role, User


class NotYours(Refused):
    """The role holds more than its giver does there."""


class NoPlace(Refused):
    """The role needs another kind of place, or the place does not exist."""


class AlreadyMember(Refused):
    """The user holds this role there already."""


def join(
    *,
    user: User,
    role: str,
    operator: Operator | None = None,
    enterprise: Enterprise | None = None,
    account: Account | None = None,
    person: Person | None = None,
    valid_until: datetime | None = None,
    actor: str,
    at: datetime,
) -> Membership:
    """A role for a user at a place. Opens its own transaction; the caller vouches for the right to give it.

    Raises AlreadyMember.
    """
    place = {"operator": operator, "enterprise": enterprise, "account": account, "person": person}
    with transaction.atomic():
        # Locked, so that the same role given twice at once is given once.
        User.objects.select_for_update(no_key=True).get(id=user.id)
        same = Membership.objects.filter(user=user, role=role, **place)
        if same.exists():
            raise AlreadyMember(f"{user} holds this role there already.", field="email")
        membership = Membership.objects.create(user=user, role=role, valid_until=valid_until, **place)
        _record(membership, "member.joined", actor, at)
        return membership


def invite(
    *,
    giver: Scope,
    email: str,
    name: str = "",
    role: str,
    enterprise: Enterprise,
    account: Account | None = None,
    person: Person | None = None,
    valid_until: datetime | None = None,
    actor: str,
    at: datetime,
) -> Membership:
    """A role in an enterprise for whoever has this e-mail address, which `giver` must hold there as well.

    Somebody new becomes a user who can sign in once they have set a password at their `welcome_path`. Opens its own
    transaction. Raises NotYours, NoPlace, AlreadyMember, Unreadable.
    """
    email = fields.email(email)
    if not email:
        raise fields.Unreadable("The e-mail address is missing.", field="email")
    name = fields.text(name, field="name", label="The name", most=fields.NAME_LENGTH, required=False)
    if valid_until is not None and valid_until <= at:
        raise NoPlace("The membership would have ended already.", field="valid_until")
    _refuse_place(role, enterprise, account, person)
    refuse_more_than_held(giver, role, enterprise, account, person)
    with transaction.atomic():
        user, is_new = User.objects.get_or_create(email=email, defaults={"name": name})
        if is_new:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        return join(
            user=user,
            role=role,
            operator=enterprise.operator if role == Role.OPERATOR else None,
            enterprise=enterprise,
            account=account,
            person=person,
            valid_until=valid_until,
            actor=actor,
            at=at,
        )


def welcome_path(user: User, *, giver: Scope) -> str | None:
    """The address at which somebody new sets a first password; good for three days (PASSWORD_RESET_TIMEOUT), and once.

    None where there is nothing to hand out: the user has a password, or also holds roles that `giver` could not have
    given; whoever got the link would get those, too.
    """
    if user.has_usable_password() or not user.is_active:
        return None
    for held in Membership.objects.filter(user=user).select_related("enterprise", "account", "person"):
        try:
            if held.enterprise is None:
                return None
            refuse_more_than_held(giver, held.role, held.enterprise, held.account, held.person)
        except NotYours:
            return None
    return reverse(
        "welcome", args=[urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
    )


def end(*, membership: Membership, giver: Scope, actor: str, at: datetime) -> None:
    """Take a role away, which only those may who could have given it; a second time changes nothing.

    Opens its own transaction. Raises NotYours, NoPlace (the last telecoms manager).
    """
    with transaction.atomic():
        Enterprise.objects.select_for_update(no_key=True).get(id=membership.enterprise_id)
        present = Membership.objects.select_related("enterprise", "account", "person", "user")
        current = present.filter(id=membership.id).first()
        if current is None:
            return
        refuse_more_than_held(giver, current.role, current.enterprise, current.account, current.person)
        if current.role == Role.OWNER and not _other_owners(current).exists():
            raise NoPlace("An enterprise keeps at least one telecoms manager. Add another one first.")
        _record(current, "member.left", actor, at)
        current.delete()


def refuse_more_than_held(
    giver: Scope, role: str, enterprise: Enterprise, account: Account | None, person: Person | None
) -> None:
    """Every verb of the role must be the giver's own at that very place. Raises NotYours."""
    place = account.id if account else person.account_id if person else None
    for verb in {*ROLE_VERBS[role], *ROLE_VERBS[Role.MANAGER]}:
        if not giver.allows(verb, enterprise_id=enterprise.id, account_id=place):
            raise NotYours("You cannot give or take what you do not hold there.", field="role")


def _refuse_place(role: str, enterprise: Enterprise, account: Account | None, person: Person | None) -> None:
    """The same rules as the table's constraint, in words."""
    wants_account, wants_person = role in (Role.MANAGER, Role.OBSERVER), role == Role.EMPLOYEE
    if wants_account != (account is not None):
        text = "Name the account where the role begins." if wants_account else "This role holds no single account."
        raise NoPlace(text, field="account")
    if wants_person != (person is not None):
        text = "Name the person whose lines these are." if wants_person else "This role is no employee's."
        raise NoPlace(text, field="person")
    for field, thing in (("account", account), ("person", person)):
        if thing is not None and thing.enterprise_id != enterprise.id:
            raise NoPlace(f"This {field} does not exist in the enterprise.", field=field)


def _other_owners(membership: Membership):
    owners = Membership.objects.filter(enterprise_id=membership.enterprise_id, role=Role.OWNER)
    lasting = owners.filter(valid_until__isnull=True) | owners.filter(valid_until__gt=timezone.now())
    return lasting.exclude(id=membership.id)


def _record(membership: Membership, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=membership.enterprise_id,
        account_id=membership.account_id,
        actor=actor,
        action=action,
        subject=str(membership.user),
        detail={
            "email": membership.user.email,
            "role": membership.role,
            "valid_until": membership.valid_until.isoformat() if membership.valid_until else None,
        },
        at=at,
    )
