"""Tables of limits and policies; one module a noun. What PostgreSQL can hold of the invariants is a constraint here."""

from .limits import (
    Consent,
    ConsentKind,
    Exemption,
    Limit,
    LimitCrossing,
    LimitUse,
    Measure,
    Restriction,
    RestrictionAction,
    RestrictionState,
    Window,
)
from .policies import Policy, PolicyState, PolicyVersion
from .steering import (
    AccountHome,
    BudgetMeasure,
    BudgetOwner,
    NumberList,
    NumberListEntry,
    Steering,
    SteeringUse,
    SteeringVersion,
    Trip,
)
from .templates import PolicyTemplate

__all__ = [
    "AccountHome",
    "BudgetMeasure",
    "BudgetOwner",
    "Consent",
    "ConsentKind",
    "Exemption",
    "Limit",
    "LimitCrossing",
    "LimitUse",
    "Measure",
    "NumberList",
    "NumberListEntry",
    "Policy",
    "PolicyState",
    "PolicyTemplate",
    "PolicyVersion",
    "Restriction",
    "RestrictionAction",
    "RestrictionState",
    "Steering",
    "SteeringUse",
    "SteeringVersion",
    "Trip",
    "Window",
]
