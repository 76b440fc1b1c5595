"""Exchange between services: rates that are frozen with their version, and exchanges, which cannot be changed."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

FROZEN = """
CREATE TRIGGER exchange_append_only BEFORE UPDATE OR DELETE ON balances_exchange
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
CREATE TRIGGER exchangerate_of_published_version BEFORE INSERT OR UPDATE OR DELETE ON balances_exchangerate
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_published_change();
"""


def _restrict_application_role(apps, schema_editor):
    role = settings.DATABASE_APPLICATION_ROLE
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role])
        owner, exists = cursor.fetchone()
        if exists and owner != role:
            cursor.execute(f"REVOKE UPDATE, DELETE ON balances_exchange FROM {schema_editor.quote_name(role)}")


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0005_draw_caps"),
    ]

    operations = [
        migrations.AlterField(
            model_name="bucket",
            name="kind",
            field=models.CharField(
                choices=[
                    ("grant", "Granted by contract"),
                    ("allocation", "Allocated from above"),
                    ("rollover", "Carried over"),
                    ("exchange", "Received in exchange"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.SmallIntegerField(
                choices=[
                    (1, "Granted"),
                    (2, "Used"),
                    (3, "Received"),
                    (4, "Given"),
                    (5, "Reserved"),
                    (6, "Released"),
                    (7, "Used from reservation"),
                    (8, "Expired"),
                    (9, "Carried out"),
                    (10, "Carried in"),
                    (14, "Exchanged"),
                    (15, "Received in exchange"),
                ]
            ),
        ),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "from_service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                (
                    "to_service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("from_units", models.BigIntegerField()),
                ("to_units", models.BigIntegerField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="exchange_rates",
                        to="balances.contractversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Exchange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asked_units", models.BigIntegerField()),
                ("given_units", models.BigIntegerField()),
                ("received_units", models.BigIntegerField()),
                ("transfer", models.UUIDField(unique=True)),
                ("key", models.CharField(max_length=160, null=True, unique=True)),
                ("actor", models.CharField(max_length=160)),
                ("at", models.DateTimeField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "from_bucket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="exchanges_out", to="balances.bucket"
                    ),
                ),
                (
                    "to_bucket",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="exchanges_in", to="balances.bucket"
                    ),
                ),
                (
                    "rate",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exchanges",
                        to="balances.exchangerate",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="exchangerate",
            constraint=models.UniqueConstraint(
                fields=("version", "from_service", "to_service"), name="exchange_rate_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="exchangerate",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_units__gte", 1), ("to_units__gte", 1)), name="exchange_rate_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="exchangerate",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_service", models.F("to_service")), _negated=True),
                name="exchange_rate_between_services",
            ),
        ),
        migrations.RunSQL(FROZEN, migrations.RunSQL.noop),
        migrations.RunPython(_restrict_application_role, migrations.RunPython.noop),
    ]
