"""A restriction that was lifted may be written again in its period: only one stands at a time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0002_policies"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="restriction", name="restriction_once"),
        migrations.AddConstraint(
            model_name="restriction",
            constraint=models.UniqueConstraint(
                condition=~models.Q(state="lifted"),
                fields=("limit", "period_start", "consents", "line", "service"),
                name="restriction_stands_once",
                nulls_distinct=False,
            ),
        ),
    ]
