"""What the demo consists of, as plain values: enterprises, their trees, people, devices and lines.

Pure and reproducible: the same size and seed give the same plan, so that a build that was killed can go on
where it stopped. Says nothing of contracts (`build`) and of what is used (`history`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from stdnum import luhn

from clients.traffic import profiles
from clients.traffic.profiles import EXECUTIVE, IDLE, RUNAWAY
from portal.demo import names

#: Of the largest enterprise; the two others keep their proportion to it.
LARGEST_LINES = 5_000
HOME_NETWORK = "26201"
PEOPLED_PROFILES = ("office", "field", EXECUTIVE)
PERSONAL_DEVICE_SHARE = 0.07
_TYPES = {
    **dict.fromkeys(names.TABLETS, "tablet"),
    **dict.fromkeys(names.MACHINES, "machine"),
    **dict.fromkeys(names.ROUTERS, "router"),
}


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account below the root; `parent_code` empty: directly below it."""

    code: str
    parent_code: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PersonPlan:
    """Somebody who uses lines."""

    number: str
    name: str
    email: str
    account_code: str


@dataclass(frozen=True, slots=True)
class LinePlan:
    """A line with its device; `person_number` empty: a machine's."""

    msisdn: str
    imsi: str
    label: str
    account_code: str
    profile: str
    person_number: str
    imei: str
    model: str
    is_personal_device: bool

    @property
    def device_type(self) -> str:
        """What the device is."""
        return _TYPES.get(self.model, "phone")


@dataclass(frozen=True, slots=True)
class Size:
    """How large an enterprise is at full size, and how it is called."""

    key: str
    name: str
    number: str
    domain: str
    lines: int
    accounts: int
    divisions: Mapping[str, tuple[str, ...]]
    number_block: int


SIZES = {
    size.key: size
    for size in (
        Size(
            "meridian",
            "Meridian Industries",
            "NN-10001",
            "meridian.example",
            5_000,
            300,
            names.MERIDIAN_DIVISIONS,
            10,
        ),
        Size("hanse", "Hanse Logistik", "NN-10002", "hanse.example", 600, 40, names.HANSE_DIVISIONS, 20),
        Size("brandt", "Brandt & Söhne", "NN-10003", "brandt.example", 60, 8, names.BRANDT_DIVISIONS, 30),
    )
}


@dataclass(frozen=True, slots=True)
class EnterprisePlan:
    """One enterprise: its accounts in an order in which parents come first, and everything that hangs
    there.
    """

    size: Size
    accounts: list[AccountPlan]
    people: list[PersonPlan] = field(default_factory=list)
    lines: list[LinePlan] = field(default_factory=list)

    def below(self, code: str) -> set[str]:
        """An account's code and those of all accounts below it."""
        found = {code}
        for account in self.accounts:
            if account.parent_code in found:
                found.add(account.code)
        return found

    def children(self, code: str) -> list[AccountPlan]:
        """The accounts directly below one; of the root for an empty code."""
        return [account for account in self.accounts if account.parent_code == code]

    def busiest_cost_centre(self) -> AccountPlan:
        """The cost centre with most lines on itself and below; in a small tree, any account below a
        division.
        """
        lines = Counter(line.account_code for line in self.lines)
        hosts = [account for account in self.accounts if account.kind == "cost_centre"]
        hosts = hosts or [account for account in self.accounts if account.parent_code]
        return max(hosts, key=lambda account: sum(lines[code] for code in self.below(account.code)))


def enterprise_plan(key: str, *, lines: int, seed: int) -> EnterprisePlan:
    """The enterprise of that key, as large as it is when the largest has `lines` lines."""
    return _enterprise(SIZES[key], lines / LARGEST_LINES, seed)


def _enterprise(size: Size, scale: float, seed: int) -> EnterprisePlan:
    drawn = random.Random(f"{size.key}:{seed}")
    line_count = max(6, round(size.lines * scale))
    plan = EnterprisePlan(size, _accounts(size, max(4, round(size.accounts * min(1.0, scale * 4)) - 1)))
    _people_lines(plan, line_count, drawn, seed)
    return plan


# --- the tree
# ----------------------------------------------------------------------------------------------------


def _accounts(size: Size, count: int) -> list[AccountPlan]:
    """Divisions, departments, cost centres and groups, breadth first, until there are `count` of them."""
    divisions = [AccountPlan(f"D{n}", "", name, "division") for n, name in enumerate(size.divisions, 1)]
    departments = [
        AccountPlan(f"{division.code}.{n}", division.code, name, "division")
        for division in divisions
        for n, name in enumerate(size.divisions[division.name], 1)
    ]
    upper = (divisions + departments)[:count]
    hosts = [account for account in upper if account in departments] or upper
    # Two fifths of the rest are cost centres, three fifths are groups below them: five levels with the root.
    wanted_centres = -(-(count - len(upper)) * 2 // 5)
    centres = []
    for n in range(wanted_centres):
        host, city = hosts[n % len(hosts)], names.CITIES[(n // len(hosts) + n * 3) % len(names.CITIES)]
        centres.append(AccountPlan(f"CC{4001 + n}", host.code, f"{host.name} {city}", "cost_centre"))
    groups = []
    for n in range(count - len(upper) - len(centres)):
        host = centres[n % len(centres)]
        name = names.GROUPS[(n // len(centres) * 3 + n) % len(names.GROUPS)]
        groups.append(AccountPlan(f"{host.code}-{n // len(centres) + 1}", host.code, name, "group"))
    return upper + centres + groups


# --- people and lines
# --------------------------------------------------------------------------------------------


def _people_lines(plan: EnterprisePlan, count: int, drawn: random.Random, seed: int) -> None:
    """Lines with their people and devices. The second line of the first person is a tablet."""
    parents = {account.parent_code for account in plan.accounts}
    leaves = [account.code for account in plan.accounts if account.code not in parents]
    weights = [drawn.uniform(0.3, 2.0) for _ in leaves]
    managing = [account.code for account in plan.accounts if account.kind == "division"]
    used_emails: set[str] = set()
    dealt = _with_runaway(plan.size, profiles.deal(count, seed=seed + plan.size.number_block))
    for n, profile in enumerate(dealt):
        code = drawn.choice(managing) if profile == EXECUTIVE else drawn.choices(leaves, weights)[0]
        person_number = ""
        if n == 1 and plan.people:
            person_number, code = plan.people[0].number, plan.people[0].account_code
        elif profile in PEOPLED_PROFILES or (profile == IDLE and drawn.random() < 0.5) or n == 0:
            person = _person(plan, code, drawn, used_emails)
            plan.people.append(person)
            person_number = person.number
        plan.lines.append(_line(plan.size, n, profile, code, person_number, drawn))


def _with_runaway(size: Size, dealt: list[str]) -> list[str]:
    """The first person's two lines are an office phone, their own, and a tablet; one machine of the largest enterprise
    runs away.
    """
    for place in (0, 1):
        dealt[place] = "office"
    if size.lines == LARGEST_LINES and "machine" in dealt:
        dealt[dealt.index("machine")] = RUNAWAY
    return dealt


def _person(plan: EnterprisePlan, account_code: str, drawn: random.Random, used_emails: set[str]) -> PersonPlan:
    first, last = drawn.choice(names.FIRST_NAMES), drawn.choice(names.LAST_NAMES)
    local = f"{first}.{last}".lower().translate(str.maketrans({"ö": "oe", "ü": "ue", "ä": "ae", "ß": "ss"}))
    email, n = f"{local}@{plan.size.domain}", 1
    while email in used_emails:
        n += 1
        email = f"{local}{n}@{plan.size.domain}"
    used_emails.add(email)
    return PersonPlan(f"P{len(plan.people) + 10001}", f"{first} {last}", email, account_code)


def _line(size: Size, n: int, profile: str, code: str, person_number: str, drawn: random.Random) -> LinePlan:
    if profile in ("machine", RUNAWAY):
        model = drawn.choice(names.MACHINES)
    elif profile == "router":
        model = drawn.choice(names.ROUTERS)
    else:
        model = drawn.choice(names.TABLETS if n == 1 else names.PHONES)
    label = "" if person_number and n != 1 else f"{model} {n + 1}"
    body = f"35{size.number_block:04d}{n:08d}"
    return LinePlan(
        msisdn=f"49170{size.number_block}{n:06d}",
        imsi=f"{HOME_NETWORK}{size.number_block:03d}{n:07d}",
        label=label,
        account_code=code,
        profile=profile,
        person_number=person_number,
        imei=body + luhn.calc_check_digit(body),
        model=model,
        is_personal_device=bool(person_number) and (drawn.random() < PERSONAL_DEVICE_SHARE or n == 0),
    )
