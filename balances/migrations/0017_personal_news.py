"""News of personal accounts, and what their marks are counted from."""

import django.db.models.deletion
from django.db import migrations, models

# Money that is there now is what a prepaid account's marks are of, until money comes in.
ARMED = """
UPDATE balances_personalaccount SET armed_micros = balance_micros WHERE balance_micros > 0;
"""
TRIGGERS = """
CREATE TRIGGER personalnews_append_only BEFORE UPDATE OR DELETE ON balances_personalnews
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0016_holiday_calendars"),
    ]

    operations = [
        migrations.AddField(
            model_name="personalaccount",
            name="armed_micros",
            field=models.BigIntegerField(default=0, help_text="What it had when money came in last; marks are of it."),
        ),
        migrations.AddField(
            model_name="personalaccount",
            name="armings",
            field=models.IntegerField(default=0, help_text="How often money came in or the credit limit changed."),
        ),
        migrations.CreateModel(
            name="PersonalNews",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("allowance", "An allowance is used up to a mark"),
                            ("money", "Money or credit is used up to a mark"),
                            ("paid_out", "Money was paid out"),
                        ],
                        max_length=9,
                    ),
                ),
                ("arming", models.BigIntegerField()),
                ("level", models.SmallIntegerField(default=0)),
                ("used", models.BigIntegerField(help_text="Units of the allowance, or micros.")),
                ("total", models.BigIntegerField()),
                ("recorded_at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="news", to="balances.personalaccount"
                    ),
                ),
                (
                    "bucket",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="balances.personalbucket",
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
                "verbose_name_plural": "personal news",
                "indexes": [models.Index(fields=["enterprise", "id"], name="personal_news_in_order")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "kind", "bucket", "arming", "level"),
                        name="personal_news_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("bucket__isnull", False), ("kind", "allowance")),
                            models.Q(models.Q(("kind", "allowance"), _negated=True), ("bucket__isnull", True)),
                            _connector="OR",
                        ),
                        name="personal_news_of_one_thing",
                    ),
                ],
            },
        ),
        migrations.RunSQL(ARMED, migrations.RunSQL.noop),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
    ]
