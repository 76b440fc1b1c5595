"""The cast is what its docstring says; everything else in the tests leans on that."""

from balances import hierarchy
from balances.models import Bucket, Entry, Threshold
from balances.models.buckets import BucketKind
from balances.units import Service
from tests.cast import DATA_UNITS, FEBRUARY, MARCH, Cast


def test_cast_stands_in_sound_trees_with_two_open_cycles(cast: Cast) -> None:
    assert hierarchy.check_tree() == []
    assert {account.level for account in cast.aurora.accounts.values()} == {0, 1, 2, 3}
    for house in (cast.aurora, cast.borealis):
        buckets = Bucket.objects.filter(enterprise=house.enterprise, kind=BucketKind.GRANT)
        assert buckets.count() == 8
        data = buckets.filter(service=Service.DATA).order_by("cycle_start")
        assert [(b.cycle_start, b.remaining_units) for b in data] == [
            (FEBRUARY, DATA_UNITS),
            (MARCH, DATA_UNITS),
        ]
        assert Entry.objects.filter(enterprise=house.enterprise).count() == 8
        assert Threshold.objects.filter(account=house.root).count() == 12
    assert cast.alice.check_password("quiet-otter-42")
