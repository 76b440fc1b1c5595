"""Caps on drawing from above, and what was drawn; a cap is configuration that charging reads."""

import django.db.models.deletion
from django.db import migrations, models


def _configuration_triggers() -> str:
    return "\n".join(
        f"CREATE TRIGGER drawcap_configuration_{event.lower()} AFTER {event} ON balances_drawcap "
        f"REFERENCING {transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
        for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
    )


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0004_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="DrawCap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("units", models.BigIntegerField()),
                ("set_by", models.CharField(max_length=160)),
                ("set_at", models.DateTimeField()),
                ("retired_at", models.DateTimeField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="draw_caps",
                        to="balances.account",
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="draw_caps", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="draw_caps",
                        to="balances.line",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("account__isnull", True), ("line__isnull", False)),
                            models.Q(("account__isnull", False), ("line__isnull", True)),
                            _connector="OR",
                        ),
                        name="drawcap_one_owner",
                    ),
                    models.CheckConstraint(condition=models.Q(("units__gte", 0)), name="drawcap_not_negative"),
                    models.UniqueConstraint(
                        condition=models.Q(("retired_at__isnull", True)),
                        fields=("account", "line", "service"),
                        name="drawcap_once",
                        nulls_distinct=False,
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DrawUse",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "enterprise_id",
                        "owner_kind",
                        "owner_id",
                        "service",
                        "cycle_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("owner_kind", models.SmallIntegerField(choices=[(1, "Account"), (2, "Line")])),
                ("owner_id", models.BigIntegerField()),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("cycle_start", models.DateTimeField()),
                ("units", models.BigIntegerField(default=0)),
                (
                    "enterprise",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="balances.enterprise",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("units__gte", 0)), name="drawuse_not_negative")
                ],
            },
        ),
        migrations.RunSQL(_configuration_triggers(), migrations.RunSQL.noop),
    ]
