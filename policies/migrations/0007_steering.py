"""Who pays: rules with versions that never change once published, budgets, trips, lists of numbers."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

TRIGGERS = """
CREATE FUNCTION policies_refuse_published_steering_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free text[] := ARRAY['state', 'ends_at', 'retired_at', 'retired_by', 'retired_sequence'];
BEGIN
    IF OLD.state = 'draft' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state <> 'draft' AND to_jsonb(NEW) - free = to_jsonb(OLD) - free THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a published version of who pays never changes: publish a new one'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER steeringversion_published BEFORE UPDATE OR DELETE ON policies_steeringversion
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_published_steering_change();
ALTER TABLE policies_steeringuse SET (fillfactor = 50);
""" + "\n".join(
    f"CREATE TRIGGER {table}_configuration_{event.lower()} AFTER {event} ON policies_{table} REFERENCING "
    f"{transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
    for table in ("steeringversion", "trip", "numberlist", "numberlistentry")
    for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
)


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0014_personal"),
        ("policies", "0006_templates"),
    ]

    operations = [
        migrations.CreateModel(
            name="NumberList",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.SlugField(max_length=40)),
                ("name", models.CharField(max_length=80)),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="number_lists", to="balances.account"
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
                "ordering": ["code", "id"],
            },
        ),
        migrations.CreateModel(
            name="NumberListEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digits", models.CharField(max_length=20)),
                ("is_prefix", models.BooleanField(default=False)),
                ("label", models.CharField(blank=True, max_length=80)),
                ("valid_from", models.DateTimeField(null=True)),
                ("valid_until", models.DateTimeField(null=True)),
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
                    "list",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="entries", to="policies.numberlist"
                    ),
                ),
            ],
            options={
                "ordering": ["digits", "id"],
            },
        ),
        migrations.CreateModel(
            name="Steering",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="steering", to="balances.account"
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="steerings", to="balances.enterprise"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SteeringUse",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "steering_id",
                        "budget",
                        "measure",
                        "owner_kind",
                        "owner_id",
                        "period_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("budget", models.CharField(max_length=110)),
                (
                    "measure",
                    models.SmallIntegerField(
                        choices=[
                            (1, "Units"),
                            (2, "Money at the contract's rate"),
                            (3, "Units that were shared by percent"),
                        ]
                    ),
                ),
                ("owner_kind", models.SmallIntegerField(choices=[(1, "Account"), (2, "Line"), (3, "Person")])),
                ("owner_id", models.BigIntegerField()),
                ("period_start", models.DateTimeField()),
                ("used", models.BigIntegerField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "steering",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="uses", to="policies.steering"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SteeringVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("published", "Published"), ("retired", "Retired")],
                        default="draft",
                        max_length=10,
                    ),
                ),
                ("rules", models.JSONField(default=list)),
                ("default", models.JSONField(null=True)),
                ("missing", models.JSONField(default=dict, help_text="What happens where a person cannot pay.")),
                ("note", models.CharField(blank=True, max_length=200)),
                ("effective_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                ("published_at", models.DateTimeField(null=True)),
                ("published_by", models.CharField(blank=True, max_length=160)),
                (
                    "published_sequence",
                    models.BigIntegerField(help_text="Charges after this charge sequence know of it.", null=True),
                ),
                ("reason", models.CharField(blank=True, help_text="Why it was published.", max_length=200)),
                ("retired_at", models.DateTimeField(help_text="When its end was decided.", null=True)),
                ("retired_by", models.CharField(blank=True, max_length=160)),
                ("retired_sequence", models.BigIntegerField(help_text="Charges after it know of its end.", null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "restores",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.steeringversion",
                    ),
                ),
                (
                    "steering",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="policies.steering"
                    ),
                ),
            ],
            options={
                "ordering": ["steering_id", "-number"],
            },
        ),
        migrations.CreateModel(
            name="Trip",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "countries",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=2),
                        default=list,
                        help_text="ISO 3166 codes; empty: anywhere.",
                        size=None,
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("note", models.CharField(blank=True, max_length=200)),
                ("added_sequence", models.BigIntegerField()),
                ("added_at", models.DateTimeField()),
                ("added_by", models.CharField(max_length=160)),
                ("removed_sequence", models.BigIntegerField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
                ("removed_by", models.CharField(blank=True, max_length=160)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="trips", to="balances.person"
                    ),
                ),
            ],
            options={
                "ordering": ["-starts_at", "-id"],
            },
        ),
        migrations.AddConstraint(
            model_name="numberlist",
            constraint=models.UniqueConstraint(fields=("enterprise", "code"), name="number_list_code_once"),
        ),
        migrations.AddIndex(
            model_name="numberlistentry",
            index=models.Index(fields=["enterprise", "list"], name="number_list_entry_of_list"),
        ),
        migrations.AddConstraint(
            model_name="numberlistentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at__isnull", True)),
                fields=("list", "digits", "is_prefix"),
                name="number_list_entry_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="numberlistentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("valid_from__isnull", True),
                    ("valid_until__isnull", True),
                    ("valid_until__gt", models.F("valid_from")),
                    _connector="OR",
                ),
                name="number_list_entry_valid_interval",
            ),
        ),
        migrations.AddConstraint(
            model_name="steeringuse",
            constraint=models.CheckConstraint(condition=models.Q(("used__gte", 0)), name="steering_use_not_negative"),
        ),
        migrations.AddConstraint(
            model_name="steeringversion",
            constraint=models.UniqueConstraint(fields=("steering", "number"), name="steering_version_number_once"),
        ),
        migrations.AddConstraint(
            model_name="steeringversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "published")), fields=("steering",), name="steering_one_published_version"
            ),
        ),
        migrations.AddConstraint(
            model_name="steeringversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "draft")), fields=("steering",), name="steering_one_draft"
            ),
        ),
        migrations.AddConstraint(
            model_name="steeringversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state", "draft"),
                    models.Q(("effective_at__isnull", False), ("published_at__isnull", False)),
                    _connector="OR",
                ),
                name="steering_version_published_from_some_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="steeringversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ends_at__isnull", True), ("ends_at__gte", models.F("effective_at")), _connector="OR"
                ),
                name="steering_version_ends_after_it_begins",
            ),
        ),
        migrations.AddConstraint(
            model_name="steeringversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "retired"), _negated=True), ("ends_at__isnull", False), _connector="OR"
                ),
                name="steering_version_retired_at_some_time",
            ),
        ),
        migrations.AddIndex(
            model_name="trip",
            index=models.Index(fields=["enterprise", "person"], name="trip_of_person"),
        ),
        migrations.AddConstraint(
            model_name="trip",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="trip_ends_after_it_begins"
            ),
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
    ]
