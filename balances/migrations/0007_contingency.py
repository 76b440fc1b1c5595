"""Slices of buckets that their owners set aside."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0006_exchanges"),
    ]

    operations = [
        migrations.AddField(
            model_name="bucket",
            name="release",
            field=models.CharField(
                blank=True,
                choices=[
                    ("by_hand", "By hand"),
                    ("on_exhaustion", "When all else is used up"),
                    ("on_date", "On a date"),
                ],
                help_text="Of a slice set aside.",
                max_length=14,
            ),
        ),
        migrations.AddField(
            model_name="bucket",
            name="release_at",
            field=models.DateTimeField(help_text="When a slice opens by itself.", null=True),
        ),
        migrations.AlterField(
            model_name="bucket",
            name="kind",
            field=models.CharField(
                choices=[
                    ("grant", "Granted by contract"),
                    ("allocation", "Allocated from above"),
                    ("rollover", "Carried over"),
                    ("exchange", "Received in exchange"),
                    ("contingency", "Set aside"),
                ],
                max_length=12,
            ),
        ),
    ]
