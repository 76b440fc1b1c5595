"""Two workers that make the same month's partitions at once: the second one has to see what the first has made.

`to_regclass` answered from the session's cache of names, which waiting for an advisory lock does not renew; a look into
the catalogue itself does not lie.
"""

from django.db import migrations

FUNCTION = """
CREATE OR REPLACE FUNCTION balances_prepare_usage_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    suffix text := to_char(date_trunc('month', month::timestamp), '"y"YYYY"m"MM');
BEGIN
    IF to_regclass('balances_usagerecord_' || suffix) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('balances_prepare_usage_month'));
    IF EXISTS (SELECT FROM pg_class WHERE relname = 'balances_usagerecord_' || suffix
               AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF balances_usagerecord FOR VALUES FROM (%L) TO (%L)',
                   'balances_usagerecord_' || suffix, first, next);
    EXECUTE format('CREATE TABLE %I PARTITION OF balances_chargeline FOR VALUES FROM (%L) TO (%L)',
                   'balances_chargeline_' || suffix, first, next);
    RETURN true;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("balances", "0011_standing_transfers")]

    operations = [migrations.RunSQL(FUNCTION, migrations.RunSQL.noop)]
