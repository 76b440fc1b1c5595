"""A notice in words, in English and German: title, state, and labelled lines. What screens, e-mails and webhooks say.

Owns: wording. Works from a notice's stored facts alone, so that the same notice reads the same next year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from balances.units import SERVICES_BY_NAME, Service
from portal import figures
from portal.models import Notice, NoticeKind
from portal.notices.catalogue import CATALOGUE

LOCALES = {"en": "en_GB", "de": "de_DE"}
NEAR_PERCENT, WATCH_PERCENT = 90, 75


@dataclass(frozen=True, slots=True)
class Message:
    """What a notice says; `lines` are (label, text)."""

    title: str
    state: str
    state_word: str
    lines: list[tuple[str, str]]


def state_of(notice: Notice) -> str:
    """One of ok, watch, near, used_up, over, restricted, info."""
    facts = notice.facts
    if notice.kind == NoticeKind.RESTRICTION:
        return "restricted"
    if notice.kind not in (NoticeKind.THRESHOLD, NoticeKind.LIMIT) or "percent" not in facts:
        return "info"
    used, total = _used_of(facts)
    if used > total:
        return "over"
    if used == total:
        return "used_up"
    percent = facts["percent"]
    return "near" if percent >= NEAR_PERCENT else "watch" if percent >= WATCH_PERCENT else "ok"


def message(notice: Notice, language: str = "en", *, why: str = "") -> Message:
    """A notice as its reader's language says it."""
    language = language if language in CATALOGUE else "en"
    with figures.written_in(LOCALES[language]):
        return _Writer(notice, language).message(why)


def _used_of(facts: dict[str, Any]) -> tuple[int, int]:
    if "used_micros" in facts:
        return facts["used_micros"], facts["total_micros"]
    return facts.get("used_units", 0), facts.get("total_units", 0)


class _Writer:
    """Writes one notice in one language."""

    def __init__(self, notice: Notice, language: str):
        self.notice, self.facts, self.say = notice, notice.facts, CATALOGUE[language]
        self.zone = ZoneInfo(self.facts.get("time_zone", "UTC"))
        self.service = SERVICES_BY_NAME.get(self.facts.get("service") or "")

    def message(self, why: str) -> Message:
        state = state_of(self.notice)
        named = [
            ("who", self._who()),
            ("service", self._service()),
            ("what", self._what()),
            ("used", self._used()),
            ("as_of", self._moment("as_of")),
            ("outlook", self._outlook()),
            ("next", self._next()),
            ("price", self._price()),
            ("why", self._why(why)),
        ]
        lines = [(self.say["label"][name], text) for name, text in named if text]
        title = self._title()
        if self.notice.is_test:
            title = f"{self.say['test']}: {title}"
        return Message(title, state, self.say["state"][state], lines)

    # --- the lines -----------------------------------------------------------------------------------------------

    def _who(self) -> str:
        name = self.facts.get("owner_name", "")
        if self.facts.get("owner") == "line":
            return f"{name}, {figures.msisdn(self.facts['number'])}, {self.facts['account_name']}"
        return name

    def _service(self) -> str:
        return self.say["service"][int(self.service)] if self.service is not None else ""

    def _title(self) -> str:
        facts, name = self.facts, self.facts.get("owner_name") or self.facts.get("tag", "")
        words = {"name": name, "service": self._service() or self.say["every_service"], "percent": _percent(facts)}
        words["limit"] = facts.get("limit_name") or self.say["a_limit"]
        words["when"] = self._moment("runs_out_at")
        words["action"] = self.say["restricted"].get(facts.get("action", ""), "")
        return self.say["title"][self.notice.kind].format(**words)

    def _what(self) -> str:
        what = self.facts.get("what", {}).get(self.say["code"])
        if self.notice.kind == NoticeKind.CONSENT:
            return self.say["consent"].format(by=_name_of(self.facts.get("by", "")), amount=self._amount())
        return what or ""

    def _amount(self) -> str:
        amount = self.facts.get("amount")
        if amount is None:
            return self.say["unbounded"]
        return self._quantity(amount) if self.facts.get("measure") == "units" else self._money(amount)

    def _used(self) -> str:
        if "used_micros" in self.facts:
            used, total = self._money(self.facts["used_micros"]), self._money(self.facts["total_micros"])
        elif "used_units" in self.facts:
            used, total = self._quantity(self.facts["used_units"]), self._quantity(self.facts["total_units"])
        else:
            return ""
        return self.say["used_of"].format(used=used, total=total, percent=self.facts["percent"])

    def _outlook(self) -> str:
        outlook = self.facts.get("outlook")
        if outlook is None:
            return ""
        return self.say["outlook"][outlook].format(when=self._moment("runs_out_at"))

    def _next(self) -> str:
        say, facts, parts = self.say["next"], self.facts, []
        if facts.get("action") and self.notice.kind == NoticeKind.LIMIT:
            used, total = _used_of(facts)
            key = "limit_reached" if used >= total else "limit_ahead"
            parts.append(say[key].format(action=self.say["action"][facts["action"]]))
        elif limit := facts.get("next_limit"):
            amount, action = self._quantity(limit["amount"]), self.say["action"][limit["action"]]
            parts.append(say["next_limit"].format(amount=amount, action=action))
        elif self.notice.kind == NoticeKind.RESTRICTION:
            parts.append(say["restricted"].format(until=self._moment("until") or say["by_hand"]))
        elif "total_units" in facts:
            parts.append(say["overage"])
        if "cycle_ends_at" in facts and self.notice.kind != NoticeKind.RESTRICTION:
            parts.append(say["cycle"].format(when=self._moment("cycle_ends_at")))
        return " ".join(parts)

    def _price(self) -> str:
        if "price_micros" not in self.facts or self.service is None:
            return ""
        price = figures.exact_money(self.facts["price_micros"], self.facts["currency"])
        return self.say["price"].format(price=price, block=self._quantity(self.facts["price_block_units"]))

    def _why(self, why: str) -> str:
        role, _, place = why.partition(":")
        return self.say["why"].get(role, "").format(place=place)

    # --- figures -------------------------------------------------------------------------------------------------

    def _quantity(self, units: int) -> str:
        return figures.quantity(units, self.service if self.service is not None else Service.DATA)

    def _money(self, micros: int) -> str:
        return figures.money(micros, self.facts.get("currency", "EUR"))

    def _moment(self, name: str) -> str:
        text = self.facts.get(name)
        return figures.moment(datetime.fromisoformat(text), self.zone) if text else ""


def _percent(facts: dict[str, Any]) -> str:
    mark = facts.get("mark_percent")
    return f"{mark if mark is not None else facts.get('percent', 0)}{figures.NARROW_SPACE}%"


def _name_of(actor: str) -> str:
    """`user:12 Alice Arden` as people say it."""
    return actor.partition(" ")[2] or actor
