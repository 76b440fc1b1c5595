"""Notices of what will run out before its cycle ends."""

from django.db import migrations, models

KINDS = [
    ("threshold", "Threshold reached"),
    ("limit", "Mark of a limit reached"),
    ("restriction", "Line restricted"),
    ("consent", "Limit exceeded by consent"),
    ("trade", "Offer or trade"),
    ("forecast", "Runs out before the cycle ends"),
]


class Migration(migrations.Migration):
    dependencies = [("portal", "0003_notices_of_trading")]

    operations = [
        migrations.AlterField("notice", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.AlterField("noticepreference", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.AlterField(
            "silence",
            "kind",
            models.CharField(blank=True, choices=KINDS, help_text="Empty: every kind.", max_length=12),
        ),
    ]
