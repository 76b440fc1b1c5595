"""Limits, use of them, crossings, consents, exemptions, restrictions."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# What charging reads of limits raises the configuration version, whoever writes it; use of them rises with the charges.
TRIGGERS = "\n".join(
    f"CREATE TRIGGER {table}_configuration_{event.lower()} AFTER {event} ON policies_{table} "
    f"REFERENCING {transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
    for table in ("limit", "consent", "exemption")
    for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("balances", "0004_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="Limit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tag", models.CharField(blank=True, help_text="All lines that bear it, together.", max_length=40)),
                ("name", models.CharField(blank=True, max_length=80)),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")], null=True
                    ),
                ),
                ("is_abroad", models.BooleanField(default=False, help_text="Every zone but home.")),
                (
                    "measure",
                    models.CharField(
                        choices=[("units", "Units of a service"), ("money", "Money for overage")], max_length=8
                    ),
                ),
                (
                    "window",
                    models.CharField(
                        choices=[
                            ("day", "Each day"),
                            ("week", "Each week, from Monday"),
                            ("cycle", "Each billing cycle"),
                            ("sliding_24h", "Any 24 hours"),
                            ("lifetime", "Once and for all"),
                        ],
                        max_length=12,
                    ),
                ),
                ("amount", models.BigIntegerField()),
                (
                    "percents",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "marks",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("notify", "Tell people, let it run"),
                            ("overage", "Let it run at the overage rate"),
                            ("throttle", "Slow the line down"),
                            ("block_new", "Block what is new"),
                            ("stop_now", "Stop at once"),
                            ("consent", "Stop until somebody consents"),
                            ("suspend", "Suspend the line"),
                            ("steer_personal", "Leave the rest to the person"),
                        ],
                        default="notify",
                        max_length=16,
                    ),
                ),
                (
                    "grace_units",
                    models.BigIntegerField(default=0, help_text="For an executive's video conference in progress."),
                ),
                (
                    "needs_approval",
                    models.BooleanField(default=False, help_text="Nothing is restricted before somebody approves it."),
                ),
                ("counts_from", models.DateTimeField()),
                (
                    "ends_at",
                    models.DateTimeField(
                        help_text="Usage from then on counts, and is neither told nor stopped.", null=True
                    ),
                ),
                ("made_sequence", models.BigIntegerField()),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                ("retired_at", models.DateTimeField(null=True)),
                ("retired_by", models.CharField(blank=True, max_length=160)),
                (
                    "account",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="limits",
                        to="balances.account",
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="limits", to="balances.enterprise"
                    ),
                ),
                (
                    "first",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="succession",
                        to="policies.limit",
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="limits",
                        to="balances.line",
                    ),
                ),
                (
                    "succeeds",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="successor",
                        to="policies.limit",
                    ),
                ),
                (
                    "zone",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="limits",
                        to="balances.zone",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("retired_at__isnull", True)), fields=["enterprise"], name="limit_standing"
                    ),
                    models.Index(fields=["account"], name="limit_by_account"),
                    models.Index(condition=models.Q(("line__isnull", False)), fields=["line"], name="limit_by_line"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("account__isnull", False), ("line__isnull", True), ("tag", "")),
                            models.Q(("account__isnull", True), ("line__isnull", False), ("tag", "")),
                            models.Q(
                                ("account__isnull", True), ("line__isnull", True), models.Q(("tag", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="limit_one_owner",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("measure", "money"), ("service__isnull", False), _connector="OR"),
                        name="limit_units_are_of_a_service",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0), ("grace_units__gte", 0)), name="limit_never_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("zone__isnull", True), ("is_abroad", False), _connector="OR"),
                        name="limit_one_zone_or_abroad",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Exemption",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("starts_at", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("reason", models.CharField(max_length=200)),
                ("made_by", models.CharField(max_length=160)),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_by", models.CharField(blank=True, max_length=160)),
                (
                    "account",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exemptions",
                        to="balances.account",
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="exemptions", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exemptions",
                        to="balances.line",
                    ),
                ),
                (
                    "limit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="exemptions", to="policies.limit"
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
                        name="exemption_one_owner",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("until__gt", models.F("starts_at"))), name="exemption_valid_interval"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Consent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_start", models.DateTimeField()),
                ("number", models.PositiveSmallIntegerField()),
                ("kind", models.CharField(choices=[("consent", "Consent"), ("extension", "Extension")], max_length=12)),
                ("amount", models.BigIntegerField(null=True)),
                ("consented_by", models.CharField(max_length=160)),
                ("consented_at", models.DateTimeField()),
                ("channel", models.CharField(help_text="portal, api, sms, ...", max_length=20)),
                ("text_shown", models.TextField()),
                ("price_shown", models.TextField(blank=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("revoked_by", models.CharField(blank=True, max_length=160)),
                ("revoked_sequence", models.BigIntegerField(null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="consents", to="balances.enterprise"
                    ),
                ),
                (
                    "limit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="consents", to="policies.limit"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("limit", "period_start", "number"), name="consent_once"),
                    models.CheckConstraint(
                        condition=models.Q(("amount__isnull", True), ("amount__gt", 0), _connector="OR"),
                        name="consent_to_something",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitCrossing",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_start", models.DateTimeField()),
                ("percent", models.PositiveSmallIntegerField(null=True)),
                (
                    "level",
                    models.BigIntegerField(help_text="The mark in units or micros, as it stood when it was reached."),
                ),
                ("amount", models.BigIntegerField(help_text="The limit's amount with consents, as it stood.")),
                ("used", models.BigIntegerField(help_text="Right after what reached it.")),
                ("usage_id", models.BigIntegerField(null=True)),
                ("crossed_at", models.DateTimeField(help_text="Time of use, or of the act.")),
                ("recorded_at", models.DateTimeField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="limit_crossings",
                        to="balances.enterprise",
                    ),
                ),
                (
                    "first",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="all_crossings", to="policies.limit"
                    ),
                ),
                (
                    "limit",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="crossings", to="policies.limit"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="balances.line"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["enterprise", "-recorded_at"], name="limit_crossing_latest")],
                "constraints": [
                    models.UniqueConstraint(fields=("first", "period_start", "level"), name="limit_crossing_once"),
                    models.CheckConstraint(
                        condition=models.Q(("used__gte", models.F("level"))), name="limit_crossing_was_reached"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitUse",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "limit_id", "period_start", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("period_start", models.DateTimeField()),
                ("used", models.BigIntegerField(default=0)),
                ("refused", models.BigIntegerField(default=0)),
                ("approved_at", models.DateTimeField(null=True)),
                ("approved_by", models.CharField(blank=True, max_length=160)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "limit",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="uses",
                        to="policies.limit",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("refused__gte", 0), ("used__gte", 0)), name="limit_use_never_negative"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Restriction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")], null=True
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("throttle", "Slowed down"),
                            ("blocked", "Blocked"),
                            ("redirected", "Redirected to consent"),
                            ("suspended", "Suspended"),
                        ],
                        max_length=12,
                    ),
                ),
                ("period_start", models.DateTimeField()),
                (
                    "consents",
                    models.PositiveSmallIntegerField(default=0, help_text="Consents that stood when it was written."),
                ),
                ("starts_at", models.DateTimeField()),
                ("until", models.DateTimeField(help_text="End of the limit's period; none for a lifetime.", null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Waits for approval"), ("active", "Active"), ("lifted", "Lifted")],
                        max_length=8,
                    ),
                ),
                ("lifted_at", models.DateTimeField(null=True)),
                ("lifted_by", models.CharField(blank=True, max_length=160)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="restrictions",
                        to="balances.enterprise",
                    ),
                ),
                (
                    "limit",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="restrictions",
                        to="policies.limit",
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="restrictions", to="balances.line"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["enterprise", "state"], name="restriction_by_state"),
                    models.Index(condition=models.Q(("state", "active")), fields=["until"], name="restriction_to_lift"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("limit", "period_start", "consents", "line", "service"),
                        name="restriction_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
        migrations.RunSQL("ALTER TABLE policies_limituse SET (fillfactor = 60)", migrations.RunSQL.noop),
    ]
