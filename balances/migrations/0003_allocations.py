"""Acts of allocation: append-only, like the entries that they post."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

APPEND_ONLY = """
CREATE TRIGGER allocation_append_only BEFORE UPDATE OR DELETE ON balances_allocation
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
"""


def _restrict_application_role(apps, schema_editor):
    role = settings.DATABASE_APPLICATION_ROLE
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role])
        owner, exists = cursor.fetchone()
        if exists and owner != role:
            cursor.execute(f"REVOKE UPDATE, DELETE ON balances_allocation FROM {schema_editor.quote_name(role)}")


class Migration(migrations.Migration):
    dependencies = [("balances", "0002_charging_tables")]

    operations = [
        migrations.CreateModel(
            name="Allocation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's idempotency key, in a space of its own.",
                        max_length=160,
                        null=True,
                        unique=True,
                    ),
                ),
                ("asked", models.JSONField()),
                ("moves", models.JSONField()),
                ("actor", models.CharField(max_length=160)),
                ("at", models.DateTimeField()),
                (
                    "bucket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="allocations", to="balances.bucket"
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "undoes",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="undone_by",
                        to="balances.allocation",
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["bucket", "-id"], name="allocation_latest")]},
        ),
        migrations.RunSQL(APPEND_ONLY, migrations.RunSQL.noop),
        migrations.RunPython(_restrict_application_role, migrations.RunPython.noop),
    ]
