"""Trading between accounts: terms, offers, trades, and the append-only acts of offers."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

APPEND_ONLY = """
CREATE TRIGGER offeract_append_only BEFORE UPDATE OR DELETE ON balances_offeract
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
"""


def _restrict_application_role(apps, schema_editor):
    role = settings.DATABASE_APPLICATION_ROLE
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role])
        owner, exists = cursor.fetchone()
        if exists and owner != role:
            cursor.execute(f"REVOKE UPDATE, DELETE ON balances_offeract FROM {schema_editor.quote_name(role)}")


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0007_contingency"),
    ]

    operations = [
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
                ],
                max_length=12,
            ),
        ),
        migrations.AlterField(
            model_name="entry",
            name="kind",
            field=models.SmallIntegerField(
                choices=[
                    (1, "Granted"),
                    (2, "Used"),
                    (3, "Received"),
                    (4, "Given"),
                    (5, "Reserved"),
                    (6, "Released"),
                    (7, "Used from reservation"),
                    (8, "Expired"),
                    (9, "Carried out"),
                    (10, "Carried in"),
                    (11, "Held for an offer"),
                    (12, "Back from an offer"),
                    (13, "Given from an offer"),
                    (14, "Exchanged"),
                    (15, "Received in exchange"),
                ]
            ),
        ),
        migrations.CreateModel(
            name="Offer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "gives_service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")], null=True
                    ),
                ),
                ("gives_units", models.BigIntegerField(default=0)),
                (
                    "wants_service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")], null=True
                    ),
                ),
                ("wants_units", models.BigIntegerField(default=0)),
                (
                    "price_micros",
                    models.BigIntegerField(default=0, help_text="Internal price of one block of the measure."),
                ),
                ("price_block_units", models.BigIntegerField(default=1)),
                (
                    "price_most_micros",
                    models.BigIntegerField(default=0, help_text="The end of the band: overage, a block."),
                ),
                ("currency", models.CharField(default="EUR", max_length=3)),
                ("lot_units", models.BigIntegerField(default=1)),
                (
                    "minimum_units",
                    models.BigIntegerField(
                        default=1, help_text="The least that is taken at once, or all that is left."
                    ),
                ),
                ("open_units", models.BigIntegerField(help_text="Of the measure; can be taken.")),
                (
                    "open_wants_units",
                    models.BigIntegerField(default=0, help_text="Of a swap: what the open units are given for."),
                ),
                (
                    "held_units",
                    models.BigIntegerField(default=0, help_text="In escrow on the bucket, also for trades that wait."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("taken", "Taken"),
                            ("withdrawn", "Withdrawn"),
                            ("refused", "Refused"),
                            ("expired", "Expired"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's idempotency key, in a space of its own.",
                        max_length=160,
                        null=True,
                        unique=True,
                    ),
                ),
                ("asked", models.JSONField(default=dict)),
                ("actor", models.CharField(max_length=160)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "bucket",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="offers",
                        to="balances.bucket",
                    ),
                ),
                (
                    "counters",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="countered_by",
                        to="balances.offer",
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "from_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="offers", to="balances.account"
                    ),
                ),
                (
                    "to_account",
                    models.ForeignKey(
                        help_text="None: to all.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="balances.account",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["enterprise", "state", "expires_at"], name="offer_open"),
                    models.Index(condition=models.Q(("state", "open")), fields=["expires_at"], name="offer_to_sweep"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("gives_units__gte", 0),
                            ("open_units__gte", 0),
                            ("open_wants_units__gte", 0),
                            ("wants_units__gte", 0),
                            ("held_units__gte", 0),
                            ("held_units__lte", models.F("gives_units")),
                            ("lot_units__gte", 1),
                            ("minimum_units__gte", 1),
                            ("price_block_units__gte", 1),
                            ("price_micros__gte", 0),
                            ("price_micros__lte", models.F("price_most_micros")),
                            models.Q(("gives_units__gt", 0), ("wants_units__gt", 0), _connector="OR"),
                        ),
                        name="offer_within_bounds",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("to_account__isnull", True),
                            models.Q(("to_account", models.F("from_account")), _negated=True),
                            _connector="OR",
                        ),
                        name="offer_not_to_itself",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Trade",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("units", models.BigIntegerField(help_text="Of the offer's measure.")),
                ("gave_units", models.BigIntegerField(default=0)),
                ("got_units", models.BigIntegerField(default=0)),
                ("amount_micros", models.BigIntegerField(default=0)),
                ("currency", models.CharField(max_length=3)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waits for approval"),
                            ("settled", "Settled"),
                            ("refused", "Refused"),
                            ("expired", "Expired"),
                        ],
                        max_length=10,
                    ),
                ),
                ("decided_by", models.CharField(blank=True, max_length=160)),
                ("decided_at", models.DateTimeField(null=True)),
                (
                    "expires_at",
                    models.DateTimeField(help_text="Not approved by then, it expires: the end of the buckets' cycle."),
                ),
                ("gave_transfer", models.UUIDField(null=True)),
                ("got_transfer", models.UUIDField(null=True)),
                (
                    "key",
                    models.CharField(
                        help_text="The caller's idempotency key, in a space of its own.",
                        max_length=160,
                        null=True,
                        unique=True,
                    ),
                ),
                ("asked", models.JSONField(default=dict)),
                ("actor", models.CharField(max_length=160)),
                ("created_at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="trades", to="balances.account"
                    ),
                ),
                (
                    "approver_account",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
                    ),
                ),
                (
                    "bucket",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="trades",
                        to="balances.bucket",
                    ),
                ),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "offer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="trades", to="balances.offer"
                    ),
                ),
                (
                    "payer",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.account"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["account", "-id"], name="trade_by_account"),
                    models.Index(
                        condition=models.Q(("state", "waiting")), fields=["expires_at"], name="trade_to_sweep"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount_micros__gte", 0), ("gave_units__gte", 0), ("got_units__gte", 0), ("units__gt", 0)
                        ),
                        name="trade_not_negative",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="OfferAct",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("offered", "Offered"),
                            ("countered", "Countered"),
                            ("accepted", "Accepted"),
                            ("approved", "Approved"),
                            ("refused", "Refused"),
                            ("withdrawn", "Withdrawn"),
                            ("expired", "Expired"),
                        ],
                        max_length=10,
                    ),
                ),
                ("units", models.BigIntegerField(help_text="Of the offer's measure.")),
                ("actor", models.CharField(max_length=160)),
                ("at", models.DateTimeField()),
                (
                    "enterprise",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="balances.enterprise"
                    ),
                ),
                (
                    "offer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="acts", to="balances.offer"
                    ),
                ),
                (
                    "trade",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.PROTECT, related_name="acts", to="balances.trade"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["offer", "id"], name="offer_act_by_offer")],
            },
        ),
        migrations.CreateModel(
            name="TradingTerms",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "service",
                    models.SmallIntegerField(
                        choices=[(1, "Data"), (2, "Voice"), (3, "Messaging"), (4, "Video conferencing")]
                    ),
                ),
                ("may_trade", models.BooleanField(null=True)),
                (
                    "may_regift",
                    models.BooleanField(help_text="Whether units that came by a trade may be traded on.", null=True),
                ),
                (
                    "floor_units",
                    models.BigIntegerField(help_text="What an account keeps of its own when it gives.", null=True),
                ),
                (
                    "lot_units",
                    models.BigIntegerField(
                        help_text="Offers and acceptances are in whole lots of this size.", null=True
                    ),
                ),
                (
                    "approval_above_units",
                    models.BigIntegerField(
                        help_text="Above this, the manager of the account above both sides approves.", null=True
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="trading_terms", to="balances.account"
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
                "constraints": [
                    models.UniqueConstraint(fields=("account", "service"), name="trading_terms_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("floor_units__isnull", True), ("floor_units__gte", 0), _connector="OR"),
                            models.Q(("lot_units__isnull", True), ("lot_units__gte", 1), _connector="OR"),
                            models.Q(
                                ("approval_above_units__isnull", True),
                                ("approval_above_units__gte", 0),
                                _connector="OR",
                            ),
                        ),
                        name="trading_terms_not_negative",
                    ),
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, migrations.RunSQL.noop),
        migrations.RunPython(_restrict_application_role, migrations.RunPython.noop),
    ]
