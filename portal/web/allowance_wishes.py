"""Wishes for an allocation as people type them: row by row, shared, or in a file; and as a shown plan sends them on.

Owns: the little language of the fields ("20 GiB" is to be had in all, "+5 GiB" is given, "-5 GiB" taken back, "12.5 %"
is of the whole) and the columns of the file. Whether it can be done is not its matter.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.http import HttpRequest

from balances.allocation import ROWS_MOST, Share, ShareBy
from balances.allocation_plan import WHOLE, Act, Plan, Receiver, Wish
from balances.errors import RowProblem
from balances.models import Account, Line
from balances.scope import Scope, Verb
from balances.selectors.allowances import AllowancesPage, lines_below
from portal.web import quantities

COLUMNS = ("receiver", "amount")
FILE_BYTES_MOST = 1024 * 1024
#: How many cycles a share by history looks back at.
HISTORY_CYCLES = 3
_MOVE = re.compile(r"(account|line) ([0-9]{1,18}) (-?[0-9]{1,18}) ([0-9]{1,18})")


@dataclass(slots=True)
class Typed:
    """What was typed, as it was typed and as wishes; rows are counted from 1, of a file by its lines."""

    wishes: list[Wish] = field(default_factory=list)
    share: Share | None = None
    problems: list[RowProblem] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    other: str = ""
    other_amount: str = ""
    share_amount: str = ""
    share_by: str = ShareBy.EQUAL.value
    share_to: str = "chosen"
    is_file: bool = False
    receiver_of_row: dict[int, Receiver] = field(default_factory=dict)

    def wrong(self, row: int, column: str, message: str) -> None:
        """Note what is wrong with a row."""
        self.problems.append(RowProblem(row, column, "unreadable", message))

    def wish(self, wish: Wish) -> None:
        """Note a wish."""
        self.wishes.append(wish)
        self.receiver_of_row[wish.row] = wish.receiver


def read(request: HttpRequest, page: AllowancesPage) -> Typed:
    """The wishes of a form that was sent: `share`, `file`, or amounts by row."""
    posted, service = request.POST, page.shown.bucket.service
    if posted.get("action") == "file":
        return _file(request, page)
    typed = Typed(
        chosen=frozenset(posted.getlist("among")),
        other=posted.get("other", "").strip()[:80],
        other_amount=posted.get("other-amount", "").strip()[:40],
        share_amount=posted.get("share-amount", "").strip()[:40],
        share_by=posted.get("share-by", ShareBy.EQUAL.value),
        share_to=posted.get("share-to", "chosen"),
    )
    is_share = posted.get("action") == "share"
    if is_share:
        typed.share = _share(typed, service)
    for row, receiving in enumerate(page.shown.receivers, start=1):
        receiver = receiving.holding.receiver
        key = f"{receiver[0]}-{receiver[1]}"
        text = typed.texts[key] = posted.get(f"to-{key}", "").strip()[:40]
        was = posted.get(f"was-{key}", "")
        typed.receiver_of_row[row] = receiver
        if is_share:
            if key in typed.chosen and typed.share_to != "lines":
                typed.wish(Wish(row, receiver, Act.GIVE, weight=1))
        elif text and text != was:
            _read_amount(typed, row, receiver, text, service, expects=receiving.holding.allocated_units)
    if is_share and typed.share_to == "lines":
        _all_lines(typed, page, request.tenancy.scope)
    if typed.other and not is_share:
        _read_other(typed, page, request.tenancy.scope)
    if not typed.wishes and not typed.problems:
        typed.wrong(1, "amount", "Choose at least one." if is_share else "Type an amount to see what it comes to.")
    return typed


def _share(typed: Typed, service: int) -> Share:
    by = ShareBy.HISTORY if typed.share_by == ShareBy.HISTORY else ShareBy.EQUAL
    units = None
    if typed.share_amount:
        try:
            units = quantities.read(typed.share_amount, service)
        except quantities.NotAQuantity as refusal:
            typed.wrong(1, "share-amount", refusal.message)
    return Share(units, by, HISTORY_CYCLES)


def _all_lines(typed: Typed, page: AllowancesPage, scope: Scope) -> None:
    """Every active line at or below the account, each with the same weight."""
    typed.receiver_of_row.clear()
    numbers = lines_below(scope, page.account, Verb.MANAGE).order_by("msisdn").values_list("id", flat=True)
    for row, number in enumerate(numbers[: ROWS_MOST + 1], start=1):  # one too many is refused as such
        typed.wish(Wish(row, ("line", number), Act.GIVE, weight=1))


def _read_other(typed: Typed, page: AllowancesPage, scope: Scope) -> None:
    row = len(page.shown.receivers) + 1
    receiver = _below({typed.other}, page.account, scope).get(typed.other)
    if receiver is None:
        typed.wrong(row, "other", f"Nothing below “{page.account.name}” has the code or number “{typed.other}”.")
    elif not typed.other_amount:
        typed.wrong(row, "other-amount", f"How much for “{typed.other}”?")
    else:
        _read_amount(typed, row, receiver, typed.other_amount, page.shown.bucket.service)


def _read_amount(
    typed: Typed, row: int, receiver: Receiver, text: str, service: int, expects: int | None = None
) -> None:
    """An amount as a wish; noted as wrong where it is none."""
    sign = text[0] if text[0] in "+-\u2212" else ""
    act = {"": Act.SET, "+": Act.GIVE}.get(sign, Act.TAKE_BACK)
    amount = text[len(sign) :].strip()
    try:
        if amount.endswith("%"):
            hundredths = quantities.number(amount[:-1]) * WHOLE / 100
            if hundredths != hundredths.to_integral_value() or not 0 <= hundredths <= WHOLE:
                raise quantities.NotAQuantity("A percentage lies between 0 and 100 and has at most two decimals.")
            wish = Wish(row, receiver, act, percent_hundredths=int(hundredths), expects_units=expects)
        else:
            wish = Wish(row, receiver, act, quantities.read(amount, service), expects_units=expects)
    except quantities.NotAQuantity as refusal:
        typed.receiver_of_row[row] = receiver
        typed.wrong(row, "amount", refusal.message)
        return
    typed.wish(wish)


# --- files -------------------------------------------------------------------------------------------------------


def code_of(owner: Account | Line) -> str:
    """How a file names an account or a line."""
    return owner.code if isinstance(owner, Account) else f"+{owner.msisdn}"


def _file(request: HttpRequest, page: AllowancesPage) -> Typed:
    """The wishes of a file: all of them, or every problem with its line."""
    typed = Typed(is_file=True)
    sent = request.FILES.get("file")
    if sent is None:
        typed.wrong(1, "file", "Choose a file.")
        return typed
    if sent.size > FILE_BYTES_MOST:
        typed.wrong(1, "file", "The file may have at most 1 MiB.")
        return typed
    try:
        reader = csv.reader(io.StringIO(sent.read().decode("utf-8-sig"), newline=""), strict=True)
        header = [column.strip().casefold() for column in next(reader, [])]
        if not set(COLUMNS) <= set(header):
            typed.wrong(1, "file", f"The first line must name the columns {' and '.join(COLUMNS)}.")
            return typed
        rows = [(reader.line_num, dict(zip(header, cells, strict=False))) for cells in reader if any(cells)]
    except UnicodeDecodeError:
        typed.wrong(1, "file", "The file is not UTF-8.")
        return typed
    except csv.Error as error:
        typed.wrong(reader.line_num, "file", f"This line is no CSV: {error}.")
        return typed
    if len(rows) > ROWS_MOST:
        typed.wrong(rows[ROWS_MOST][0], "file", f"At most {ROWS_MOST:,} rows fit into one file.")
        return typed
    read_rows(typed, rows, page.account, page.shown.bucket.service, request.tenancy.scope)
    if not rows:
        typed.wrong(2, "file", "There is no row.")
    return typed


def read_rows(
    typed: Typed, rows: Sequence[tuple[int, Mapping[str, str]]], account: Account, service: int, scope: Scope
) -> None:
    """The wishes of rows with their line numbers, for receivers below `account`; the API reads files by it, too."""
    below = _below({row.get("receiver", "").strip() for _, row in rows}, account, scope)
    for line, row in rows:
        name, amount = row.get("receiver", "").strip(), row.get("amount", "").strip()
        receiver = below.get(name)
        if receiver is None:
            typed.wrong(line, "receiver", f"Nothing below “{account.name}” has the code or number “{name}”.")
        elif not amount:
            typed.wrong(line, "amount", f"The amount for “{name}” is missing.")
        else:
            _read_amount(typed, line, receiver, amount, service)


def _below(texts: set[str], account: Account, scope: Scope) -> dict[str, Receiver]:
    """Whom texts name, but not the account itself; whether they hang below it is the plan's matter."""
    return named(texts - {account.code}, account.enterprise_id, scope)


def named(texts: set[str], enterprise_id: int, scope: Scope) -> dict[str, Receiver]:
    """Accounts by code and lines by number, as far as the user runs them."""
    mine = {"enterprise_id": enterprise_id}
    codes = Account.objects.within(scope, Verb.MANAGE).filter(code__in=texts, **mine)
    found: dict[str, Receiver] = {account.code: ("account", account.id) for account in codes}
    by_digits = {"".join(c for c in text if c.isdigit()).removeprefix("00"): text for text in texts - found.keys()}
    by_digits.pop("", None)
    lines = Line.objects.within(scope, Verb.MANAGE).filter(msisdn__in=by_digits, **mine).order_by("status", "-id")
    for line in lines:  # active ones first
        found.setdefault(by_digits[line.msisdn], ("line", line.id))
    return found


# --- what a shown plan sends on ----------------------------------------------------------------------------------


def as_text(plan: Plan) -> str:
    """The moves of a plan as one field: receiver, units, and what was allocated when it was shown."""
    return "\n".join(f"{m.receiver[0]} {m.receiver[1]} {m.units} {m.before.allocated_units}" for m in plan.moves)


def from_text(text: str) -> list[Wish]:
    """The same as wishes. Raises ValueError."""
    wishes = []
    for row, line in enumerate(text.splitlines(), start=1):
        found = _MOVE.fullmatch(line.strip())
        if found is None or row > ROWS_MOST:
            raise ValueError(line)
        kind, number, units, was = found[1], int(found[2]), int(found[3]), int(found[4])
        act = Act.GIVE if units > 0 else Act.TAKE_BACK
        wishes.append(Wish(row, (kind, number), act, abs(units), expects_units=was))
    return wishes
