"""Finding refused usage among millions of charges that were granted."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("balances", "0012_months_at_once")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX chargeline_refused ON balances_chargeline (enterprise_id, used_at, usage_id) "
            "WHERE refused_units > 0",
            "DROP INDEX chargeline_refused",
        )
    ]
