"""The hour of daily and weekly e-mails, and the day of the weekly ones."""

from datetime import time

from django.db import migrations, models

DIGESTS = [
    ("now", "At once"),
    ("hourly", "Collected, every hour"),
    ("daily", "Collected, every day"),
    ("weekly", "Collected, every week"),
    ("off", "Not at all"),
]
WEEKDAYS = list(enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")))


class Migration(migrations.Migration):
    dependencies = [("portal", "0005_unusual_usage")]
    operations = [
        migrations.AddField(
            model_name="noticesettings",
            name="daily_at",
            field=models.TimeField(default=time(8), help_text="When collected e-mails of a day or a week are sent."),
        ),
        migrations.AddField(
            model_name="noticesettings",
            name="weekly_on",
            field=models.PositiveSmallIntegerField(
                choices=WEEKDAYS, default=0, help_text="Day of the weekly e-mail; 0: Monday."
            ),
        ),
        migrations.AlterField(
            model_name="noticepreference",
            name="digest",
            field=models.CharField(choices=DIGESTS, default="now", max_length=6),
        ),
    ]
