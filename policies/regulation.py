"""Ready-made policies: what regulators ask for, and what managers begin with. Pure data.

An operator changes them and adds its own through `policies.templates`. A template is rules, with limits for them to be
beyond. Amounts are units of the service, or micros of the contract's currency. Limits are made to tell people only;
what happens beyond them is the policy's matter, and begins when it is published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from balances.units import MICROS_PER_MAJOR


@dataclass(frozen=True, slots=True)
class LimitTerms:
    """A limit that a template brings along; arguments of `policies.limits.make`."""

    name: str
    amount: int
    percents: tuple[int, ...]
    service: str = ""
    is_abroad: bool = False
    measure: str = "money"
    window: str = "cycle"


@dataclass(frozen=True, slots=True)
class Template:
    """A policy to begin with. `source`: what it follows; `note`: what to look at before it is published.

    `is_offered`: whether enterprises see it; `changed_at`, `changed_by`: by whom at the operator, if anybody.
    """

    key: str
    name: str
    source: str
    note: str
    rules: tuple[dict[str, Any], ...]
    limits: tuple[LimitTerms, ...] = field(default=())
    is_offered: bool = True
    changed_at: datetime | None = None
    changed_by: str = ""

    @property
    def is_built_in(self) -> bool:
        """Whether there is one of this key without anybody's doing."""
        return self.key in TEMPLATES


_ROAMING_DATA = "service is data and roaming is yes"
_MONEY_CYCLE = {"window": "cycle"}
_NOTE = "The limit counts all lines of the account together: set it to what suits their number."

_ALL = (
    Template(
        "eu-roaming",
        "Roaming data in the EU",
        "Regulation (EU) 2022/612, article 14",
        "People are told at 80 and 100 percent. At the limit data abroad stops until somebody consents, and again at "
        "the second limit. " + _NOTE,
        ({"name": "Consent at the limit", "when": _ROAMING_DATA, "beyond": _MONEY_CYCLE, "action": "consent"},),
        (
            LimitTerms("Roaming data, first limit", 50 * MICROS_PER_MAJOR, (80, 100), "data", is_abroad=True),
            LimitTerms("Roaming data, second limit", 100 * MICROS_PER_MAJOR, (80, 100), "data", is_abroad=True),
        ),
    ),
    Template(
        "uk-bill-limit",
        "Bill limit in the United Kingdom",
        "Communications Act 2003, section 124S",
        "People are told when the limit is likely to be reached, and when it is. Going on needs an agreement made "
        "after that notice; using on is none. " + _NOTE,
        ({"name": "Agreement after notice", "when": "always", "beyond": _MONEY_CYCLE, "action": "consent"},),
        (LimitTerms("Bill limit", 100 * MICROS_PER_MAJOR, (80, 100)),),
    ),
    Template(
        "us-alerts",
        "Usage alerts in the United States",
        "CTIA consumer code and FCC guidance",
        "Free alerts when usage comes near a limit and when it passes it; nothing is stopped. " + _NOTE,
        ({"name": "Tell, and let it run", "when": "always", "beyond": {}, "action": "notify"},),
        (
            LimitTerms("Overage", 50 * MICROS_PER_MAJOR, (80, 100)),
            LimitTerms("Roaming", 50 * MICROS_PER_MAJOR, (80, 100), is_abroad=True),
        ),
    ),
    Template(
        "australia-spend",
        "Spend management in Australia",
        "Telecommunications Consumer Protections Code",
        "People are told at 50, 85 and 100 percent, the last time with the price of what follows. " + _NOTE,
        ({"name": "Runs on at the excess price", "when": "always", "beyond": _MONEY_CYCLE, "action": "overage"},),
        (LimitTerms("Spend", 100 * MICROS_PER_MAJOR, (50, 85, 100)),),
    ),
    Template(
        "canada-caps",
        "Data caps in Canada",
        "Wireless Code, sections E.2 and E.3",
        "At the cap data pauses until the account holder, or somebody he has authorised, consents: CAD 50 of overage, "
        "CAD 100 of roaming, a month. " + _NOTE,
        ({"name": "Pause at the cap", "when": "service is data", "beyond": {"service": "data"}, "action": "consent"},),
        (
            LimitTerms("Data overage", 50 * MICROS_PER_MAJOR, (80, 100), "data"),
            LimitTerms("Data roaming", 100 * MICROS_PER_MAJOR, (80, 100), "data", is_abroad=True),
        ),
    ),
    Template(
        "office-hours",
        "Data abroad in office hours only",
        "",
        "Stops data while roaming at night and at weekends. Executives are excepted: delete that rule if none are.",
        (
            {
                "name": "No data abroad out of hours",
                "when": f"{_ROAMING_DATA} and not (weekday in (mon, tue, wed, thu, fri) and time within 07:00-20:00)",
                "beyond": None,
                "action": "stop_now",
            },
            {
                "name": "Executives go on",
                "when": f"{_ROAMING_DATA} and tag is executive",
                "beyond": None,
                "action": "notify",
                "exception": True,
            },
        ),
    ),
    Template(
        "empty",
        "Blank policy",
        "",
        "Begin with one rule that only tells people, and change it.",
        ({"name": "First rule", "when": "always", "beyond": {}, "action": "notify"},),
    ),
)
TEMPLATES: dict[str, Template] = {template.key: template for template in _ALL}
