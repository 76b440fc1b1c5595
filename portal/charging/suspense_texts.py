"""What a person reads about a record that charging could not take: what, where, and how to mend it."""

from __future__ import annotations

from balances.models.accounts import NumberKind
from balances.units import SERVICE_NAMES


def _number(kind: int, number: int) -> str:
    return f"+{number}" if kind == NumberKind.MSISDN else f"IMSI {number}"


def _when(canonical: str) -> str:
    return f"{canonical[:19]} UTC"


def unknown_line(kind: int, number: int) -> str:
    """No line has ever had the number."""
    return f"No line has the number {_number(kind, number)}. Add the line, or correct the number, and recycle."


def unassigned_line(number: int, used_at: str, residences) -> str:
    """The number is known, but not at that time."""
    held = "; ".join(
        f"from {_when(starts) if starts else 'the beginning'} until {_when(ends) if ends != '~' else 'now'}"
        for starts, ends, _, _ in residences[:3]
    )
    return f"{number} belonged to no account at {_when(used_at)}; it did {held}. Mend the assignment, and recycle."


def future(used_at: str, now: str) -> str:
    """Used later than now."""
    return (
        f"Used at {_when(used_at)}, but it is {_when(now)}. Check the sender's clock; recycle when the time has come."
    )


def before_contract(used_at: str, first: str) -> str:
    """Used before any contract."""
    if first == "~":
        return "The enterprise has no contract with a published version yet. Publish one, and recycle."
    return f"Used at {_when(used_at)}, but the contract begins at {_when(first)}. Correct the time, or write it off."


def after_contract(used_at: str) -> str:
    """Used after the contract's end, or between two."""
    return f"No contract is in force at {_when(used_at)}. Extend or publish a contract, and recycle."


def too_old(used_at: str, days: int) -> str:
    """Used too long ago to be charged without a decision."""
    return f"Used at {_when(used_at)}, more than {days} days ago. Write it off, or have the contract's limit extended."


def no_rate(service: int, network: str) -> str:
    """The contract's version has no rate."""
    where = f"network {network}" if network else "the home zone"
    name = SERVICE_NAMES[service].replace("_", " ")
    return f"The contract has no rate for {name} in {where}. Publish a version with one, and recycle."


def conflict(usage_id: int) -> str:
    """The id was used for another content."""
    first = "charged" if usage_id > 0 else "in suspense"  # which one it is, the batch of the first says
    return f"This source_record_id came before with other content ({first}). Give it an id of its own, or write it off."


def internal() -> str:
    """The record made charging fail."""
    return (
        "This record could not be processed; the fault is logged. Its neighbours were charged. Recycle after the mend."
    )
