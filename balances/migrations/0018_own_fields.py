"""Fields that an enterprise declares for itself, beside those of its operator."""

import django.db.models.deletion
from django.db import migrations, models

# An enterprise's own field concerns it alone; and no rule ever reads a name that two have declared.
TRIGGERS = """
CREATE OR REPLACE FUNCTION balances_declared_field_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
    WHERE enterprise_id IN (
        SELECT e.id FROM balances_enterprise e JOIN changed c ON c.operator_id = e.operator_id
        WHERE c.enterprise_id IS NULL OR c.enterprise_id = e.id);
    RETURN NULL;
END $$;
CREATE FUNCTION balances_refuse_field_of_two() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM balances_declaredfield f
            WHERE f.operator_id = NEW.operator_id AND lower(f.name) = lower(NEW.name)
                AND (f.enterprise_id IS NULL) <> (NEW.enterprise_id IS NULL)) THEN
        RAISE EXCEPTION 'a field is declared by an operator or by its enterprises, never by both'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER declaredfield_of_one BEFORE INSERT OR UPDATE ON balances_declaredfield
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_field_of_two();
"""
BACK = """
DROP TRIGGER declaredfield_of_one ON balances_declaredfield;
DROP FUNCTION balances_refuse_field_of_two;
CREATE OR REPLACE FUNCTION balances_declared_field_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
    WHERE enterprise_id IN (SELECT e.id FROM balances_enterprise e JOIN changed USING (operator_id));
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0017_personal_news"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="declaredfield", name="declared_field_once"),
        migrations.AddField(
            model_name="declaredfield",
            name="enterprise",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="declared_fields",
                to="balances.enterprise",
            ),
        ),
        migrations.AddConstraint(
            model_name="declaredfield",
            constraint=models.UniqueConstraint(
                fields=["operator", "name"],
                condition=models.Q(("enterprise__isnull", True)),
                name="declared_field_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="declaredfield",
            constraint=models.UniqueConstraint(fields=["enterprise", "name"], name="declared_field_once_in_enterprise"),
        ),
        migrations.RunSQL(TRIGGERS, BACK),
    ]
