"""Loans: trades of which what is unused goes back by itself."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0008_trading"),
    ]

    operations = [
        migrations.CreateModel(
            name="Loan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("units", models.BigIntegerField()),
                ("returned_units", models.BigIntegerField(default=0)),
                ("returns_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("lent", "Lent"),
                            ("owed", "Owed"),
                            ("returned", "Returned"),
                            ("forgiven", "Forgiven"),
                        ],
                        default="lent",
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name="offer",
            name="returns_at",
            field=models.DateTimeField(help_text="Of a loan: when what is unused goes back by itself.", null=True),
        ),
        migrations.AddField(
            model_name="offeract",
            name="transfer",
            field=models.UUIDField(help_text="Of units that came back: ties the two sides of the transfer.", null=True),
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
                    ("trade", "Received in trade"),
                    ("loan", "Borrowed"),
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="offeract",
            name="kind",
            field=models.CharField(
                choices=[
                    ("offered", "Offered"),
                    ("countered", "Countered"),
                    ("accepted", "Accepted"),
                    ("approved", "Approved"),
                    ("refused", "Refused"),
                    ("withdrawn", "Withdrawn"),
                    ("expired", "Expired"),
                    ("returned", "Returned"),
                    ("repaid", "Repaid"),
                    ("forgiven", "Forgiven"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="offer",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("returns_at__isnull", True),
                    models.Q(
                        ("returns_at__gte", models.F("expires_at")),
                        models.Q(("gives_units", 0), ("wants_units", 0), _connector="OR"),
                    ),
                    _connector="OR",
                ),
                name="offer_of_a_loan",
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="borrower",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="bucket",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="loan", to="balances.bucket"
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="enterprise",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="from_bucket",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.bucket"
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="lender",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
            ),
        ),
        migrations.AddField(
            model_name="loan",
            name="trade",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="loan", to="balances.trade"
            ),
        ),
        migrations.AddIndex(
            model_name="loan",
            index=models.Index(fields=["lender", "-id"], name="loan_by_lender"),
        ),
        migrations.AddIndex(
            model_name="loan",
            index=models.Index(fields=["borrower", "-id"], name="loan_by_borrower"),
        ),
        migrations.AddIndex(
            model_name="loan",
            index=models.Index(
                condition=models.Q(("state__in", ["lent", "owed"])), fields=["returns_at"], name="loan_to_sweep"
            ),
        ),
        migrations.AddConstraint(
            model_name="loan",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("returned_units__gte", 0),
                    ("units__gt", 0),
                    models.Q(
                        models.Q(("returned_units", models.F("units")), ("state", "returned")),
                        models.Q(
                            models.Q(("state", "returned"), _negated=True), ("returned_units__lt", models.F("units"))
                        ),
                        _connector="OR",
                    ),
                ),
                name="loan_returned_within_lent",
            ),
        ),
        migrations.AddConstraint(
            model_name="loan",
            constraint=models.CheckConstraint(
                condition=models.Q(("lender", models.F("borrower")), _negated=True), name="loan_not_to_itself"
            ),
        ),
    ]
