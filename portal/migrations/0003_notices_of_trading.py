"""Notices of offers and trades."""

from django.db import migrations, models

KINDS = [
    ("threshold", "Threshold reached"),
    ("limit", "Mark of a limit reached"),
    ("restriction", "Line restricted"),
    ("consent", "Limit exceeded by consent"),
    ("trade", "Offer or trade"),
]


class Migration(migrations.Migration):
    dependencies = [("portal", "0002_notices"), ("balances", "0008_trading")]

    operations = [
        migrations.AlterField("notice", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.AlterField("noticepreference", "kind", models.CharField(choices=KINDS, max_length=12)),
        migrations.AlterField(
            "silence",
            "kind",
            models.CharField(blank=True, choices=KINDS, help_text="Empty: every kind.", max_length=12),
        ),
    ]
