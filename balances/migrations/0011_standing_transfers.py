"""Standing transfers: so many units each cycle, and the append-only runs of each."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

APPEND_ONLY = """
CREATE TRIGGER standingrun_append_only BEFORE UPDATE OR DELETE ON balances_standingrun
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
"""


def _restrict_application_role(apps, schema_editor):
    role = settings.DATABASE_APPLICATION_ROLE
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role])
        owner, exists = cursor.fetchone()
        if exists and owner != role:
            cursor.execute(f"REVOKE UPDATE, DELETE ON balances_standingrun FROM {schema_editor.quote_name(role)}")


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0010_usage_by_charging_time"),
    ]

    operations = [
        migrations.CreateModel(
            name="StandingRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("cycle_start", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("moved", "Moved"),
                            ("part", "Moved in part"),
                            ("skipped", "Skipped"),
                            ("missed", "Missed"),
                        ],
                        max_length=7,
                    ),
                ),
                ("units", models.BigIntegerField(help_text="Given by its trades, waiting ones too.")),
                ("why", models.CharField(blank=True, help_text="Why not all of it.", max_length=200)),
                ("due_at", models.DateTimeField()),
                ("at", models.DateTimeField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="trade",
            name="run",
            field=models.ForeignKey(
                help_text="That made it.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="trades",
                to="balances.standingrun",
            ),
        ),
        migrations.CreateModel(
            name="StandingTransfer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("units", models.BigIntegerField()),
                (
                    "day",
                    models.SmallIntegerField(
                        default=1, help_text="Civil day of the cycle on which it is due; 1: when it begins."
                    ),
                ),
                (
                    "on_shortage",
                    models.CharField(
                        choices=[("skip", "Moves nothing"), ("part", "Moves what is there")],
                        default="skip",
                        max_length=4,
                    ),
                ),
                ("next_at", models.DateTimeField(help_text="When the next run is due.")),
                ("until", models.DateTimeField(help_text="No run is due at or after it.", null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[("active", "Active"), ("paused", "Paused"), ("ended", "Ended")],
                        default="active",
                        max_length=6,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's idempotency key, in a space of its own.",
                        max_length=160,
                        null=True,
                        unique=True,
                    ),
                ),
                ("asked", models.JSONField(default=dict)),
                ("actor", models.CharField(max_length=160)),
                ("created_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "from_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
                    ),
                ),
                (
                    "to_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="standingrun",
            name="standing",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="balances.standingtransfer"
            ),
        ),
        migrations.AddIndex(
            model_name="standingtransfer",
            index=models.Index(fields=["from_account", "-id"], name="standing_by_giver"),
        ),
        migrations.AddIndex(
            model_name="standingtransfer",
            index=models.Index(fields=["to_account", "-id"], name="standing_by_receiver"),
        ),
        migrations.AddIndex(
            model_name="standingtransfer",
            index=models.Index(condition=models.Q(("state", "active")), fields=["next_at"], name="standing_to_run"),
        ),
        migrations.AddConstraint(
            model_name="standingtransfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("day__gte", 1), ("day__lte", 28), ("units__gt", 0)), name="standing_within_bounds"
            ),
        ),
        migrations.AddConstraint(
            model_name="standingtransfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_account", models.F("to_account")), _negated=True),
                name="standing_not_to_itself",
            ),
        ),
        migrations.AddConstraint(
            model_name="standingrun",
            constraint=models.UniqueConstraint(fields=("standing", "cycle_start"), name="standing_run_once_a_cycle"),
        ),
        migrations.AddConstraint(
            model_name="standingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outcome__in", ["moved", "part"]), ("units__gt", 0)),
                    models.Q(("outcome__in", ["skipped", "missed"]), ("units", 0)),
                    _connector="OR",
                ),
                name="standing_run_says_what_it_did",
            ),
        ),
        migrations.AddField(
            model_name="offeract",
            name="answer",
            field=models.ForeignKey(
                help_text="Of a counter-offer: the new offer.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="balances.offer",
            ),
        ),
        migrations.AddField(
            model_name="offeract",
            name="recorded_at",
            field=models.DateTimeField(
                help_text="When it was noted; what time does counts when it was due.", null=True
            ),
        ),
        migrations.RunSQL(APPEND_ONLY, migrations.RunSQL.noop),
        migrations.RunPython(_restrict_application_role, migrations.RunPython.noop),
    ]
