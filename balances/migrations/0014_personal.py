"""Personal payers, whose line it was, profiles, masking; and who pays on every usage record and charge line."""

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.expressions
from django.conf import settings
from django.db import migrations, models

USAGE = """
ALTER TABLE balances_usagerecord ADD COLUMN payer smallint NOT NULL DEFAULT 1 CHECK (payer IN (1, 2)),
    ADD COLUMN counterpart_id bigint, ADD COLUMN person_id bigint,
    ADD CHECK (payer = 2 OR counterpart_id IS NULL AND person_id IS NULL);
ALTER TABLE balances_chargeline ALTER COLUMN reasons TYPE varchar(400);
ALTER TABLE balances_chargeline ADD COLUMN rule_id bigint, ADD COLUMN part smallint,
    ADD COLUMN personal_account_id bigint, ADD COLUMN personal_rate_id bigint,
    ADD COLUMN personal_bucket_ids bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN personal_bucket_units bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN personal_micros bigint NOT NULL DEFAULT 0 CHECK (personal_micros >= 0),
    ADD CHECK (payer IN (1, 2)),
    -- Nothing personal in the company's columns, nothing of the company in a person's.
    ADD CHECK (payer = 1 OR overage_units = 0 AND amount_micros = 0 AND bucket_ids = '{}'),
    ADD CHECK (payer = 2 OR personal_micros = 0 AND personal_bucket_ids = '{}'
        AND personal_account_id IS NULL AND personal_rate_id IS NULL),
    ADD CHECK (cardinality(personal_bucket_ids) = cardinality(personal_bucket_units));
CREATE INDEX usagerecord_by_person ON balances_usagerecord (person_id, used_at) WHERE person_id IS NOT NULL;
CREATE INDEX chargeline_personal_rate ON balances_chargeline (personal_rate_id) WHERE personal_rate_id IS NOT NULL;
"""
USAGE_BACK = """
DROP INDEX usagerecord_by_person;
DROP INDEX chargeline_personal_rate;
ALTER TABLE balances_usagerecord DROP COLUMN payer, DROP COLUMN counterpart_id, DROP COLUMN person_id;
ALTER TABLE balances_chargeline DROP COLUMN rule_id, DROP COLUMN part, DROP COLUMN personal_account_id,
    DROP COLUMN personal_rate_id, DROP COLUMN personal_bucket_ids, DROP COLUMN personal_bucket_units,
    DROP COLUMN personal_micros;
"""

# Whoever has a line had it from its beginning on, as far as was kept.
ASSIGNMENTS = """
INSERT INTO balances_personassignment (enterprise_id, line_id, person_id, during)
SELECT l.enterprise_id, l.id, l.person_id, tstzrange(min(lower(a.during)), NULL)
FROM balances_line l JOIN balances_lineassignment a ON a.line_id = l.id
WHERE l.person_id IS NOT NULL GROUP BY l.id;
"""

# What charging reads raises the configuration version, whoever writes it; what charging writes itself (balances of
# accounts, buckets, entries) does not.
TRIGGERS = (
    "\n".join(
        f"CREATE TRIGGER {table}_configuration_{event.lower()} AFTER {event} ON balances_{table} REFERENCING "
        f"{transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
        for table in ("personassignment", "lineprofile", "device")
        for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
    )
    + """
CREATE FUNCTION balances_personal_account_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
    WHERE enterprise_id = NEW.enterprise_id;
    RETURN NULL;
END $$;
CREATE TRIGGER personalaccount_configuration_insert AFTER INSERT ON balances_personalaccount
    FOR EACH ROW EXECUTE FUNCTION balances_personal_account_changed();
CREATE TRIGGER personalaccount_configuration_update AFTER UPDATE ON balances_personalaccount FOR EACH ROW
    WHEN ((OLD.tariff_id, OLD.kind, OLD.credit_limit_micros, OLD.time_zone, OLD.accepted_at, OLD.closed_at)
        IS DISTINCT FROM (NEW.tariff_id, NEW.kind, NEW.credit_limit_micros, NEW.time_zone, NEW.accepted_at, NEW.closed_at))
    EXECUTE FUNCTION balances_personal_account_changed();

CREATE FUNCTION balances_declared_field_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
    WHERE enterprise_id IN (SELECT e.id FROM balances_enterprise e JOIN changed USING (operator_id));
    RETURN NULL;
END $$;
CREATE FUNCTION balances_personal_version_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
    WHERE enterprise_id IN (SELECT a.enterprise_id FROM balances_personalaccount a JOIN changed USING (tariff_id));
    RETURN NULL;
END $$;
CREATE FUNCTION balances_personal_terms_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
    WHERE enterprise_id IN (SELECT a.enterprise_id FROM balances_personalaccount a
        JOIN balances_personaltariffversion v USING (tariff_id) JOIN changed ON changed.version_id = v.id);
    RETURN NULL;
END $$;
"""
    + "\n".join(
        f"CREATE TRIGGER {table}_configuration_{event.lower()} AFTER {event} ON balances_{table} REFERENCING "
        f"{transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_{function}();"
        for table, function in (
            ("declaredfield", "declared_field_changed"),
            ("personaltariffversion", "personal_version_changed"),
            ("personalrate", "personal_terms_changed"),
            ("personalallowance", "personal_terms_changed"),
        )
        for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
    )
    + """
CREATE TRIGGER personalentry_append_only BEFORE UPDATE OR DELETE ON balances_personalentry
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();

-- Prices that a charge may already stand on never change: the next version says what holds from another time on.
CREATE FUNCTION balances_refuse_begun_tariff_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM balances_chargeline l JOIN balances_personalrate r ON r.id = l.personal_rate_id
               WHERE r.version_id = COALESCE(OLD.version_id, NEW.version_id))
       OR EXISTS (SELECT FROM balances_personalbucket b JOIN balances_personalallowance a ON a.id = b.allowance_id
                  WHERE a.version_id = COALESCE(OLD.version_id, NEW.version_id)) THEN
        RAISE EXCEPTION 'a personal tariff version that was charged by never changes: make a new version'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER personalrate_begun BEFORE UPDATE OR DELETE ON balances_personalrate
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_begun_tariff_change();
CREATE TRIGGER personalallowance_begun BEFORE UPDATE OR DELETE ON balances_personalallowance
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_begun_tariff_change();
ALTER TABLE balances_personalaccount SET (fillfactor = 50);
ALTER TABLE balances_personalbucket SET (fillfactor = 50);
"""
)


def _restrict_application_role(apps, schema_editor):
    """Take from the application role what the append-only table must not allow, where it is not the owner itself."""
    role = settings.DATABASE_APPLICATION_ROLE
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role])
        owner, exists = cursor.fetchone()
        if exists and owner != role:
            cursor.execute(f"REVOKE UPDATE, DELETE ON balances_personalentry FROM {schema_editor.quote_name(role)}")


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0013_refused_usage"),
    ]

    operations = [
        migrations.CreateModel(
            name="PersonalAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("prepaid", "Prepaid"), ("postpaid", "Postpaid")], max_length=8)),
                (
                    "credit_limit_micros",
                    models.BigIntegerField(default=0, help_text="How far a postpaid account may owe."),
                ),
                ("balance_micros", models.BigIntegerField(default=0)),
                (
                    "time_zone",
                    models.CharField(
                        default="Europe/Berlin", help_text="Its cycles are civil months of it.", max_length=40
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                ("opened_by", models.CharField(max_length=160)),
                ("accepted_at", models.DateTimeField(null=True)),
                ("accepted_by", models.CharField(blank=True, max_length=160)),
                ("accepted_text", models.TextField(blank=True)),
                ("closed_by", models.CharField(blank=True, max_length=160)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="personal_accounts",
                        to="balances.person",
                    ),
                ),
            ],
            options={
                "ordering": ["-opened_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="PersonalEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("top_up", "Money paid in"),
                            ("charge", "Usage"),
                            ("settlement", "Usage that was open"),
                            ("correction", "Correction"),
                            ("payout", "Paid out"),
                        ],
                        max_length=10,
                    ),
                ),
                ("micros", models.BigIntegerField()),
                ("balance_after_micros", models.BigIntegerField()),
                (
                    "charge_sequence",
                    models.BigIntegerField(help_text="The enterprise's charge sequence of the transaction."),
                ),
                ("at", models.DateTimeField(help_text="When it counts.")),
                ("recorded_at", models.DateTimeField()),
                ("actor", models.CharField(max_length=160)),
                (
                    "key",
                    models.CharField(
                        help_text="Idempotency key of the act, where it has one.",
                        max_length=160,
                        null=True,
                        unique=True,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=200)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="balances.personalaccount",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "personal entries",
            },
        ),
        migrations.CreateModel(
            name="PersonalRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("price_micros", models.BigIntegerField(help_text="Of one block.")),
                ("block_units", models.BigIntegerField(default=1)),
                (
                    "zone",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.zone"
                    ),
                ),
            ],
            options={
                "ordering": ["version_id", "service", "zone_id"],
            },
        ),
        migrations.CreateModel(
            name="OpenPersonalUsage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("usage_id", models.BigIntegerField()),
                ("number", models.SmallIntegerField(help_text="Of the charge line.")),
                ("used_at", models.DateTimeField(help_text="Of the usage record: the partition key.")),
                ("starts_at", models.DateTimeField(help_text="Of the stretch.")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("units", models.BigIntegerField()),
                ("value_micros", models.BigIntegerField()),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("personal_missing", "No personal account"),
                            ("personal_closed", "The personal account was closed"),
                            ("personal_empty", "Not enough money"),
                            ("personal_nobody", "Nobody was known to use the line"),
                            ("personal_no_rate", "The personal tariff has no price for it"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("refused", "Refused"),
                            ("open", "Open"),
                            ("charged", "Charged"),
                            ("written_off", "Written off"),
                        ],
                        max_length=12,
                    ),
                ),
                ("recorded_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(null=True)),
                ("amount_micros", models.BigIntegerField(help_text="What it came to when it was charged.", null=True)),
                (
                    "bucket_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "bucket_units",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), default=list, size=None
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.line"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.person"
                    ),
                ),
                (
                    "zone",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.zone"
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="settled",
                        to="balances.personalentry",
                    ),
                ),
                (
                    "rate",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="balances.personalrate",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "open personal usage",
            },
        ),
        migrations.CreateModel(
            name="PersonalTariff",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
                ("currency", models.CharField(default="EUR", max_length=3)),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                ("retired_at", models.DateTimeField(help_text="From then on no account is opened with it.", null=True)),
                (
                    "operator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="personal_tariffs",
                        to="balances.operator",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
            },
        ),
        migrations.AddField(
            model_name="personalaccount",
            name="tariff",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="accounts", to="balances.personaltariff"
            ),
        ),
        migrations.CreateModel(
            name="PersonalTariffVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("effective_at", models.DateTimeField()),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                (
                    "tariff",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="balances.personaltariff",
                    ),
                ),
            ],
            options={
                "ordering": ["tariff_id", "number"],
            },
        ),
        migrations.AddField(
            model_name="personalrate",
            name="version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="rates", to="balances.personaltariffversion"
            ),
        ),
        migrations.CreateModel(
            name="PersonalAllowance",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                (
                    "zone_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), default=list, size=None
                    ),
                ),
                ("units", models.BigIntegerField()),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="allowances",
                        to="balances.personaltariffversion",
                    ),
                ),
            ],
            options={
                "ordering": ["version_id", "id"],
            },
        ),
        migrations.CreateModel(
            name="PersonAssignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("during", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="person_assignments",
                        to="balances.line",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="line_assignments",
                        to="balances.person",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DeclaredField",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="attributes.X or profile.X", max_length=70)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("text", "text"),
                            ("number", "number"),
                            ("flag", "flag"),
                            ("name", "name"),
                            ("digits", "digits"),
                        ],
                        max_length=8,
                    ),
                ),
                ("label", models.CharField(max_length=60)),
                ("hint", models.CharField(blank=True, max_length=160)),
                (
                    "choices",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=60), blank=True, default=list, size=None
                    ),
                ),
                ("declared_at", models.DateTimeField()),
                ("declared_by", models.CharField(max_length=160)),
                (
                    "operator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="declared_fields",
                        to="balances.operator",
                    ),
                ),
            ],
            options={
                "ordering": ["label", "id"],
                "constraints": [models.UniqueConstraint(fields=("operator", "name"), name="declared_field_once")],
            },
        ),
        migrations.CreateModel(
            name="LineProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("attributes", models.JSONField()),
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
                        on_delete=django.db.models.deletion.CASCADE, related_name="profiles", to="balances.line"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["enterprise"], name="line_profile_of_enterprise")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_at__isnull", True)), fields=("line",), name="line_profile_one_now"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MaskingDeclaration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("full", "In full"),
                            ("cut_three", "Without the last three digits"),
                            ("none", "Not at all"),
                        ],
                        max_length=10,
                    ),
                ),
                ("country", models.CharField(help_text="Whose law it is made under.", max_length=2)),
                ("text", models.CharField(help_text="What was declared, and to whom.", max_length=600)),
                ("declared_at", models.DateTimeField()),
                ("declared_by", models.CharField(max_length=160)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="masking_declarations",
                        to="balances.enterprise",
                    ),
                ),
            ],
            options={
                "ordering": ["-declared_at", "-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("enterprise",),
                        name="masking_one_standing",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonalBucket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_start", models.DateTimeField()),
                ("granted_units", models.BigIntegerField()),
                ("used_units", models.BigIntegerField(default=0)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="buckets",
                        to="balances.personalaccount",
                    ),
                ),
                (
                    "allowance",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.personalallowance"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "allowance", "period_start"), name="personal_bucket_once_per_cycle"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("used_units__gte", 0), ("used_units__lte", models.F("granted_units"))),
                        name="personal_bucket_within_grant",
                    ),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="personalentry",
            index=models.Index(fields=["account", "-id"], name="personal_entry_by_account"),
        ),
        migrations.AddIndex(
            model_name="openpersonalusage",
            index=models.Index(
                condition=models.Q(("state", "open")),
                fields=["enterprise", "person"],
                name="open_personal_usage_of_person",
            ),
        ),
        migrations.AddConstraint(
            model_name="openpersonalusage",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "refused")),
                fields=("usage_id", "number"),
                name="open_personal_refused_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="openpersonalusage",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "refused"), _negated=True),
                fields=("usage_id", "number"),
                name="open_personal_usage_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="openpersonalusage",
            constraint=models.CheckConstraint(
                condition=models.Q(("units__gt", 0), ("value_micros__gte", 0)), name="open_personal_usage_of_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="openpersonalusage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "charged"), _negated=True),
                    models.Q(("amount_micros__isnull", False), ("resolved_at__isnull", False)),
                    _connector="OR",
                ),
                name="open_personal_usage_charged_at_a_price",
            ),
        ),
        migrations.AddConstraint(
            model_name="personaltariff",
            constraint=models.UniqueConstraint(fields=("operator", "name"), name="personal_tariff_name_once"),
        ),
        migrations.AddIndex(
            model_name="personalaccount",
            index=models.Index(fields=["enterprise", "person"], name="personal_account_of_person"),
        ),
        migrations.AddConstraint(
            model_name="personalaccount",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at__isnull", True)), fields=("person",), name="personal_account_one_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="personalaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(("credit_limit_micros__gte", 0)), name="personal_credit_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="personalaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "prepaid"), _negated=True), ("credit_limit_micros", 0), _connector="OR"
                ),
                name="personal_prepaid_has_no_credit",
            ),
        ),
        migrations.AddConstraint(
            model_name="personalaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "balance_micros__gte",
                        django.db.models.expressions.CombinedExpression(
                            models.Value(-1), "*", models.F("credit_limit_micros")
                        ),
                    )
                ),
                name="personal_balance_within_credit",
            ),
        ),
        migrations.AddConstraint(
            model_name="personalaccount",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("closed_at__isnull", True), ("closed_at__gte", models.F("opened_at")), _connector="OR"
                ),
                name="personal_account_closed_after_opened",
            ),
        ),
        migrations.AddConstraint(
            model_name="personaltariffversion",
            constraint=models.UniqueConstraint(fields=("tariff", "number"), name="personal_version_number_once"),
        ),
        migrations.AddConstraint(
            model_name="personaltariffversion",
            constraint=models.UniqueConstraint(fields=("tariff", "effective_at"), name="personal_version_one_begin"),
        ),
        migrations.AddConstraint(
            model_name="personalrate",
            constraint=models.UniqueConstraint(
                fields=("version", "service", "zone"), name="personal_rate_once", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="personalrate",
            constraint=models.CheckConstraint(
                condition=models.Q(("block_units__gte", 1), ("price_micros__gte", 0)), name="personal_rate_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="personalallowance",
            constraint=models.UniqueConstraint(fields=("version", "name"), name="personal_allowance_name_once"),
        ),
        migrations.AddConstraint(
            model_name="personalallowance",
            constraint=models.CheckConstraint(
                condition=models.Q(("units__gt", 0)), name="personal_allowance_of_something"
            ),
        ),
        migrations.AddIndex(
            model_name="personassignment",
            index=models.Index(fields=["person"], name="person_assignment_lines"),
        ),
        migrations.AddConstraint(
            model_name="personassignment",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[
                    (models.Func("line_id", "line_id", models.Value("[]"), function="int8range"), "&&"),
                    ("during", "&&"),
                ],
                name="person_assignment_no_overlap",
            ),
        ),
        migrations.RunSQL(USAGE, USAGE_BACK),
        migrations.RunSQL(ASSIGNMENTS, migrations.RunSQL.noop),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
        migrations.RunPython(_restrict_application_role, migrations.RunPython.noop),
    ]
