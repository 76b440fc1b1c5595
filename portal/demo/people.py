"""What people of the demo have done since they could sign in: the employee proved who they are and objected to charges,
a manager decided, and another one had the draft of who pays replayed.

Done after `portal.demo.cast` has made the users, at the end of the past that was lived. Each part is done once.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Sum

from balances.models import ChargeLine, Enterprise, Person, UsageRecord
from balances.models.counters import Payer
from balances.personal_corrections import personal_units
from policies.models import SteeringVersion
from portal import claims, contests
from portal.demo.past import Past
from portal.demo.story import Story
from portal.models import Contest, ContestState, Membership, PersonClaim, Role, User
from portal.provisioning import steering_replays

#: Reasons of objections; what was answered, None where nobody has yet, and whether it is upheld.
OBJECTIONS = (
    ("I was helping a customer that evening: this was work.", "Agreed, this was for the company.", True),
    ("A supplier kept me busy after hours.", None, False),
    ("I was waiting for the night shift to answer.", "This was in your own time, as the rule says.", False),
)
RECORDS_LOOKED_AT = 100


def settle(story: Story, enterprise: Enterprise) -> None:
    """Claim, objections and replay of the enterprise whose employee signs in."""
    employee = Membership.objects.get(enterprise=enterprise, role=Role.EMPLOYEE).person
    user = User.objects.get(memberships__person=employee)
    if not PersonClaim.objects.filter(person=employee).exists():
        operator = User.objects.filter(memberships__role=Role.OPERATOR).order_by("id")[0]
        _, code = claims.issue(person=employee, actor=_actor(operator), at=story.now)
        claims.confirm(user=user, code=code, at=story.now)
    _object(story, enterprise, employee, user)
    above = employee.account.get_ancestors(include_self=True)
    draft = SteeringVersion.objects.filter(steering__account__in=above, state="draft").first()
    if draft is not None and not steering_replays.of_version(draft).exists():
        owner = User.objects.get(memberships__role=Role.OWNER, memberships__enterprise=enterprise)
        steering_replays.start(version=draft, created_by=owner, actor=_actor(owner), at=story.now)


def _object(story: Story, enterprise: Enterprise, employee: Person, user: User) -> None:
    """Objections to charges of the employee's, and what managers of the account said to them."""
    above = employee.account.get_ancestors(include_self=True)
    manager = User.objects.filter(memberships__role=Role.MANAGER, memberships__account__in=above).order_by("-id")[0]
    for usage, (reason, answer, is_upheld) in zip(_charged(story, employee), OBJECTIONS, strict=False):
        contest = Contest.objects.filter(usage_id=usage.id).first()
        if contest is None:
            (contest,) = contests.file(usages=[usage], person=employee, reason=reason, actor=_actor(user), at=story.now)
        if answer and contest.state == ContestState.OPEN:
            contest = contests.decide(
                contest=contest, uphold=is_upheld, answer=answer, actor=_actor(manager), at=story.now
            )
        if contest.state == ContestState.UPHELD:
            Past(story, enterprise).charge_waiting(story.now)
            contests.complete(contest_id=contest.id, actor=_actor(manager), at=story.now)


def _charged(story: Story, person: Person) -> Iterator[UsageRecord]:
    """Charges of a person of which something was granted: first those that cost money, the latest first."""
    records = UsageRecord.objects.filter(payer=Payer.PERSONAL, person=person, used_at__lte=story.now)
    latest = list(records.order_by("-used_at", "-id")[:RECORDS_LOOKED_AT])
    since = min((record.used_at for record in latest), default=story.now)
    lines = ChargeLine.objects.filter(usage__in=[record.id for record in latest], used_at__gte=since)
    micros = dict(lines.values_list("usage").annotate(sum=Sum("personal_micros")).order_by())
    latest.sort(key=lambda record: not micros.get(record.id))
    return (record for record in latest if personal_units(record))


def _actor(user: User) -> str:
    return f"user:{user.pk} {user}"
