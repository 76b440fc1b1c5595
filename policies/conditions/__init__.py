"""Conditions on usage events, as data: read, checked, said in words, written as text, compiled. Pure: no Django.

`catalogue` says which fields there are, `tree` what a condition is and what is wrong with one, `text` the form for
those who would rather type, `words` the sentence for everybody, `compiled` the functions that charging
calls, `explained` why they say what they say. `fields` and `times` read an event; `places`, `calendars`, `radio` and
`numbers` know the world. Written for policies and for the question of who pays alike.
"""

from .catalogue import BUILT_IN, FIELDS, Catalogue, DeclarationFault, Declared, Field, Kind, field_named, for_policies
from .compiled import (
    ALWAYS_TRUE,
    compile_condition,
    compile_known,
    fields_read,
    is_of_time,
    reads_message,
    settle,
    settle_time,
)
from .explained import Traced, compile_unknown, trace, unknown_fields
from .fields import Surroundings
from .numbers import Entry, NumberSet
from .text import read_text, write_text
from .times import changes_between, zone_there
from .tree import ALWAYS, AllOf, AnyOf, ConditionFault, Node, Not, Test, from_json, tests_of, to_json
from .words import describe

__all__ = [
    "ALWAYS",
    "ALWAYS_TRUE",
    "BUILT_IN",
    "FIELDS",
    "AllOf",
    "AnyOf",
    "Catalogue",
    "ConditionFault",
    "DeclarationFault",
    "Declared",
    "Entry",
    "Field",
    "Kind",
    "Node",
    "Not",
    "NumberSet",
    "Surroundings",
    "Test",
    "Traced",
    "changes_between",
    "compile_condition",
    "compile_known",
    "compile_unknown",
    "describe",
    "field_named",
    "fields_read",
    "for_policies",
    "from_json",
    "is_of_time",
    "read_text",
    "reads_message",
    "settle",
    "settle_time",
    "tests_of",
    "to_json",
    "trace",
    "unknown_fields",
    "write_text",
    "zone_there",
]
