"""A notice in words, in English and German: title, state, and labelled lines. What screens, e-mails and webhooks say.

Owns: wording. Works from a notice's stored facts alone, so that the same notice reads the same next year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from balances.units import SERVICES_BY_NAME, Service
from portal import figures
from portal.models import Notice, NoticeKind, Severity
from portal.notices import trades
from portal.notices.catalogue import CATALOGUE

LOCALES = {"en": "en_GB", "de": "de_DE"}
STATES = ("ok", "watch", "near", "used_up", "over", "restricted", "info", "wanted")
NEAR_PERCENT, WATCH_PERCENT = 90, 75
PERSONAL_STATES = {
    "allowance_low": "near", "allowance_out": "used_up", "money_low": "near", "money_out": "used_up",
    "credit_low": "near", "credit_out": "used_up",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """What a notice says; `lines` are (label, text)."""

    title: str
    state: str
    state_word: str
    lines: list[tuple[str, str]]


def state_of(notice: Notice) -> str:
    """One of `STATES`."""
    facts = notice.facts
    if notice.kind == NoticeKind.RESTRICTION:
        return "restricted"
    if notice.kind == NoticeKind.CONTEST:
        return "info" if notice.resolved_at else "wanted"
    if notice.kind == NoticeKind.PERSONAL:
        return PERSONAL_STATES.get(facts["said"], "info")
    if notice.kind == NoticeKind.TRADE:
        return "wanted" if facts["said"] in trades.ASKING else "info"
    if notice.kind == NoticeKind.FORECAST:
        return "near" if notice.severity == Severity.CRITICAL else "watch"
    if notice.kind in (NoticeKind.ANOMALY, NoticeKind.DEVICE):
        return "watch"
    if notice.kind not in (NoticeKind.THRESHOLD, NoticeKind.LIMIT) or "percent" not in facts:
        return "info"
    used, total = _used_of(facts)
    if used > total:
        return "over"
    if used == total:
        return "used_up"
    percent = facts["percent"]
    return "near" if percent >= NEAR_PERCENT else "watch" if percent >= WATCH_PERCENT else "ok"


def message(notice: Notice, language: str = "en", *, why: str = "", also: Sequence[str] = ()) -> Message:
    """A notice as its reader's language says it; `also`: who else was told."""
    language = language if language in CATALOGUE else "en"
    with figures.written_in(LOCALES[language]):
        return _Writer(notice, language).message(why, also)


def veiled(language: str = "en") -> Message:
    """What may be said of a personal notice where others could read it: that there is one."""
    say = CATALOGUE[language if language in CATALOGUE else "en"]
    return Message(say["veiled"], "info", say["state"]["info"], [])


def _used_of(facts: dict[str, Any]) -> tuple[int, int]:
    if "used_micros" in facts:
        return facts["used_micros"], facts["total_micros"]
    return facts.get("used_units", 0), facts.get("total_units", 0)


class _Writer:
    """Writes one notice in one language."""

    def __init__(self, notice: Notice, language: str):
        self.notice, self.facts, self.say = notice, notice.facts, CATALOGUE[language]
        self.zone = ZoneInfo(self.facts.get("time_zone", "UTC"))
        self.service = SERVICES_BY_NAME.get(self.facts.get("service") or "", notice.service)

    def message(self, why: str, also: Sequence[str]) -> Message:
        state = state_of(self.notice)
        named = [
            ("who", self._who()),
            ("service", self._service()),
            ("what", self._what()),
            ("used", self._used()),
            ("as_of", self._moment("as_of")),
            ("outlook", self._outlook()),
            ("next", self._next()),
            ("trade_price" if self.notice.kind == NoticeKind.TRADE else "price", self._price()),
            ("why", self._why(why)),
            ("also", ", ".join(also)),
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
        if self.notice.kind == NoticeKind.TRADE:
            said = self.say["trade"][facts["said"]]
            taker = facts.get("taker_name", "")
            when = self._hour("until")
            return said.format(name=name, other=facts["other_name"], taker=taker, goods=self._goods(), when=when)
        if self.notice.kind == NoticeKind.PERSONAL:
            return self.say["personal"][facts["said"]].format(**self._own())
        words = {"name": name, "service": self._service() or self.say["every_service"], "percent": _percent(facts)}
        words["limit"] = facts.get("limit_name") or self.say["a_limit"]
        words["when"] = self._hour("runs_out_at")
        words["action"] = self.say["restricted"].get(facts.get("action", ""), "")
        kind = "forecast_limit" if self.notice.kind == NoticeKind.FORECAST and "limit" in facts else self.notice.kind
        return self.say["title"][kind].format(**words)

    def _what(self) -> str:
        what = self.facts.get("what", {}).get(self.say["code"])
        if self.notice.kind == NoticeKind.CONSENT:
            return self.say["consent"].format(by=_name_of(self.facts.get("by", "")), amount=self._amount())
        if self.notice.kind == NoticeKind.TRADE:
            return self._exchange()
        if self.notice.kind == NoticeKind.FORECAST:
            left, a_day = (self._much(name) for name in ("remaining_{}", "{}_per_day"))
            return self.say["pace"]["again" if self.facts["is_again"] else "first"].format(left=left, a_day=a_day)
        if self.notice.kind == NoticeKind.ANOMALY:
            return self._unusual()
        if self.notice.kind == NoticeKind.DEVICE:
            return self._device()
        if self.facts.get("answer"):
            return self.say["answer"].format(answer=self.facts["answer"])
        return what or ""

    def _own(self) -> dict[str, str]:
        """What the sentences of personal notices speak of."""
        facts = self.facts
        money = {name: self._money(facts.get(f"{name}_micros", 0)) for name in ("left", "amount")}
        return {
            **money, "allowance": facts.get("allowance", ""), "service": self._service(), "percent": _percent(facts),
            "until": self._moment("until"),
        }  # fmt: skip

    def _unusual(self) -> str:
        facts = self.facts
        amounts = {name: self._quantity(facts[f"{name}_units"]) for name in ("usual", "bound")}
        day = figures.civil_day(date.fromisoformat(facts["day"]))
        units = self._quantity(facts["day_units"])
        return self.say["unusual"][facts["day_kind"]].format(units=units, day=day, days=facts["days"], **amounts)

    def _device(self) -> str:
        facts = self.facts
        new, before = (f"{facts[f'model{x}']} IMEI {facts[f'imei{x}']}".strip() for x in ("", "_before"))
        key = "assigned" if facts["is_assigned_before"] else "seen"
        return self.say["device"][key].format(new=new, before=before, since=self._moment("since"))

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
        said = self.say["used_of"].format(used=used, total=total, percent=self.facts["percent"])
        if "pool_service" not in self.facts:
            return said
        service = self.say["service"][int(SERVICES_BY_NAME[self.facts["pool_service"]])]
        owner = self.facts["pool_owner"] or self.facts["owner_name"]
        return self.say["used_of_pool"].format(said=said, service=service, owner=owner)

    def _outlook(self) -> str:
        parts = []
        if outlook := self.facts.get("outlook"):
            parts.append(self.say["outlook"][outlook].format(when=self._hour("runs_out_at")))
        if after := self.facts.get("after_outlook"):
            sentence = self.say["outlook"][after].format(when=self._hour("after_runs_out_at"))
            parts.append(self.say["with_it"].format(outlook=sentence))
        return " ".join(parts)

    def _next(self) -> str:
        say, facts, parts = self.say["next"], self.facts, []
        if self.notice.kind == NoticeKind.TRADE:
            return self._next_of_trade()
        if self.notice.kind == NoticeKind.CONTEST:
            return self.say["contest_next"]
        if self.notice.kind == NoticeKind.PERSONAL:
            return self.say["personal_next"][facts["said"]].format(**self._own())
        if self.notice.kind in (NoticeKind.ANOMALY, NoticeKind.DEVICE):
            parts.append(self.say["nothing_stopped"])
        if facts.get("action") and self.notice.kind in (NoticeKind.LIMIT, NoticeKind.FORECAST):
            used, total = _used_of(facts)
            key = "limit_reached" if used >= total else "limit_ahead"
            parts.append(say[key].format(action=self.say["action"][facts["action"]]))
        elif limit := facts.get("next_limit"):
            amount, action = self._quantity(limit["amount"]), self.say["action"][limit["action"]]
            parts.append(say["next_limit"].format(amount=amount, action=action))
        elif self.notice.kind == NoticeKind.RESTRICTION:
            parts.append(say["restricted"].format(until=self._moment("until") or say["by_hand"]))
        elif "total_units" in facts and "pool_service" not in facts:
            parts.append(say["overage"])
        if "cycle_ends_at" in facts and self.notice.kind != NoticeKind.RESTRICTION:
            key = "period" if self.notice.kind == NoticeKind.FORECAST and "limit" in facts else "cycle"
            parts.append(say[key].format(when=self._moment("cycle_ends_at")))
        return " ".join(parts)

    def _price(self) -> str:
        if "price_micros" not in self.facts or self.service is None:
            return ""
        price = figures.exact_money(self.facts["price_micros"], self.facts["currency"])
        if self.notice.kind == NoticeKind.TRADE:
            if not self.facts["price_micros"]:
                return ""
            most = figures.exact_money(self.facts["band_micros"], self.facts["currency"])
            block = self._quantity(self.facts["price_block_units"])
            return self.say["price_inside"].format(price=price, block=block, most=most)
        return self.say["price"].format(price=price, block=self._quantity(self.facts["price_block_units"]))

    def _why(self, why: str) -> str:
        role, _, place = why.partition(":")
        return self.say["why"].get(role, "").format(place=place)

    # --- offers and trades ---------------------------------------------------------------------------------------

    def _goods(self) -> str:
        """The units that it is about: what is given, or what is asked for; of a loan or a run, what is told."""
        if "units" in self.facts:
            service = self._service()
            return self.say["goods"].format(units=self._quantity(self.facts["units"]), service=service)
        side = "wants" if self.facts["is_request"] else "gives"
        return self._units_of(side)

    def _units_of(self, side: str) -> str:
        service = SERVICES_BY_NAME[self.facts[f"{side}_service"]]
        units = figures.quantity(self.facts[f"{side}_units"], service)
        return self.say["goods"].format(units=units, service=self.say["service"][int(service)])

    def _exchange(self) -> str:
        facts = self.facts
        if "loan" in facts:
            return self._loan()
        if "standing" in facts:
            units = {name: self._quantity(facts[f"{name}_units"]) for name in ("given", "meant")}
            return self.say["run"][facts["cause"]].format(reason=facts["reason"], **units)
        goods = self._goods()
        if facts["amount_micros"]:
            return self.say["for"]["money"].format(goods=goods, money=self._money(facts["amount_micros"]))
        if not facts["is_request"] and facts["wants_units"]:
            return self.say["for"]["units"].format(goods=goods, wanted=self._units_of("wants"))
        return self.say["for"]["nothing"].format(goods=goods)

    def _loan_stage(self) -> str:
        """How a loan stands after what is told: about to go back, owed, still lent, or settled."""
        said = self.facts["said"]
        stage = next((stage for stage in ("due_soon", "owed") if f"_{stage}_" in said), "")
        return stage or ("open" if self.facts["owed_units"] else "settled")

    def _loan(self) -> str:
        names = ("lent", "owed", "settled", "unused")
        units = {name: self._quantity(self.facts.get(f"{name}_units", 0)) for name in names}
        return self.say["loan"][self._loan_stage()].format(**units)

    def _next_of_trade(self) -> str:
        said, say = self.facts["said"], self.say["trade_next"]
        if "loan" in self.facts:
            return say[f"loan_{self._loan_stage()}"].format(until=self._moment("until"))
        if "standing" in self.facts:
            return say["run"]
        key = said if said in ("waits", "approval") else "asking" if said in trades.ASKING else "ended"
        if said in ("accepted", "approved", "given", "received"):
            key = "settled"
        return say[key].format(until=self._moment("until"), approver=self.facts.get("approver_name", ""))

    # --- figures -------------------------------------------------------------------------------------------------

    def _quantity(self, units: int) -> str:
        return figures.quantity(units, self.service if self.service is not None else Service.DATA)

    def _much(self, name: str) -> str:
        """A figure of which there are units or micros, by its name with a gap for the unit."""
        units = self.facts.get(name.format("units"))
        return self._quantity(units) if units is not None else self._money(self.facts[name.format("micros")])

    def _money(self, micros: int) -> str:
        return figures.money(micros, self.facts.get("currency", "EUR"))

    def _moment(self, name: str) -> str:
        text = self.facts.get(name)
        return figures.moment(datetime.fromisoformat(text), self.zone) if text else ""

    def _hour(self, name: str) -> str:
        """When something is foreseen: weekday, day and hour; an estimate is not known to the second."""
        text = self.facts.get(name)
        return figures.hour(datetime.fromisoformat(text), self.zone) if text else ""


def _percent(facts: dict[str, Any]) -> str:
    mark = facts.get("mark_percent")
    return f"{mark if mark is not None else facts.get('percent', 0)}{figures.NARROW_SPACE}%"


def _name_of(actor: str) -> str:
    """`user:12 Alice Arden` as people say it."""
    return actor.partition(" ")[2] or actor
