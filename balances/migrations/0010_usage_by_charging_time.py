"""Finds what was charged lately without a scan: records lie in the order of charging, so a block range index does.

It costs charging next to nothing: an entry for so many pages, not for each row.
"""

from django.db import migrations

FORWARD = (
    "CREATE INDEX usagerecord_by_charging ON balances_usagerecord "
    "USING brin (charged_at) WITH (pages_per_range = 32, autosummarize = on)"
)


class Migration(migrations.Migration):
    dependencies = [("balances", "0009_loans")]

    operations = [migrations.RunSQL(FORWARD, "DROP INDEX usagerecord_by_charging")]
