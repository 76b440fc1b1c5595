"""Who proved to be whom, and objections of employees to who paid."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0014_personal"),
        ("portal", "0006_digests"),
    ]

    operations = [
        migrations.CreateModel(
            name="Contest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("usage_id", models.BigIntegerField()),
                ("used_at", models.DateTimeField(help_text="Of the usage record: the partition key.")),
                ("reason", models.CharField(max_length=400)),
                (
                    "disclosed",
                    models.JSONField(help_text="What managers are shown of the record, by the person's own choice."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("upheld", "Upheld, the correction is on its way"),
                            ("corrected", "Upheld and corrected"),
                            ("declined", "Declined"),
                        ],
                        default="open",
                        max_length=9,
                    ),
                ),
                ("filed_at", models.DateTimeField()),
                ("filed_by", models.CharField(max_length=160)),
                ("decided_at", models.DateTimeField(null=True)),
                ("decided_by", models.CharField(blank=True, max_length=160)),
                ("answer", models.CharField(blank=True, max_length=400)),
                ("refunded_micros", models.BigIntegerField(null=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
                    ),
                ),
                (
                    "correction_part",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="balances.usagepart",
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "line",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.line"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="contests", to="balances.person"
                    ),
                ),
            ],
            options={
                "ordering": ["-filed_at", "-id"],
                "indexes": [models.Index(fields=["enterprise", "state", "-filed_at"], name="contest_latest")],
                "constraints": [
                    models.UniqueConstraint(fields=("usage_id",), name="contest_once_per_record"),
                    models.CheckConstraint(
                        condition=models.Q(("state", "open"), ("decided_at__isnull", False), _connector="OR"),
                        name="contest_decided_at_some_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonClaim",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code_hash", models.CharField(max_length=64)),
                ("issued_at", models.DateTimeField()),
                ("issued_by", models.CharField(max_length=160)),
                ("expires_at", models.DateTimeField()),
                ("attempts", models.SmallIntegerField(default=0)),
                ("confirmed_at", models.DateTimeField(null=True)),
                (
                    "ended_at",
                    models.DateTimeField(help_text="Withdrawn, or another took its place.", null=True),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="claims", to="balances.person"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="claims",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("person",),
                        name="person_claim_one_a_person",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("confirmed_at__isnull", True), ("user__isnull", False), _connector="OR"),
                        name="person_claim_confirmed_by_a_user",
                    ),
                ],
            },
        ),
    ]
