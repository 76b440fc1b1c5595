"""Personal accounts: opened, accepted, paid in and out, settled and closed; who owes what, to the micro."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from balances import personal, personal_tariffs
from balances.errors import Refused
from balances.models import (
    AuditEvent,
    ChargingState,
    OpenPersonalUsage,
    OpenState,
    PersonalAccount,
    PersonalBucket,
    PersonalEntry,
    PersonalTariff,
)
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import Service
from tests.cast import ACTOR, APRIL, FEBRUARY, MARCH, NOW, Cast

BY: dict[str, Any] = {"actor": ACTOR, "at": NOW}
DAY = timedelta(days=1)
EMIL = "user:6 Emil Engel"
SHOWN = "Data 10 micros a unit, 100 units a month included."


def tariff_of(
    cast: Cast, *, allowance: int = 100, price: int = 10, effective_at: datetime = FEBRUARY
) -> PersonalTariff:
    """Data at so much a unit with so many included a month; nothing else has a price."""
    tariff = personal_tariffs.create_tariff(operator=cast.operator, name="Mine", currency="EUR", **BY)
    personal_tariffs.add_version(
        tariff=tariff,
        effective_at=effective_at,
        rates=[RateRow(Service.DATA, price)],
        allowances=[AllowanceRow("Included", Service.DATA, allowance)] if allowance else [],
        **BY,
    )
    return tariff


def opened(cast: Cast, tariff: PersonalTariff | None = None, kind: str = "prepaid", **more: Any) -> PersonalAccount:
    return personal.open_account(
        person=more.pop("person", cast.aurora.people["P-1"]),
        tariff=tariff or tariff_of(cast),
        kind=kind,
        **{**BY, **more},
    )


def accepted(cast: Cast, *args: Any, **more: Any) -> PersonalAccount:
    return personal.accept(account=opened(cast, *args, **more), text=SHOWN, actor=EMIL, at=NOW)


_last = 0


def on_credit(cast: Cast, units: int, used_at: datetime, service: int = Service.DATA, **more: Any) -> OpenPersonalUsage:
    """Usage of Emil's that charging granted on credit."""
    global _last
    _last += 1
    terms = {
        "person": cast.aurora.people["P-1"],
        "zone": cast.zones["home"],
        "starts_at": used_at,
        "value_micros": units,
        "state": OpenState.OPEN,
        **more,
    }
    return OpenPersonalUsage.objects.create(
        enterprise=cast.aurora.enterprise,
        usage_id=_last,
        number=0,
        used_at=used_at,
        line=cast.aurora.lines["emil phone"],
        service=service,
        units=units,
        reason="personal_missing",
        recorded_at=NOW,
        **terms,
    )


def balance(account: PersonalAccount) -> int:
    account.refresh_from_db()
    entries = list(PersonalEntry.objects.filter(account=account).order_by("id"))
    assert sum(entry.micros for entry in entries) == account.balance_micros
    assert not entries or entries[-1].balance_after_micros == account.balance_micros
    return account.balance_micros


def sequence(cast: Cast) -> int:
    return ChargingState.objects.get(enterprise=cast.aurora.enterprise).charge_sequence


class TestOpening:
    def test_makes_an_account_that_pays_nothing_yet(self, cast: Cast) -> None:
        account = opened(cast)
        assert (account.balance_micros, account.accepted_at, account.closed_at) == (0, None, None)

    def test_one_open_account_a_person(self, cast: Cast) -> None:
        account = opened(cast)
        with pytest.raises(personal.AlreadyOpen):
            opened(cast, account.tariff)
        personal.close(account=account, **BY)
        assert opened(cast, account.tariff).id != account.id

    def test_is_in_the_currency_of_the_contract(self, cast: Cast) -> None:
        francs = personal_tariffs.create_tariff(operator=cast.operator, name="Francs", currency="CHF", **BY)
        personal_tariffs.add_version(tariff=francs, effective_at=NOW, rates=[RateRow(Service.DATA, 1)], **BY)
        with pytest.raises(personal.NotValid, match="CHF, the enterprise's contract in EUR"):
            opened(cast, francs)

    def test_needs_a_tariff_that_is_offered_and_has_prices(self, cast: Cast) -> None:
        empty = personal_tariffs.create_tariff(operator=cast.operator, name="Empty", currency="EUR", **BY)
        with pytest.raises(personal.NotValid, match="no prices yet"):
            opened(cast, empty)
        tariff = tariff_of(cast)
        personal_tariffs.retire_tariff(tariff=tariff, **BY)
        with pytest.raises(personal.NotValid, match="offered no more"):
            opened(cast, tariff)

    @pytest.mark.parametrize(
        "wrong",
        [{"kind": "barter"}, {"credit_limit_micros": 1}, {"time_zone": "Mars/Olympus"}, {"credit_limit_micros": -1}],
    )
    def test_refuses_what_an_account_cannot_have(self, cast: Cast, wrong: Any) -> None:
        with pytest.raises(Refused):
            opened(cast, **wrong)

    def test_raises_the_configuration_version(self, cast: Cast) -> None:
        state = ChargingState.objects.filter(enterprise=cast.aurora.enterprise)
        seen = [state.get().configuration_version]
        account = opened(cast)
        seen.append(state.get().configuration_version)
        personal.accept(account=account, text=SHOWN, actor=EMIL, at=NOW)
        seen.append(state.get().configuration_version)
        personal.close(account=account, **BY)
        seen.append(state.get().configuration_version)
        assert seen == sorted(set(seen))


class TestAccepting:
    def test_keeps_what_was_shown_and_by_whom(self, cast: Cast) -> None:
        account = accepted(cast)
        assert (account.accepted_at, account.accepted_by, account.accepted_text) == (NOW, EMIL, SHOWN)

    def test_again_with_the_same_text_changes_nothing_and_with_another_is_refused(self, cast: Cast) -> None:
        account = accepted(cast)
        again = personal.accept(account=account, text=SHOWN, actor=EMIL, at=NOW + DAY)
        assert again.accepted_at == NOW
        with pytest.raises(personal.AlreadyAccepted):
            personal.accept(account=account, text="Other prices", actor=EMIL, at=NOW + DAY)

    @pytest.mark.parametrize("text", ["", "  ", "x" * 20_001, "a\x00b"])
    def test_is_of_something_that_was_shown(self, cast: Cast, text: str) -> None:
        with pytest.raises(personal.NotValid):
            personal.accept(account=opened(cast), text=text, actor=EMIL, at=NOW)

    def test_is_of_prices_that_hold(self, cast: Cast) -> None:
        with pytest.raises(personal.NotValid, match="no prices yet"):
            accepted(cast, tariff_of(cast, effective_at=APRIL))

    def test_charges_what_was_on_credit_as_far_as_the_money_goes(self, cast: Cast) -> None:
        account = opened(cast)
        personal.top_up(account=account, micros=1_000, key="1", **BY)
        row = on_credit(cast, 150, NOW - DAY)
        assert balance(account) == 1_000  # nobody pays before having accepted
        assert personal.quote(account, at=NOW) == personal.Quote(1, 500, 0)
        personal.accept(account=account, text=SHOWN, actor=EMIL, at=NOW)
        row.refresh_from_db()
        assert (row.state, row.amount_micros, row.bucket_units) == (OpenState.CHARGED, 500, [100])
        assert balance(account) == 500


class TestMoney:
    def test_comes_in_once_a_key(self, cast: Cast) -> None:
        account = accepted(cast)
        first = personal.top_up(account=account, micros=700, key="a", note="Card", **BY)
        assert (first.micros, first.balance_after_micros, first.note) == (700, 700, "Card")
        assert personal.top_up(account=account, micros=700, key="a", **BY) == first
        assert balance(account) == 700
        for other in ({"micros": 701, "key": "a"}, {"micros": 700, "key": " "}, {"micros": 0, "key": "b"}):
            with pytest.raises(Refused):
                personal.top_up(account=account, **other, **BY)
        with pytest.raises(personal.KeyConflict):
            personal.pay_out(account=account, micros=700, key="a", **BY)
        assert balance(account) == 700

    def test_keys_of_other_enterprises_are_their_own(self, cast: Cast) -> None:
        account = accepted(cast)
        other = opened(cast, account.tariff, person=cast.borealis.people["P-1"])
        personal.top_up(account=account, micros=1, key="a", **BY)
        personal.top_up(account=other, micros=2, key="a", **BY)
        assert (balance(account), balance(other)) == (1, 2)

    def test_goes_out_as_far_as_there_is_any(self, cast: Cast) -> None:
        account = accepted(cast)
        personal.top_up(account=account, micros=3_200_000, key="a", **BY)
        with pytest.raises(personal.NotEnough, match=r"has €3\.20 left"):
            personal.pay_out(account=account, micros=3_200_001, key="b", **BY)
        entry = personal.pay_out(account=account, micros=3_200_000, key="b", **BY)
        assert personal.pay_out(account=account, micros=3_200_000, key="b", **BY) == entry
        assert balance(account) == 0

    def test_comes_back_by_a_correction(self, cast: Cast) -> None:
        account = accepted(cast)
        first = personal.correct(account=account, micros=40, key="contest:1", note="Contest 1", **BY)
        assert personal.correct(account=account, micros=40, key="contest:1", **BY) == first
        assert (first.kind, balance(account)) == ("correction", 40)

    def test_each_change_raises_the_charge_sequence_that_its_entry_names(self, cast: Cast) -> None:
        account, before = accepted(cast), sequence(cast)
        entry = personal.top_up(account=account, micros=1, key="a", **BY)
        assert entry.charge_sequence == sequence(cast) == before + 1

    def test_entries_never_change(self, cast: Cast) -> None:
        entry = personal.top_up(account=accepted(cast), micros=1, key="a", **BY)
        with pytest.raises(Exception, match=r"append-only|permission denied|never change"), transaction.atomic():
            PersonalEntry.objects.filter(id=entry.id).update(micros=2)


class TestCredit:
    def test_is_for_postpaid_accounts_and_never_less_than_is_owed(self, cast: Cast) -> None:
        prepaid = accepted(cast)
        with pytest.raises(personal.NotValid):
            personal.set_credit_limit(account=prepaid, credit_limit_micros=1, **BY)
        personal.close(account=prepaid, **BY)
        account = accepted(cast, prepaid.tariff, kind="postpaid", credit_limit_micros=1_000)
        on_credit(cast, 150, NOW)
        assert personal.settle(account=account, **BY)
        assert balance(account) == -500
        with pytest.raises(personal.NotValid, match=r"owes €0\.0005"):
            personal.set_credit_limit(account=account, credit_limit_micros=499, **BY)
        assert personal.set_credit_limit(account=account, credit_limit_micros=500, **BY).credit_limit_micros == 500

    def test_that_is_raised_charges_what_is_open(self, cast: Cast) -> None:
        account = accepted(cast, kind="postpaid", credit_limit_micros=400)
        row = on_credit(cast, 150, NOW)
        assert personal.settle(account=account, **BY) is None
        personal.set_credit_limit(account=account, credit_limit_micros=500, **BY)
        row.refresh_from_db()
        assert (row.state, balance(account)) == (OpenState.CHARGED, -500)

    def test_is_held_by_the_database_too(self, cast: Cast) -> None:
        account = accepted(cast, kind="postpaid", credit_limit_micros=400)
        with pytest.raises(IntegrityError, match="personal_balance_within_credit"), transaction.atomic():
            PersonalAccount.objects.filter(id=account.id).update(balance_micros=-401)


class TestSettling:
    def test_charges_oldest_first_whole_rows_until_the_money_ends(self, cast: Cast) -> None:
        account = accepted(cast, tariff_of(cast, allowance=0))
        late = on_credit(cast, 1, NOW - DAY)
        early = on_credit(cast, 30, NOW - 3 * DAY)
        middle = on_credit(cast, 20, NOW - 2 * DAY)
        personal.top_up(account=account, micros=499, key="a", **BY)
        for row in (early, middle, late):
            row.refresh_from_db()
        # The middle one costs 200 of the 199 left: what came after it waits, though it would fit.
        assert [row.state for row in (early, middle, late)] == [OpenState.CHARGED, OpenState.OPEN, OpenState.OPEN]
        assert balance(account) == 199
        entry = PersonalEntry.objects.get(account=account, kind="settlement")
        assert (entry.micros, early.entry, early.amount_micros) == (-300, entry, 300)
        personal.top_up(account=account, micros=11, key="b", **BY)
        assert balance(account) == 0
        assert not personal.open_usage_of(account).exists()

    def test_each_is_priced_by_the_version_of_its_own_time(self, cast: Cast) -> None:
        tariff = tariff_of(cast, allowance=0)
        personal_tariffs.add_version(tariff=tariff, effective_at=NOW, rates=[RateRow(Service.DATA, 70)], **BY)
        account = accepted(cast, tariff)
        rows = [on_credit(cast, 1, when) for when in (NOW - timedelta(microseconds=1), NOW)]
        personal.top_up(account=account, micros=80, key="a", **BY)
        for row in rows:
            row.refresh_from_db()
        assert [row.amount_micros for row in rows] == [10, 70]
        assert [row.rate.price_micros for row in rows if row.rate] == [10, 70]

    def test_each_draws_on_the_allowance_of_its_own_month(self, cast: Cast) -> None:
        account = accepted(cast)
        # Of the account's own civil month: midnight in Berlin begins it.
        rows = [on_credit(cast, 60, when) for when in (MARCH - timedelta(seconds=1), MARCH, NOW)]
        personal.top_up(account=account, micros=200, key="a", **BY)
        buckets = {b.period_start: b for b in PersonalBucket.objects.filter(account=account)}
        assert {start: b.used_units for start, b in buckets.items()} == {FEBRUARY: 60, MARCH: 100}
        for row in rows:
            row.refresh_from_db()
        assert [(row.bucket_ids, row.bucket_units, row.amount_micros) for row in rows] == [
            ([buckets[FEBRUARY].id], [60], 0),
            ([buckets[MARCH].id], [60], 0),
            ([buckets[MARCH].id], [40], 200),
        ]
        assert balance(account) == 0

    def test_goes_on_with_a_bucket_that_was_drawn_on_before(self, cast: Cast) -> None:
        account = accepted(cast)
        for key in "ab":
            on_credit(cast, 60, NOW)
            personal.top_up(account=account, micros=200, key=key, **BY)
        assert PersonalBucket.objects.get(account=account).used_units == 100
        assert balance(account) == 200

    def test_what_the_tariff_has_no_price_for_stays_open_and_in_nobodys_way(self, cast: Cast) -> None:
        account = accepted(cast)
        voice = on_credit(cast, 5, NOW - DAY, Service.VOICE)
        before = on_credit(cast, 500, FEBRUARY - DAY)
        data = on_credit(cast, 5, NOW)
        assert personal.quote(account, at=NOW) == personal.Quote(3, 0, 2)
        assert personal.settle(account=account, **BY)
        for row in (voice, before, data):
            row.refresh_from_db()
        assert [row.state for row in (voice, before, data)] == [OpenState.OPEN, OpenState.OPEN, OpenState.CHARGED]

    def test_leaves_what_was_refused_what_was_written_off_and_what_is_anothers(self, cast: Cast) -> None:
        account = accepted(cast)
        kept = [
            on_credit(cast, 1, NOW, state=OpenState.REFUSED),
            on_credit(cast, 1, NOW, state=OpenState.WRITTEN_OFF),
            on_credit(cast, 1, NOW, person=cast.aurora.people["P-2"]),
            on_credit(cast, 1, NOW, person=None, state=OpenState.REFUSED),
        ]
        states = [row.state for row in kept]
        assert personal.settle(account=account, **BY) is None
        for row in kept:
            row.refresh_from_db()
        assert [row.state for row in kept] == states

    def test_charges_nothing_before_acceptance_and_nothing_after_the_end(self, cast: Cast) -> None:
        account = opened(cast)
        on_credit(cast, 1, NOW)
        assert personal.settle(account=account, **BY) is None
        personal.close(account=account, **BY)
        with pytest.raises(personal.Closed):
            personal.settle(account=account, **BY)


class TestClosing:
    def test_says_what_is_owed_and_wants_to_hear_it(self, cast: Cast) -> None:
        account = accepted(cast, kind="postpaid", credit_limit_micros=3_000_000)
        on_credit(cast, 100 + 125_000, NOW)
        personal.settle(account=account, **BY)
        on_credit(cast, 10**6, NOW, value_micros=77)
        with pytest.raises(personal.Owes, match=r"owes €1\.25") as refusal:
            personal.close(account=account, **BY)
        assert refusal.value.standing == personal.Standing(1_250_000, 0, 1, 77)
        closed = personal.close(account=account, owed_micros=1_250_000, **BY)
        assert closed.closed_at == NOW
        assert personal.close(account=account, actor=ACTOR, at=NOW + DAY).closed_at == NOW

    def test_leaves_debts_and_money_to_be_paid(self, cast: Cast) -> None:
        account = accepted(cast, kind="postpaid", credit_limit_micros=1_000)
        on_credit(cast, 150, NOW)
        personal.settle(account=account, **BY)
        personal.close(account=account, owed_micros=500, **BY)
        with pytest.raises(personal.Closed, match=r"owes €0\.0005"):
            personal.top_up(account=account, micros=501, key="a", **BY)
        personal.top_up(account=account, micros=500, key="a", **BY)
        assert balance(account) == 0
        personal.correct(account=account, micros=500, key="c", **BY)
        personal.pay_out(account=account, micros=500, key="b", **BY)
        assert balance(account) == 0

    def test_ends_credit_and_acceptance(self, cast: Cast) -> None:
        account = opened(cast, kind="postpaid")
        personal.close(account=account, **BY)
        with pytest.raises(personal.Closed):
            personal.accept(account=account, text=SHOWN, actor=EMIL, at=NOW)
        with pytest.raises(personal.Closed):
            personal.set_credit_limit(account=account, credit_limit_micros=1, **BY)


class TestWritingOff:
    def test_ends_what_is_open_and_only_that(self, cast: Cast) -> None:
        row, before = on_credit(cast, 1, NOW), sequence(cast)
        assert personal.write_off(open_usage=row, **BY).state == OpenState.WRITTEN_OFF
        assert personal.write_off(open_usage=row, actor=ACTOR, at=NOW + DAY).resolved_at == NOW
        assert sequence(cast) == before + 1
        with pytest.raises(personal.NotValid, match="not open: refused"):
            personal.write_off(open_usage=on_credit(cast, 1, NOW, state=OpenState.REFUSED), **BY)


def test_things_of_another_enterprise_do_not_exist(cast: Cast) -> None:
    account = accepted(cast)
    account.enterprise = cast.borealis.enterprise
    with pytest.raises(personal.NotFound):
        personal.top_up(account=account, micros=1, key="a", **BY)
    row = on_credit(cast, 1, NOW)
    row.enterprise = cast.borealis.enterprise
    with pytest.raises(personal.NotFound):
        personal.write_off(open_usage=row, **BY)
    person = cast.borealis.people["P-1"]
    person.enterprise = cast.aurora.enterprise
    with pytest.raises(personal.NotFound):
        opened(cast, account.tariff, person=person)


def test_the_audit_names_accounts_and_entries_but_neither_people_nor_amounts(cast: Cast) -> None:
    account = accepted(cast, kind="postpaid", credit_limit_micros=0)
    row = on_credit(cast, 150, NOW)
    personal.top_up(account=account, micros=987_654, key="a", note="Card 4711", **BY)
    personal.set_credit_limit(account=account, credit_limit_micros=876_543, **BY)
    personal.pay_out(account=account, micros=123_456, key="b", **BY)
    personal.write_off(open_usage=on_credit(cast, 1, NOW, Service.VOICE), **BY)
    personal.close(account=account, **BY)
    row.refresh_from_db()
    assert row.state == OpenState.CHARGED
    events = AuditEvent.objects.filter(enterprise=cast.aurora.enterprise, action__startswith="personal_")
    assert set(events.values_list("action", flat=True)) == {
        "personal_account.opened",
        "personal_account.accepted",
        "personal_account.topped_up",
        "personal_account.settled",
        "personal_account.credit_limit_set",
        "personal_account.paid_out",
        "personal_account.closed",
        "personal_usage.written_off",
    }
    for event in events:
        assert set(event.detail) <= {"entry", "tariff"}
        assert event.subject.startswith(("Personal account ", "Open personal usage "))
        assert "Emil" not in f"{event.subject} {event.actor}"


def test_contracts_that_have_ended_bind_no_currency(cast: Cast) -> None:
    """The other side of the rule: what was agreed in another currency and is over is in nobody's way."""
    cast.aurora.contract.currency, cast.aurora.contract.ends_at = "CHF", NOW
    cast.aurora.contract.save()
    assert opened(cast)
