"""Policies and their versions: what was published never changes but for its end, and charging hears of it."""

import django.db.models.deletion
from django.db import migrations, models

TRIGGERS = """
CREATE FUNCTION policies_refuse_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free text[] := ARRAY['state', 'ends_at', 'retired_at', 'retired_by'];
BEGIN
    IF OLD.state = 'draft' THEN
        RETURN COALESCE(NEW, OLD);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state <> 'draft' AND to_jsonb(NEW) - free = to_jsonb(OLD) - free THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a published policy version never changes: publish a new one' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER policyversion_published BEFORE UPDATE OR DELETE ON policies_policyversion
    FOR EACH ROW EXECUTE FUNCTION policies_refuse_published_change();
""" + "\n".join(
    f"CREATE TRIGGER policyversion_configuration_{event.lower()} AFTER {event} ON policies_policyversion "
    f"REFERENCING {transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION balances_configuration_changed();"
    for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
)


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0004_limits"),
        ("policies", "0001_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="Policy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="policies", to="balances.account"
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="policies", to="balances.enterprise"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "policies",
                "constraints": [
                    models.UniqueConstraint(fields=("account", "name"), name="policy_name_once_per_account")
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
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
                ("note", models.CharField(blank=True, max_length=200)),
                ("conflicts", models.JSONField(default=list)),
                ("effective_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("made_at", models.DateTimeField()),
                ("made_by", models.CharField(max_length=160)),
                ("published_at", models.DateTimeField(null=True)),
                ("published_by", models.CharField(blank=True, max_length=160)),
                ("reason", models.CharField(blank=True, help_text="Why it was published.", max_length=200)),
                ("retired_at", models.DateTimeField(help_text="When its end was decided.", null=True)),
                ("retired_by", models.CharField(blank=True, max_length=160)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="policies.policy"
                    ),
                ),
                (
                    "restores",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.policyversion",
                    ),
                ),
            ],
            options={
                "ordering": ["policy_id", "-number"],
                "constraints": [
                    models.UniqueConstraint(fields=("policy", "number"), name="policy_version_number_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "published")),
                        fields=("policy",),
                        name="policy_one_published_version",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "draft")), fields=("policy",), name="policy_one_draft"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state", "draft"),
                            models.Q(("effective_at__isnull", False), ("published_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="policy_version_published_from_some_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("ends_at__isnull", True), ("ends_at__gte", models.F("effective_at")), _connector="OR"
                        ),
                        name="policy_version_ends_after_it_begins",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "retired"), _negated=True), ("ends_at__isnull", False), _connector="OR"
                        ),
                        name="policy_version_retired_at_some_time",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
    ]
