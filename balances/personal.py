"""Personal accounts: the only writer, besides charging, of PersonalAccount, PersonalEntry and the end of open usage.

Owns: the life of a person's own payer (opened, accepted, closed), its money, and what becomes of usage that was granted
on credit; `personal_settling` charges that. Never decides who pays a charge. Nobody pays anything before having
accepted tariff and prices; nothing here ever falls to the company.

Each function opens its own transaction under the enterprise's lock and raises the charge sequence with each balance it
changes. Managers read the audit of their enterprise: acts on personal accounts carry ids, never people or amounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import connection
from django.db.models import Q, Sum

from balances import audit, fields, ledger, locks, personal_news, personal_settling
from balances.errors import Refused
from balances.ledger import KeyConflict
from balances.models import (
    Contract,
    Enterprise,
    OpenPersonalUsage,
    OpenState,
    Person,
    PersonalAccount,
    PersonalAccountKind,
    PersonalEntry,
    PersonalEntryKind,
    PersonalNewsKind,
    PersonalTariff,
    PersonalTariffVersion,
)
from balances.money import exact_money
from balances.personal_news import News
from balances.personal_settling import Quote, open_usage_of, quote

__all__ = [
    "AlreadyAccepted",
    "AlreadyOpen",
    "Closed",
    "KeyConflict",
    "NotEnough",
    "NotFound",
    "NotValid",
    "Owes",
    "Quote",
    "Standing",
    "accept",
    "checked_kind",
    "close",
    "correct",
    "offered",
    "open_account",
    "open_usage_of",
    "pay_out",
    "quote",
    "refuse_unknown_zone",
    "set_credit_limit",
    "settle",
    "standing",
    "top_up",
    "write_off",
]

#: What one act moves at most: a million of the currency's major unit.
MONEY_MOST_MICROS = 10**12
#: Characters of what a person was shown and accepted.
TEXT_MOST = 20_000


class NotFound(Refused):
    """The person, tariff, account or usage is gone or of somebody else."""


class NotValid(Refused):
    """A value that a personal account cannot have."""


class AlreadyOpen(Refused):
    """The person has an open account."""


class AlreadyAccepted(Refused):
    """The account was accepted before, with another text."""


class Closed(Refused):
    """The account is closed."""


class NotEnough(Refused):
    """The account holds less money than asked for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account has or owes, and what its person has on credit besides (`open_*`, at the company's rates)."""

    owed_micros: int
    left_micros: int
    open_rows: int
    open_value_micros: int


class Owes(Refused):
    """The account owes something that whoever closes it has not said to know; `standing` has the figures."""

    def __init__(self, message: str, standing: Standing):
        super().__init__(message, field="owed_micros")
        self.standing = standing


# --- the account -------------------------------------------------------------------------------------------------


def open_account(
    *,
    person: Person,
    tariff: PersonalTariff,
    kind: str,
    credit_limit_micros: int = 0,
    time_zone: str = "Europe/Berlin",
    actor: str,
    at: datetime,
) -> PersonalAccount:
    """An account for a person, which pays nothing before it is accepted. Its months are civil ones of `time_zone`.

    Raises NotFound, NotValid (a tariff without prices, no longer offered, or in another currency than the enterprise's
    contracts), AlreadyOpen, Unreadable, Busy.
    """
    kind = checked_kind(kind, credit_limit_micros)
    refuse_unknown_zone(time_zone)
    with locks.enterprise(person.enterprise_id):
        known = Person.objects.filter(id=person.id, enterprise_id=person.enterprise_id).first()
        if known is None:
            raise NotFound("This person does not exist.", field="person")
        tariff = offered(tariff, known.enterprise, at)
        theirs = PersonalAccount.objects.filter(person=known)
        if theirs.filter(Q(closed_at__isnull=True) | Q(closed_at__gt=at)).exists():
            raise AlreadyOpen("This person has an open account: close it first.", field="person")
        account = PersonalAccount.objects.create(
            enterprise_id=known.enterprise_id,
            person=known,
            tariff=tariff,
            kind=kind,
            credit_limit_micros=credit_limit_micros,
            time_zone=time_zone,
            opened_at=at,
            opened_by=actor,
        )
        _record(account, "personal_account.opened", {"tariff": tariff.id}, actor, at)
        return account


def accept(*, account: PersonalAccount, text: str, actor: str, at: datetime) -> PersonalAccount:
    """The person accepts tariff and prices as they were shown (`text`): from now on the account pays for their usage.

    What they have on credit already is charged in the same act, as far as the money goes: `quote` says before what that
    comes to, and belongs into what is shown. Repeating is harmless. Raises NotFound, Closed, AlreadyAccepted, NotValid
    (no prices hold yet), Busy.
    """
    text = text.strip()
    if not text or len(text) > TEXT_MOST or "\x00" in text:
        raise NotValid(f"What was shown and accepted has 1 to {TEXT_MOST} characters.", field="text")
    with locks.enterprise(account.enterprise_id):
        account = _open(account)
        if account.accepted_at is not None:
            if account.accepted_text == text:
                return account
            raise AlreadyAccepted("This account was accepted before.", field="account")
        if not PersonalTariffVersion.objects.filter(tariff=account.tariff_id, effective_at__lte=at).exists():
            raise NotValid("The tariff has no prices yet that hold now.", field="account")
        account.accepted_at, account.accepted_by, account.accepted_text = at, actor, text
        account.save(update_fields=["accepted_at", "accepted_by", "accepted_text"])
        who = actor.partition(" ")[0]  # it is the person: the audit has the id, not the name
        _record(account, "personal_account.accepted", {}, who, at)
        _settle(account, who, at)
        return account


def set_credit_limit(
    *, account: PersonalAccount, credit_limit_micros: int, actor: str, at: datetime
) -> PersonalAccount:
    """How far a postpaid account may owe; never less than it owes now. Charges what is open, as far as it goes now.

    Raises NotFound, Closed, NotValid, Unreadable, Busy.
    """
    fields.whole_number(credit_limit_micros, 0, MONEY_MOST_MICROS, field="credit_limit_micros")
    with locks.enterprise(account.enterprise_id):
        account = _open(account)
        if account.kind != PersonalAccountKind.POSTPAID:
            raise NotValid("A prepaid account has no credit.", field="credit_limit_micros")
        if account.credit_limit_micros == credit_limit_micros:
            return account
        if credit_limit_micros < -account.balance_micros:
            owed = exact_money(-account.balance_micros, account.tariff.currency)
            raise NotValid(f"This account owes {owed}: its limit cannot be lower.", field="credit_limit_micros")
        account.credit_limit_micros = credit_limit_micros
        account.armings += 1
        account.save(update_fields=["credit_limit_micros", "armings"])
        _record(account, "personal_account.credit_limit_set", {}, actor, at)
        _settle(account, actor, at)
        return account


def standing(account: PersonalAccount) -> Standing:
    """What an account has or owes as it is now."""
    balance = PersonalAccount.objects.filter(id=account.id).values_list("balance_micros", flat=True).get()
    rows = open_usage_of(account)
    value = rows.order_by().aggregate(value=Sum("value_micros"))["value"] or 0
    return Standing(max(-balance, 0), max(balance, 0), rows.count(), value)


def close(*, account: PersonalAccount, owed_micros: int = 0, actor: str, at: datetime) -> PersonalAccount:
    """End an account: usage from `at` on is none of its. Safe to repeat.

    Nothing owed is forgotten: `owed_micros` says what whoever closes it was shown, and anything else is refused. What
    is owed, and money that is left, may be paid afterwards, too. Raises NotFound, Owes, NotValid, Busy.
    """
    with locks.enterprise(account.enterprise_id):
        account = _current(account)
        if account.closed_at is not None:
            return account
        now = standing(account)
        if now.owed_micros != owed_micros:
            owed = exact_money(now.owed_micros, account.tariff.currency)
            message = f"This account owes {owed}. Say so to close it all the same."
            raise Owes(message, now)
        if at < (account.accepted_at or account.opened_at):
            raise NotValid("An account ends after it began.", field="at")
        account.closed_at, account.closed_by = at, actor
        account.save(update_fields=["closed_at", "closed_by"])
        _record(account, "personal_account.closed", {}, actor, at)
        return account


# --- money -------------------------------------------------------------------------------------------------------


def top_up(
    *, account: PersonalAccount, micros: int, key: str, note: str = "", actor: str, at: datetime
) -> PersonalEntry:
    """Money comes in, and what is open is charged as far as it goes. Into a closed account no more than it owes.

    `key` makes repeating harmless. Raises NotFound, Closed, KeyConflict, Unreadable, Busy.
    """
    fields.whole_number(micros, 1, MONEY_MOST_MICROS, field="micros")
    with locks.enterprise(account.enterprise_id):
        account = _current(account)
        act = _Act(account, PersonalEntryKind.TOP_UP, micros, key, note, actor, at)
        if first := act.first_answer():
            return first
        if account.closed_at is not None and micros > max(-account.balance_micros, 0):
            owed = exact_money(max(-account.balance_micros, 0), account.tariff.currency)
            raise Closed(f"This account is closed and owes {owed}: no more can be paid in.", field="micros")
        return act.post_and_settle("personal_account.topped_up")


def pay_out(
    *, account: PersonalAccount, micros: int, key: str, note: str = "", actor: str, at: datetime
) -> PersonalEntry:
    """Money that is left goes back to the person. `key` makes repeating harmless.

    Raises NotFound, NotEnough, KeyConflict, Unreadable, Busy.
    """
    fields.whole_number(micros, 1, MONEY_MOST_MICROS, field="micros")
    with locks.enterprise(account.enterprise_id):
        account = _current(account)
        act = _Act(account, PersonalEntryKind.PAYOUT, -micros, key, note, actor, at)
        if first := act.first_answer():
            return first
        if micros > account.balance_micros:
            left = exact_money(max(account.balance_micros, 0), account.tariff.currency)
            raise NotEnough(f"This account has {left} left.", field="micros")
        return act.post_and_settle("personal_account.paid_out")


def correct(
    *, account: PersonalAccount, micros: int, key: str, note: str = "", actor: str, at: datetime
) -> PersonalEntry:
    """Money comes back for usage that was charged wrongly; the charge stays as it was. `key` makes repeating harmless.

    Raises NotFound, KeyConflict, Unreadable, Busy.
    """
    fields.whole_number(micros, 1, MONEY_MOST_MICROS, field="micros")
    with locks.enterprise(account.enterprise_id):
        account = _current(account)
        act = _Act(account, PersonalEntryKind.CORRECTION, micros, key, note, actor, at)
        return act.first_answer() or act.post_and_settle("personal_account.corrected")


# --- open usage --------------------------------------------------------------------------------------------------


def settle(*, account: PersonalAccount, actor: str, at: datetime) -> PersonalEntry | None:
    """Charge what the person has on credit, oldest first and whole rows only, as far as money and credit go.

    Returns the entry; None where nothing could be charged. Raises NotFound, Closed, Busy.
    """
    with locks.enterprise(account.enterprise_id):
        return _settle(_open(account), actor, at)


def write_off(*, open_usage: OpenPersonalUsage, actor: str, at: datetime) -> OpenPersonalUsage:
    """Give up what was granted on credit: nobody pays it. Safe to repeat. Raises NotFound, NotValid, Busy."""
    with locks.enterprise(open_usage.enterprise_id), connection.cursor() as cursor:
        mine = OpenPersonalUsage.objects.filter(id=open_usage.id, enterprise_id=open_usage.enterprise_id)
        row = mine.first()
        if row is None:
            raise NotFound("This usage does not exist.", field="open_usage")
        if row.state == OpenState.WRITTEN_OFF:
            return row
        if row.state != OpenState.OPEN:
            raise NotValid(f"This usage is not open: {row.get_state_display().lower()}.", field="open_usage")
        ledger.advance(cursor, row.enterprise_id)
        row.state, row.resolved_at = OpenState.WRITTEN_OFF, at
        row.save(update_fields=["state", "resolved_at"])
        audit.record(
            enterprise_id=row.enterprise_id,
            actor=actor,
            action="personal_usage.written_off",
            subject=f"Open personal usage {row.id}",
            at=at,
        )
        return row


# --- under the lock ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Act:
    """Money that moves by a key of the caller's."""

    account: PersonalAccount
    kind: PersonalEntryKind
    micros: int
    key: str
    note: str
    actor: str
    at: datetime

    @property
    def own_key(self) -> str:
        """The key in a space of its own: it cannot meet another enterprise's. Raises Unreadable."""
        key = fields.text(self.key, field="key", label="The idempotency key", most=ledger.KEY_LENGTH)
        return f"personal:{self.account.enterprise_id}:{key}"

    def first_answer(self) -> PersonalEntry | None:
        """What the key led to before. Raises KeyConflict where that was something else."""
        entry = PersonalEntry.objects.filter(key=self.own_key).first()
        if entry is None:
            return None
        if (entry.account_id, entry.kind, entry.micros) != (self.account.id, self.kind, self.micros):
            raise KeyConflict("This idempotency key was used before for something else.", field="key")
        return entry

    def post_and_settle(self, action: str) -> PersonalEntry:
        """Post it; money that came in pays what is open."""
        note = fields.text(self.note, field="note", label="The note", most=200, required=False)
        entry = _post(self.account, self.kind, self.micros, self.actor, self.at, key=self.own_key, note=note)
        _record(self.account, action, {"entry": entry.id}, self.actor, self.at)
        if self.kind == PersonalEntryKind.PAYOUT:
            left = self.account.balance_micros
            paid_out = News(self.account.id, PersonalNewsKind.PAID_OUT, None, entry.id, 0, -self.micros, left)
            _tell(self.account, [paid_out], self.at)
        if self.micros > 0 and self.account.closed_at is None:
            _settle(self.account, self.actor, self.at)
        return entry


def _settle(account: PersonalAccount, actor: str, at: datetime) -> PersonalEntry | None:
    charged = personal_settling.chargeable(account)
    if not charged:
        return None
    micros = sum(one.micros for one in charged)
    entry = _post(account, PersonalEntryKind.SETTLEMENT, -micros, actor, at)
    news = personal_settling.write(charged, entry_id=entry.id, at=at)
    told = personal_news.of_money(
        account_id=account.id, balance=account.balance_micros, spent=micros, credit=account.credit_limit_micros,
        armed=account.armed_micros, arming=account.armings,
    )  # fmt: skip
    _tell(account, [*news, told] if told else news, at)
    _record(account, "personal_account.settled", {"entry": entry.id}, actor, at)
    return entry


def _post(
    account: PersonalAccount, kind: PersonalEntryKind, micros: int, actor: str, at: datetime, *,
    key: str | None = None, note: str = "",
) -> PersonalEntry:  # fmt: skip
    """Change the balance by an entry, in step with the charge sequence. Money that comes in arms the marks anew."""
    with connection.cursor() as cursor:
        sequence = ledger.advance(cursor, account.enterprise_id)
    account.balance_micros += micros
    if micros > 0:
        account.armings, account.armed_micros = account.armings + 1, max(account.balance_micros, 0)
    account.save(update_fields=["balance_micros", "armings", "armed_micros"])
    return PersonalEntry.objects.create(
        account=account,
        kind=kind,
        micros=micros,
        balance_after_micros=account.balance_micros,
        charge_sequence=sequence,
        at=at,
        recorded_at=at,
        actor=actor,
        key=key,
        note=note,
    )


def _tell(account: PersonalAccount, news: list[News], at: datetime) -> None:
    with connection.cursor() as cursor:
        personal_news.write(cursor, enterprise_id=account.enterprise_id, news=news, at=at)


def _current(account: PersonalAccount) -> PersonalAccount:
    """The account as it is now. Raises NotFound."""
    mine = PersonalAccount.objects.filter(id=account.id, enterprise_id=account.enterprise_id)
    current = mine.select_related("tariff").first()
    if current is None:
        raise NotFound("This account does not exist.", field="account")
    return current


def _open(account: PersonalAccount) -> PersonalAccount:
    """The same, open. Raises NotFound, Closed."""
    current = _current(account)
    if current.closed_at is not None:
        raise Closed("This account is closed.", field="account")
    return current


def offered(tariff: PersonalTariff, enterprise: Enterprise, at: datetime) -> PersonalTariff:
    """The tariff as it is now, if people of the enterprise can have it. Raises NotFound, NotValid."""
    found = PersonalTariff.objects.filter(id=tariff.id, operator=enterprise.operator_id).first()
    if found is None:
        raise NotFound("This tariff does not exist.", field="tariff")
    if found.retired_at is not None:
        raise NotValid(f"“{found}” is offered no more.", field="tariff")
    if not PersonalTariffVersion.objects.filter(tariff=found).exists():
        raise NotValid(f"“{found}” has no prices yet.", field="tariff")
    contracts = Contract.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), enterprise=enterprise)
    if other := contracts.exclude(currency=found.currency).first():
        raise NotValid(
            f"“{found}” is in {found.currency}, the enterprise's contract in {other.currency}.", field="tariff"
        )
    return found


def checked_kind(kind: str, credit_limit_micros: int) -> str:
    """The kind of an account, if it can have that limit. Raises NotValid, Unreadable."""
    kind = fields.choice(kind, PersonalAccountKind, field="kind", default="")
    fields.whole_number(credit_limit_micros, 0, MONEY_MOST_MICROS, field="credit_limit_micros")
    if kind == PersonalAccountKind.PREPAID and credit_limit_micros:
        raise NotValid("A prepaid account has no credit.", field="credit_limit_micros")
    return kind


def refuse_unknown_zone(time_zone: str) -> None:
    """Raises NotValid where it is no name of a time zone."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotValid(f"“{time_zone}” is no time zone; write it like Europe/Berlin.", field="time_zone") from None


def _record(account: PersonalAccount, action: str, detail: dict[str, int], actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=account.enterprise_id, actor=actor, action=action, subject=str(account), detail=detail, at=at
    )
