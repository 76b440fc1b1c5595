"""Where lines are at home: time zone and public holidays of accounts."""

import django.db.models.deletion
from django.db import migrations, models

TRIGGERS = "\n".join(
    f"CREATE TRIGGER accounthome_configuration_{event.lower()} AFTER {event} ON policies_accounthome REFERENCING "
    f"{transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
    for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
)


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0018_own_fields"),
        ("policies", "0008_budgets_by_payer"),
    ]

    operations = [
        migrations.CreateModel(
            name="AccountHome",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("time_zone", models.CharField(blank=True, max_length=40)),
                (
                    "holiday_calendar",
                    models.CharField(blank=True, help_text="DE, DE-BY; empty: of the zone's country.", max_length=8),
                ),
                ("effective_at", models.DateTimeField()),
                ("added_sequence", models.BigIntegerField()),
                ("added_at", models.DateTimeField()),
                ("added_by", models.CharField(max_length=160)),
                ("removed_sequence", models.BigIntegerField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
                ("removed_by", models.CharField(blank=True, max_length=160)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="homes", to="balances.account"
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
            ],
            options={
                "ordering": ["account_id", "-effective_at", "-id"],
                "indexes": [models.Index(fields=["enterprise"], name="account_home_of_enterprise")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at__isnull", True)),
                        fields=("account", "effective_at"),
                        name="account_home_one_at_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("time_zone", ""), _negated=True), ("holiday_calendar", ""), _connector="OR"
                        ),
                        name="account_home_has_a_zone_if_holidays",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
    ]
