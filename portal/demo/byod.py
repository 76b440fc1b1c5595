"""Who pays in the demo: a division whose people use devices of their own, with rules of who pays and personal accounts.

`begin` is done before the past is lived, so that its usage is steered as it comes; `finish` leaves what managers and
people look at: a trip, a draft to replay. What people do once they can sign in is in `portal.demo.people`. Each part is
done once. docs/byod.md
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from balances import masking, personal, personal_tariffs, profiles, tags
from balances.models import (
    Account,
    DeclaredField,
    Enterprise,
    Line,
    MaskingDeclaration,
    MaskingRule,
    Person,
    PersonalAccount,
    PersonalAccountKind,
    PersonalTariff,
    Zone,
)
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import GIB, MIB, MICROS_PER_MAJOR, Service
from policies.models import NumberList, Steering, Trip
from policies.steering import declared, number_lists, publishing, trips
from portal.demo.plan import LinePlan
from portal.demo.story import Story

ACTOR = "demo"
TAG = "byod"
TARIFF = "Nordnetz Mine"
#: People of the division beside the employee who signs in whose lines are their own at most.
PEOPLE_MOST = 40
#: How far managers of an enterprise see with whom people speak, and what was declared; of others the country says it.
MASKS = {
    "meridian": (
        MaskingRule.CUT_THREE,
        "Works agreement on people's own devices: the last three digits are not shown.",
    ),
    "hanse": (MaskingRule.NONE, "The works council has not agreed to anything more. Staff were told by letter."),
}

OWN, WEEK = f"tag is {TAG}", "weekday in (mon, tue, wed, thu, fri)"
OFFICE = f"{WEEK} and time within 07:00-19:00 and holiday is no"
REST = {"payer": "personal"}
#: At the top, where nobody below may say otherwise.
TOP_RULES: list[dict[str, Any]] = [
    {"name": "Conferences", "when": "service is video_conferencing", "pays": "corporate", "fixed": True},
]
#: Where the employee works.
TEAM_RULES: list[dict[str, Any]] = [
    {
        "name": "On call",
        "when": "profile.on_call is yes and service is voice and weekday in (sat, sun)",
        "pays": "corporate",
        "hint": "Whose profile says so; the operator has declared the field.",
    },
]

#: What another division thinks of. Not where the replay is: with rules that ask whom somebody called, it lists nobody.
PRIVATE_RULES: list[dict[str, Any]] = [
    {"name": "Private numbers", "when": "service in (voice, messaging) and list is private", "pays": "personal"},
]


def division_rules(*, data_units: int, office: str) -> list[dict[str, Any]]:
    """Who pays in the division; `data_units` of each person's own time are the company's."""
    budget = {"payer": "corporate", "units": data_units, "every": "cycle", "of": "person"}
    return [
        {
            "name": "Company apps",
            "when": f"{OWN} and service is data and application in (outlook, teams, sap)",
            "pays": "corporate",
        },
        {
            "name": "Films and friends",
            "when": f"{OWN} and service is data and application in (video, social)",
            "pays": "personal",
        },
        {"name": "Business trips", "when": "roaming is yes and on_trip is yes", "pays": "corporate"},
        {"name": "Office hours", "when": office, "pays": "corporate"},
        {
            "name": "Calls, half each",
            "when": f"{OWN} and service is voice",
            "pays": [{"payer": "corporate", "percent": 50}, REST],
        },
        {"name": "Data on us", "when": f"{OWN} and service is data", "pays": [budget, REST]},
        {
            "name": "Own time",
            "when": OWN,
            "pays": "personal",
            "hint": "Lines whose devices are people's own bear the tag.",
        },
    ]


RULES = division_rules(data_units=GIB, office=OFFICE)
#: What somebody thinks of next: shorter hours, and another gigabyte instead.
NEXT_RULES = division_rules(data_units=2 * GIB, office=OFFICE.replace("07:00-19:00", "08:00-18:00"))


def declare_masking(story: Story, enterprise: Enterprise) -> None:
    """What the enterprise has declared to its operator since it began."""
    if story.key in MASKS and not MaskingDeclaration.objects.filter(enterprise=enterprise).exists():
        rule, text = MASKS[story.key]
        masking.declare(enterprise=enterprise, rule=rule, text=text, actor=ACTOR, at=story.began_at)


class Byod:
    """Who pays in one enterprise of the demo; only the one whose employee signs in has it."""

    def __init__(self, story: Story, enterprise: Enterprise):
        self.story, self.enterprise = story, enterprise
        self.team = Account.objects.get(enterprise=enterprise, code=story.plan.people[0].account_code)
        self.top, self.division = self.team.get_ancestors(include_self=True).order_by("level")[:2]

    def begin(self) -> None:
        """Lines of their own, personal accounts, and the rules, as of the beginning of the past."""
        doing: dict[str, Any] = {"actor": ACTOR, "at": self.story.began_at}
        if not DeclaredField.objects.filter(operator=self.enterprise.operator).exists():
            declared.declare(
                operator=self.enterprise.operator, name="profile.on_call", kind="flag", label="On call",
                hint="yes for whoever is on call on weekends", **doing,
            )  # fmt: skip
        own = self._own_lines()
        profiles.set_profile(line=own[0][0], attributes={"on_call": True}, **doing)
        tariff = self._tariff(doing)
        for place, (line, person) in enumerate(own):
            tags.set_tags(line=line, tags=[TAG], **doing)
            if not PersonalAccount.objects.filter(person=person).exists() and place % 8 != 1:  # not everybody has one
                self._account(place, person, tariff, doing)
        missing = {"action": "interim", "micros": 5 * MICROS_PER_MAJOR}
        self._publish(self.top, TOP_RULES, "Meetings are work, wherever one joins them.", doing, missing=missing)
        self._publish(self.division, RULES, "People bring their own phones.", doing)
        if self.team != self.division:
            self._publish(self.team, TEAM_RULES, "The team answers on weekends.", doing)

    def _publish(
        self, account: Account, rules: list[dict[str, Any]], reason: str, doing: dict[str, Any], **said: Any
    ) -> None:
        if not Steering.objects.filter(account=account, versions__state="published").exists():
            draft = publishing.save_draft(account=account, rules=rules, **said, **doing)
            publishing.publish(version=draft, reason=reason, **doing)

    def finish(self) -> None:
        """What there is to look at: somebody is abroad, the next version is drafted."""
        doing: dict[str, Any] = {"actor": ACTOR, "at": self.story.now}
        if not Trip.objects.filter(enterprise=self.enterprise).exists():
            trips.declare(
                person=self._own_lines()[0][1], countries=["FR", "ES"], starts_at=self.story.now - timedelta(days=2),
                ends_at=self.story.now + timedelta(days=5), note="Trade fair in Lyon", **doing,
            )  # fmt: skip
        steering = Steering.objects.get(account=self.division)
        if not steering.versions.filter(state="draft").exists():
            publishing.save_draft(
                account=self.division, rules=NEXT_RULES, note="Asked for by the works council", **doing
            )
        if not NumberList.objects.filter(enterprise=self.enterprise).exists():
            self._private_numbers(doing)

    def _private_numbers(self, doing: dict[str, Any]) -> None:
        """The division of the used-up cost centre has a list of numbers, and a draft that asks for it."""
        place = Account.objects.get(enterprise=self.enterprise, code=self.story.squeezed.code)
        other = place.get_ancestors(include_self=True).order_by("level")[1]
        private = number_lists.create(account=other, code="private", name="Private numbers", **doing)
        rows = number_lists.rows_of("+491515*, Prepaid numbers\n+4940555123, Sports club")
        number_lists.add(numbers=private, rows=rows, **doing)
        if other != self.division:
            publishing.save_draft(account=other, rules=PRIVATE_RULES, note="Nobody has decided yet", **doing)

    def _own_lines(self) -> list[tuple[Line, Person]]:
        """The employee's phone, and lines on people's own devices in the division."""
        below = set(self.division.get_descendants(include_self=True).values_list("code", flat=True))

        def is_own(place: int, line: LinePlan) -> bool:
            return place == 0 or (line.is_personal_device and line.account_code in below)

        chosen = [line.msisdn for place, line in enumerate(self.story.plan.lines) if is_own(place, line)]
        lines = Line.objects.filter(enterprise=self.enterprise, msisdn__in=chosen[: PEOPLE_MOST + 1]).order_by("id")
        return [(line, line.person) for line in lines.select_related("person") if line.person is not None]

    def _tariff(self, doing: dict[str, Any]) -> PersonalTariff:
        operator = self.enterprise.operator
        known = PersonalTariff.objects.filter(operator=operator, name=TARIFF).first()
        if known is not None:
            return known
        tariff = personal_tariffs.create_tariff(operator=operator, name=TARIFF, currency="EUR", **doing)
        near = tuple(Zone.objects.filter(operator=operator, code__in=("home", "eu")))
        far = [zone for zone in Zone.objects.filter(operator=operator) if zone not in near]
        personal_tariffs.add_version(
            tariff=tariff,
            effective_at=doing["at"],
            rates=[
                RateRow(Service.DATA, 2_000, MIB),
                RateRow(Service.VOICE, 50_000, 60),
                RateRow(Service.MESSAGING, 60_000, 1),
                RateRow(Service.VIDEO_CONFERENCING, 20_000, 60),
                *(RateRow(Service.DATA, 90_000, MIB, zone) for zone in far),
            ],
            allowances=[
                AllowanceRow("Data of my own", Service.DATA, 2 * GIB, near),
                AllowanceRow("Minutes of my own", Service.VOICE, 100 * 60, near),
            ],
            **doing,
        )
        return tariff

    def _account(self, place: int, person: Person, tariff: PersonalTariff, doing: dict[str, Any]) -> None:
        is_prepaid = place % 3 == 2
        account = personal.open_account(
            person=person,
            tariff=tariff,
            kind=PersonalAccountKind.PREPAID if is_prepaid else PersonalAccountKind.POSTPAID,
            credit_limit_micros=0 if is_prepaid else 120 * MICROS_PER_MAJOR,
            **doing,
        )
        text = f"{TARIFF}: data 2 GB and 100 minutes a month, then as listed; charged for my own time only."
        personal.accept(account=account, text=text, **doing)
        if is_prepaid:
            personal.top_up(account=account, micros=25 * MICROS_PER_MAJOR, key=f"demo:{account.id}:first", **doing)
