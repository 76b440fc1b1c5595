"""Tags of lines, and units that a limit refused, on every charge line."""

import django.db.models.deletion
from django.db import migrations, models

TRIGGERS = "\n".join(
    f"CREATE TRIGGER linetag_configuration_{event.lower()} AFTER {event} ON balances_linetag "
    f"REFERENCING {transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
    for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
)


class Migration(migrations.Migration):
    dependencies = [("balances", "0003_allocations")]

    operations = [
        migrations.CreateModel(
            name="LineTag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tag", models.CharField(max_length=40)),
                ("added_sequence", models.BigIntegerField()),
                ("added_at", models.DateTimeField()),
                ("removed_sequence", models.BigIntegerField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="balances.line"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["enterprise", "tag"], name="line_tag_lines")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at__isnull", True)),
                        fields=("line", "tag"),
                        name="line_tag_borne_once",
                    )
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
        migrations.RunSQL(
            "ALTER TABLE balances_chargeline ADD COLUMN refused_units bigint NOT NULL DEFAULT 0 "
            "CHECK (refused_units >= 0)",
            "ALTER TABLE balances_chargeline DROP COLUMN refused_units",
        ),
    ]
