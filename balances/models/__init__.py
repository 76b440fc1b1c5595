"""Tables of the charging core; one module a noun. What PostgreSQL can hold of the invariants is a constraint here."""

from .accounts import (
    Account,
    AccountPath,
    AccountPlacement,
    ChargingState,
    Device,
    Enterprise,
    Line,
    LineAssignment,
    NumberAssignment,
    Operator,
    Person,
    PersonAssignment,
)
from .allocations import Allocation, Exchange
from .audit import AuditEvent
from .buckets import Bucket, Reservation
from .caps import DrawCap, DrawUse
from .contracts import Allowance, Contract, ContractVersion, ExchangeRate, Rate, Zone
from .counters import Counter, Crossing, Threshold
from .known import KnownDevice, KnownNumber
from .ledger import Entry
from .masking import MaskingDeclaration, MaskingRule
from .personal import (
    OpenPersonalUsage,
    OpenReason,
    OpenState,
    PersonalAccount,
    PersonalAccountKind,
    PersonalAllowance,
    PersonalBucket,
    PersonalEntry,
    PersonalEntryKind,
    PersonalNews,
    PersonalNewsKind,
    PersonalRate,
    PersonalTariff,
    PersonalTariffVersion,
)
from .profiles import DeclaredField, LineProfile
from .tags import LineTag
from .trading import Loan, Offer, OfferAct, StandingRun, StandingTransfer, Trade, TradingTerms
from .usage import ChargeLine, SuspendedUsage, UsageBatch, UsageIdentity, UsagePart, UsageRecord, UsageSource

__all__ = [
    "Account",
    "AccountPath",
    "AccountPlacement",
    "Allocation",
    "Allowance",
    "AuditEvent",
    "Bucket",
    "ChargeLine",
    "ChargingState",
    "Contract",
    "ContractVersion",
    "Counter",
    "Crossing",
    "DeclaredField",
    "Device",
    "DrawCap",
    "DrawUse",
    "Enterprise",
    "Entry",
    "Exchange",
    "ExchangeRate",
    "KnownDevice",
    "KnownNumber",
    "Line",
    "LineAssignment",
    "LineProfile",
    "LineTag",
    "Loan",
    "MaskingDeclaration",
    "MaskingRule",
    "NumberAssignment",
    "Offer",
    "OfferAct",
    "OpenPersonalUsage",
    "OpenReason",
    "OpenState",
    "Operator",
    "Person",
    "PersonAssignment",
    "PersonalAccount",
    "PersonalAccountKind",
    "PersonalAllowance",
    "PersonalBucket",
    "PersonalEntry",
    "PersonalEntryKind",
    "PersonalNews",
    "PersonalNewsKind",
    "PersonalRate",
    "PersonalTariff",
    "PersonalTariffVersion",
    "Rate",
    "Reservation",
    "StandingRun",
    "StandingTransfer",
    "SuspendedUsage",
    "Threshold",
    "Trade",
    "TradingTerms",
    "UsageBatch",
    "UsageIdentity",
    "UsagePart",
    "UsageRecord",
    "UsageSource",
    "Zone",
]
