"""Whose public holidays an enterprise means: rules of who pays ask for them."""

from __future__ import annotations

from django.db import migrations, models

TRIGGER = """
CREATE FUNCTION balances_enterprise_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1 WHERE enterprise_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER enterprise_configuration_update AFTER UPDATE ON balances_enterprise FOR EACH ROW
    WHEN (OLD.holiday_calendar IS DISTINCT FROM NEW.holiday_calendar)
    EXECUTE FUNCTION balances_enterprise_changed();
"""
BACK = """
DROP TRIGGER enterprise_configuration_update ON balances_enterprise;
DROP FUNCTION balances_enterprise_changed();
"""


class Migration(migrations.Migration):
    dependencies = [("balances", "0015_device_types")]

    operations = [
        migrations.AddField(
            model_name="enterprise",
            name="holiday_calendar",
            field=models.CharField(
                max_length=8,
                blank=True,
                default="",
                help_text="Whose public holidays: DE, DE-BY; empty: the contract's.",
            ),
        ),
        migrations.RunSQL(TRIGGER, BACK),
    ]
