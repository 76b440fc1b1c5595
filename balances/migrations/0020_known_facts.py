"""What charging knew of numbers and devices, and when: replays of who pays decide again by it."""

import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.db import migrations, models

# What the inventory says counts as known from the beginning on: since when it was, nobody kept.
KNOWN = """
INSERT INTO balances_knownnumber (enterprise_id, line_id, number, during, added_sequence)
SELECT enterprise_id, line_id, number, during, -1 FROM balances_numberassignment WHERE kind = 1;
INSERT INTO balances_knowndevice (enterprise_id, imei, ownership, model, device_type, added_sequence)
SELECT enterprise_id, imei, ownership, model, device_type, -1 FROM balances_device;
"""

# Whoever writes the inventory does so under the enterprise's lock, so no charge falls between a change and its note.
FUNCTIONS = """
CREATE FUNCTION balances_note_known_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE balances_knownnumber k SET removed_sequence = s.charge_sequence
        FROM before b JOIN balances_chargingstate s USING (enterprise_id)
        WHERE k.line_id = b.line_id AND k.number = b.number AND k.during = b.during AND k.removed_sequence IS NULL
            AND b.kind = 1;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO balances_knownnumber (enterprise_id, line_id, number, during, added_sequence)
        SELECT a.enterprise_id, a.line_id, a.number, a.during, s.charge_sequence
        FROM after a JOIN balances_chargingstate s USING (enterprise_id) WHERE a.kind = 1;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION balances_note_known_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE balances_knowndevice k SET removed_sequence = s.charge_sequence
        FROM before b JOIN balances_chargingstate s USING (enterprise_id)
        WHERE k.enterprise_id = b.enterprise_id AND k.imei = b.imei AND k.removed_sequence IS NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO balances_knowndevice (enterprise_id, imei, ownership, model, device_type, added_sequence)
        SELECT a.enterprise_id, a.imei, a.ownership, a.model, a.device_type, s.charge_sequence
        FROM after a JOIN balances_chargingstate s USING (enterprise_id);
    END IF;
    RETURN NULL;
END $$;
"""
_SEEN = {
    "INSERT": "NEW TABLE AS after", "UPDATE": "OLD TABLE AS before NEW TABLE AS after", "DELETE": "OLD TABLE AS before",
}  # fmt: skip
TRIGGERS = "\n".join(
    f"CREATE TRIGGER {table}_known_{event.lower()} AFTER {event} ON balances_{table} REFERENCING {seen} "
    f"FOR EACH STATEMENT EXECUTE FUNCTION balances_note_known_{fact}();"
    for table, fact in (("numberassignment", "number"), ("device", "device"))
    for event, seen in _SEEN.items()
)
BACK = "\n".join(f"DROP FUNCTION balances_note_known_{fact}() CASCADE;" for fact in ("number", "device"))


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0019_leaner_personal_entries"),
    ]

    operations = [
        migrations.CreateModel(
            name="KnownDevice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("imei", models.CharField(max_length=15)),
                (
                    "ownership",
                    models.CharField(
                        choices=[("corporate", "Corporate"), ("personal", "Personal (BYOD)")], max_length=12
                    ),
                ),
                ("model", models.CharField(blank=True, max_length=80)),
                (
                    "device_type",
                    models.CharField(
                        choices=[
                            ("unknown", "Not known"),
                            ("phone", "Phone"),
                            ("tablet", "Tablet"),
                            ("router", "Router"),
                            ("machine", "Machine"),
                        ],
                        max_length=8,
                    ),
                ),
                ("added_sequence", models.BigIntegerField()),
                ("removed_sequence", models.BigIntegerField(null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_sequence__isnull", True)),
                        fields=("enterprise", "imei"),
                        name="known_device_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="KnownNumber",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.BigIntegerField(help_text="An MSISDN, its digits as an integer.")),
                ("during", django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ("added_sequence", models.BigIntegerField()),
                ("removed_sequence", models.BigIntegerField(null=True)),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="known_numbers", to="balances.line"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("removed_sequence__isnull", True)),
                        fields=("line", "number", "during"),
                        name="known_number_once",
                    )
                ],
            },
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
        migrations.RunSQL(FUNCTIONS + TRIGGERS, BACK),
    ]
