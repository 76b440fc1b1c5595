"""What kind of device it is: rules of who pays may ask for it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("balances", "0014_personal")]

    operations = [
        migrations.AddField(
            model_name="device",
            name="device_type",
            field=models.CharField(
                max_length=8,
                default="unknown",
                choices=[
                    ("unknown", "Not known"),
                    ("phone", "Phone"),
                    ("tablet", "Tablet"),
                    ("router", "Router"),
                    ("machine", "Machine"),
                ],
            ),
        )
    ]
