"""After which charge limits, consents, exemptions and approvals began and ended, so that a replay decides as was decided.

Null on what was there before: it counts as known to every charge, as replays took it until now. A limit that was
changed was retired when its successor was made.
"""

from django.db import migrations, models

RETIRED = """
UPDATE policies_limit l SET retired_sequence = s.made_sequence
FROM policies_limit s WHERE s.succeeds_id = l.id AND l.retired_at IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("policies", "0004_what_was_shown")]

    operations = [
        migrations.AddField(
            "limit",
            "retired_sequence",
            models.BigIntegerField(null=True, help_text="The charge sequence that still knew it."),
        ),
        migrations.AddField(
            "consent",
            "made_sequence",
            models.BigIntegerField(null=True, help_text="Whatever was charged later was decided with it."),
        ),
        migrations.AddField(
            "exemption",
            "made_sequence",
            models.BigIntegerField(null=True, help_text="Whatever was charged later was decided with it."),
        ),
        migrations.AddField("exemption", "ended_sequence", models.BigIntegerField(null=True)),
        migrations.AddField("limituse", "approved_sequence", models.BigIntegerField(null=True)),
        migrations.RunSQL(RETIRED, migrations.RunSQL.noop),
    ]
