"""Notices that are a person's alone, and acts on contests, of which people and managers are told."""

import django.db.models.deletion
from django.db import migrations, models

KINDS = [
    ("threshold", "Threshold reached"),
    ("limit", "Mark of a limit reached"),
    ("restriction", "Line restricted"),
    ("consent", "Limit exceeded by consent"),
    ("trade", "Offer or trade"),
    ("forecast", "Runs out before the cycle ends"),
    ("anomaly", "Unusual usage"),
    ("device", "SIM in a new device"),
    ("contest", "Objection to be decided"),
    ("personal", "My personal account and objections"),
]
TRIGGERS = """
CREATE TRIGGER contestact_append_only BEFORE UPDATE OR DELETE ON portal_contestact
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();

-- What is personal leaves to nobody's systems, whoever plans deliveries.
CREATE FUNCTION portal_refuse_personal_post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM portal_notice WHERE id = NEW.notice_id AND person_id IS NOT NULL) THEN
        RAISE EXCEPTION 'a personal notice is posted to no endpoint' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER delivery_personal_not_posted BEFORE INSERT OR UPDATE ON portal_delivery FOR EACH ROW
    WHEN (NEW.endpoint_id IS NOT NULL) EXECUTE FUNCTION portal_refuse_personal_post();
"""
BACK = """
DROP TRIGGER delivery_personal_not_posted ON portal_delivery;
DROP FUNCTION portal_refuse_personal_post;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0017_personal_news"),
        ("portal", "0007_personal"),
    ]

    operations = [
        migrations.CreateModel(
            name="ContestAct",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("filed", "Filed"),
                            ("upheld", "Upheld"),
                            ("declined", "Declined"),
                            ("corrected", "Corrected"),
                        ],
                        max_length=9,
                    ),
                ),
                ("at", models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name="notice",
            name="person",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="notices", to="balances.person"
            ),
        ),
        migrations.AlterField(
            model_name="notice",
            name="kind",
            field=models.CharField(choices=KINDS, max_length=12),
        ),
        migrations.AlterField(
            model_name="noticepreference",
            name="kind",
            field=models.CharField(choices=KINDS, max_length=12),
        ),
        migrations.AlterField(
            model_name="silence",
            name="kind",
            field=models.CharField(blank=True, choices=KINDS, help_text="Empty: every kind.", max_length=12),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=models.Q(("person__isnull", False)), fields=["person", "-id"], name="notice_of_person"
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("account__isnull", True),
                        ("kind", "personal"),
                        ("line__isnull", True),
                        ("person__isnull", False),
                    ),
                    models.Q(("person__isnull", True), models.Q(("kind", "personal"), _negated=True)),
                    _connector="OR",
                ),
                name="notice_personal_or_of_a_place",
            ),
        ),
        migrations.AddField(
            model_name="contestact",
            name="contest",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="acts", to="portal.contest"
            ),
        ),
        migrations.AddField(
            model_name="contestact",
            name="enterprise",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
            ),
        ),
        migrations.AddIndex(
            model_name="contestact",
            index=models.Index(fields=["enterprise", "id"], name="contest_act_in_order"),
        ),
        migrations.AddConstraint(
            model_name="contestact",
            constraint=models.UniqueConstraint(fields=("contest", "kind"), name="contest_act_once"),
        ),
        migrations.RunSQL(TRIGGERS, BACK),
    ]
