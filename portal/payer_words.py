"""A personal account in words: what it has, and what a person accepts with it. Pure formats, for screens and REST."""

from __future__ import annotations

from balances.selectors.payer import Payer, Terms
from portal import figures


def state(payer: Payer) -> dict[str, str]:
    """The money of an account: a figure, what it is, and a sentence on what happens next."""
    account, currency = payer.account, payer.currency
    if account.closed_at is not None:
        figure = figures.money(payer.owed_micros or payer.left_micros, currency)
        kind = "owed" if payer.owed_micros else "left"
        note = f"It was closed on {figures.long_day(account.closed_at, payer.zone)}: it pays for nothing any more."
    elif payer.is_prepaid:
        figure, kind = figures.money(payer.left_micros, currency), "left"
        note = "Prepaid: what is used is taken from it at once."
        if payer.is_accepted and not payer.left_micros:
            note = "Nothing is left: pay in, or what goes beyond your allowances is refused or stays open."
    else:
        figure, kind = figures.money(payer.owed_micros, currency), "owed"
        note = (
            f"{figures.money(max(payer.credit_left_micros, 0), currency)} of a credit of "
            f"{figures.money(account.credit_limit_micros, currency)} are left."
        )
        if payer.left_micros:
            figure, kind = figures.money(payer.left_micros, currency), "in your favour"
    return {"figure": figure, "kind": kind, "note": note, "on_credit": _on_credit(payer)}


def offer(payer: Payer, terms: Terms) -> str:
    """All that a person accepts, line by line, as it is kept with the acceptance."""
    account, currency = payer.account, payer.currency
    kind = "prepaid: it pays as far as money was paid in"
    if not payer.is_prepaid:
        limit = figures.money(account.credit_limit_micros, currency)
        kind = f"postpaid: you owe what you use, up to {limit}"
    lines = [
        f"Personal account with the tariff “{account.tariff.name}”, {kind}.",
        f"Prices since {figures.long_day(terms.version.effective_at, payer.zone)}:",
    ]
    for rate, where in terms.rates:
        price = figures.exact_money(rate.price_micros, currency)
        block = figures.increment(rate.block_units, rate.service)
        lines.append(f"- {figures.SERVICE_WORDS[rate.service]}, {where or 'everywhere else'}: {price} for {block}")
    if terms.allowances:
        lines.append("Included in each calendar month:")
    for allowance in terms.allowances:
        places = f" in {', '.join(allowance.places)}" if allowance.places else ""
        size = figures.quantity(allowance.granted_units, allowance.service)
        lines.append(f"- {allowance.name}: {size} of {figures.SERVICE_WORDS[allowance.service].lower()}{places}")
    if on_credit := _on_credit(payer):
        lines.append(f"{on_credit} With your acceptance it is charged, as far as the money goes.")
    lines.append(
        "From your acceptance on, usage that your company's rules leave to you is charged to this account. Nothing is "
        "charged before, but for what stands above."
    )
    return "\n".join(lines)


def _on_credit(payer: Payer) -> str:
    """What nobody paid yet, in a sentence; empty where there is nothing."""
    quote = payer.on_credit
    if not quote.rows:
        return ""
    uses = "1 use is" if quote.rows == 1 else f"{figures.count(quote.rows)} uses are"
    said = f"{uses} open, granted on credit: {figures.money(quote.micros, payer.currency)} by the prices of their time"
    if quote.unpriced_rows:
        said += f" ({figures.count(quote.unpriced_rows)} have no price yet)"
    return f"{said}."
