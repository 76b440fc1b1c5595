"""Who pays in the demo: a division whose people use devices of their own, with rules of who pays and personal accounts.

`begin` is done before the past is lived, so that its usage is steered as it comes; `finish` leaves what managers and
people look at: a trip, a list of numbers, a draft to replay. Each part is done once. docs/byod.md
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from balances import personal, personal_tariffs, tags
from balances.models import (
    Account,
    Enterprise,
    Line,
    Person,
    PersonalAccount,
    PersonalAccountKind,
    PersonalTariff,
    Zone,
)
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import GIB, MIB, MICROS_PER_MAJOR, Service
from policies.models import NumberList, Steering, Trip
from policies.steering import number_lists, publishing, trips
from portal.demo.plan import LinePlan
from portal.demo.story import Story

ACTOR = "demo"
TAG = "byod"
TARIFF = "Nordnetz Mine"
#: People of the division beside the employee who signs in whose lines are their own at most.
PEOPLE_MOST = 40

OFFICE = "weekday in (mon, tue, wed, thu, fri) and time within 07:00-19:00 and holiday is no"
RULES: list[dict[str, Any]] = [
    {"name": "Conferences", "when": "service is video_conferencing", "pays": "corporate"},
    {"name": "Office hours", "when": OFFICE, "pays": "corporate"},
    {"name": "Business trips", "when": "roaming is yes and on_trip is yes", "pays": "corporate"},
    {
        "name": "Own time",
        "when": f"tag is {TAG}",
        "pays": "personal",
        "hint": "Lines whose devices are people's own bear the tag.",
    },
]
#: What somebody thinks of next: the company adds a gigabyte of each person's own time.
NEXT_RULES: list[dict[str, Any]] = [
    *RULES[:3],
    {
        "name": "A gigabyte on us",
        "when": f"tag is {TAG} and service is data",
        "pays": [{"payer": "corporate", "units": GIB, "every": "cycle", "of": "person"}, {"payer": "personal"}],
    },
    RULES[3],
]


class Byod:
    """Who pays in one enterprise of the demo; only the one whose employee signs in has it."""

    def __init__(self, story: Story, enterprise: Enterprise):
        self.story, self.enterprise = story, enterprise
        place = Account.objects.get(enterprise=enterprise, code=story.plan.people[0].account_code)
        self.division: Account = place.get_ancestors(include_self=True).exclude(parent=None).order_by("level")[0]

    def begin(self) -> None:
        """Lines of their own, personal accounts, and the rules, as of the beginning of the past."""
        if Steering.objects.filter(account=self.division).exists():
            return
        doing: dict[str, Any] = {"actor": ACTOR, "at": self.story.began_at}
        tariff = self._tariff(doing)
        for place, (line, person) in enumerate(self._own_lines()):
            tags.set_tags(line=line, tags=[TAG], **doing)
            if not PersonalAccount.objects.filter(person=person).exists() and place % 8 != 1:  # not everybody has one
                self._account(place, person, tariff, doing)
        draft = publishing.save_draft(
            account=self.division, rules=RULES, missing={"action": "interim", "micros": 5 * MICROS_PER_MAJOR}, **doing
        )
        publishing.publish(version=draft, reason="People bring their own phones.", **doing)

    def finish(self) -> None:
        """What there is to look at: somebody is abroad, customers are known by number, the next version is drafted."""
        doing: dict[str, Any] = {"actor": ACTOR, "at": self.story.now}
        mine = self._own_lines()
        if mine and not Trip.objects.filter(enterprise=self.enterprise).exists():
            trips.declare(
                person=mine[0][1], countries=["FR", "ES"], starts_at=self.story.now - timedelta(days=2),
                ends_at=self.story.now + timedelta(days=5), note="Trade fair in Lyon", **doing,
            )  # fmt: skip
        if not NumberList.objects.filter(enterprise=self.enterprise).exists():
            customers = number_lists.create(account=self.division, code="customers", name="Customers", **doing)
            rows = number_lists.rows_of("+49308200*\n+4940555123")
            number_lists.add(numbers=customers, rows=rows, **doing)
        steering = Steering.objects.get(account=self.division)
        if not steering.versions.filter(state="draft").exists():
            publishing.save_draft(
                account=self.division, rules=NEXT_RULES, missing={"action": "interim", "micros": 5 * MICROS_PER_MAJOR},
                note="Asked for by the works council", **doing,
            )  # fmt: skip

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
            credit_limit_micros=0 if is_prepaid else 60 * MICROS_PER_MAJOR,
            **doing,
        )
        text = f"{TARIFF}: data 2 GB and 100 minutes a month, then as listed; charged for my own time only."
        personal.accept(account=account, text=text, **doing)
        if is_prepaid:
            personal.top_up(account=account, micros=25 * MICROS_PER_MAJOR, key=f"demo:{account.id}:first", **doing)
