"""Personal entries pay for two indexes instead of five: charging writes one for each account of a group, and the key
of an act is there for few of them."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("balances", "0018_own_fields")]

    operations = [
        migrations.AddConstraint(
            model_name="personalentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("key__isnull", False)), fields=("key",), name="personal_entry_once_per_key"
            ),
        ),
        migrations.AlterField(
            model_name="personalentry",
            name="key",
            field=models.CharField(
                help_text="Idempotency key of the act, where it has one.", max_length=160, null=True
            ),
        ),
        migrations.AlterField(
            model_name="personalentry",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="balances.personalaccount",
            ),
        ),
    ]
