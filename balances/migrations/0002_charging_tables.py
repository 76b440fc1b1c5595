"""What Django's schema language cannot say: partitions, append-only tables, configuration versions, storage, rights."""

from django.conf import settings
from django.db import migrations

PARTITIONED = """
CREATE TABLE balances_usagerecord (
    id bigint NOT NULL,
    enterprise_id bigint NOT NULL,
    line_id bigint NOT NULL,
    account_id bigint NOT NULL,
    part_id bigint NOT NULL,
    position integer NOT NULL,
    source_id bigint NOT NULL,
    source_record_id varchar(80) NOT NULL,
    service smallint NOT NULL,
    zone_id bigint NOT NULL,
    units bigint NOT NULL CHECK (units >= 0),
    charged_units bigint NOT NULL CHECK (charged_units >= units),
    used_at timestamptz NOT NULL,
    ended_at timestamptz,
    visited_network varchar(6) NOT NULL DEFAULT '',
    other_party varchar(32) NOT NULL DEFAULT '',
    imei varchar(15) NOT NULL DEFAULT '',
    attributes jsonb,
    charge_sequence bigint NOT NULL,
    charged_at timestamptz NOT NULL,
    CHECK (ended_at IS NULL OR ended_at >= used_at),
    PRIMARY KEY (id, used_at)
) PARTITION BY RANGE (used_at);
CREATE INDEX usagerecord_by_line ON balances_usagerecord (line_id, used_at);
CREATE INDEX usagerecord_by_account ON balances_usagerecord (account_id, used_at);

CREATE TABLE balances_chargeline (
    enterprise_id bigint NOT NULL,
    usage_id bigint NOT NULL,
    number smallint NOT NULL,
    used_at timestamptz NOT NULL,
    starts_at timestamptz NOT NULL,
    cycle_start timestamptz NOT NULL,
    payer smallint NOT NULL,
    path_id bigint NOT NULL,
    version_id bigint NOT NULL,
    rate_id bigint NOT NULL,
    units bigint NOT NULL CHECK (units >= 0),
    overage_units bigint NOT NULL CHECK (overage_units >= 0 AND overage_units <= units),
    amount_micros bigint NOT NULL CHECK (amount_micros >= 0),
    bucket_ids bigint[] NOT NULL DEFAULT '{}',
    bucket_units bigint[] NOT NULL DEFAULT '{}',
    reasons varchar(200) NOT NULL,
    charge_sequence bigint NOT NULL,
    CHECK (cardinality(bucket_ids) = cardinality(bucket_units)),
    PRIMARY KEY (usage_id, number, used_at)
) PARTITION BY RANGE (used_at);

CREATE SEQUENCE balances_usage_id_seq INCREMENT BY 10000;

-- The application role owns nothing, so a partition is made through this function of the owner's.
CREATE FUNCTION balances_prepare_usage_month(month date) RETURNS boolean
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
    IF to_regclass('balances_usagerecord_' || suffix) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF balances_usagerecord FOR VALUES FROM (%L) TO (%L)',
                   'balances_usagerecord_' || suffix, first, next);
    EXECUTE format('CREATE TABLE %I PARTITION OF balances_chargeline FOR VALUES FROM (%L) TO (%L)',
                   'balances_chargeline_' || suffix, first, next);
    RETURN true;
END $$;
"""

APPEND_ONLY = """
CREATE FUNCTION balances_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: correct it with a new row', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE ON balances_entry
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
CREATE TRIGGER usagerecord_append_only BEFORE UPDATE OR DELETE ON balances_usagerecord
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();
CREATE TRIGGER chargeline_append_only BEFORE UPDATE OR DELETE ON balances_chargeline
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_change();

-- An audit event may lose its link to a deleted account, but nothing else of it changes.
CREATE FUNCTION balances_refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.account_id IS NULL
       AND (to_jsonb(NEW) - 'account_id') = (to_jsonb(OLD) - 'account_id') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the audit record is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER auditevent_append_only BEFORE UPDATE OR DELETE ON balances_auditevent
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_audit_change();

-- A published version never changes: what it was sold with stands under bills.
CREATE FUNCTION balances_refuse_published_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT state FROM balances_contractversion WHERE id = COALESCE(OLD.version_id, NEW.version_id)) = 'published' THEN
        RAISE EXCEPTION 'a published contract version never changes: make a new version'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN COALESCE(NEW, OLD);
END $$;
CREATE TRIGGER rate_of_published_version BEFORE INSERT OR UPDATE OR DELETE ON balances_rate
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_published_change();
CREATE TRIGGER allowance_of_published_version BEFORE INSERT OR UPDATE OR DELETE ON balances_allowance
    FOR EACH ROW EXECUTE FUNCTION balances_refuse_published_change();
"""


def _configuration_triggers() -> str:
    """Whatever charging depends on raises the enterprise's configuration version, whoever writes it and however."""
    statements = [
        """
        CREATE FUNCTION balances_configuration_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
            WHERE enterprise_id IN (SELECT enterprise_id FROM changed);
            RETURN NULL;
        END $$;
        CREATE FUNCTION balances_zone_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE balances_chargingstate SET configuration_version = configuration_version + 1
            WHERE enterprise_id IN (SELECT e.id FROM balances_enterprise e JOIN changed USING (operator_id));
            RETURN NULL;
        END $$;
        """
    ]
    tables = ("account", "accountplacement", "line", "lineassignment", "numberassignment", "contract")
    tables += ("contractversion", "allowance", "rate", "threshold", "zone")
    for table in tables:
        function = "balances_zone_changed" if table == "zone" else "balances_configuration_changed"
        for event, transition in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            statements.append(
                f"CREATE TRIGGER {table}_configuration_{event.lower()} AFTER {event} ON balances_{table} "
                f"REFERENCING {transition} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {function}();"
            )
    return "\n".join(statements)


STORAGE = """
ALTER TABLE balances_usagepart ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE balances_counter SET (fillfactor = 70);
ALTER TABLE balances_bucket SET (fillfactor = 50);
ALTER TABLE balances_chargingstate SET (fillfactor = 20);
ALTER TABLE balances_usagepart SET (fillfactor = 80);
"""


def _restrict_application_role(apps, schema_editor):
    """Take from the application role what append-only tables must not allow, where it is not the owner itself."""
    role = settings.DATABASE_APPLICATION_ROLE
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT current_user, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role])
        owner, exists = cursor.fetchone()
        if not exists or owner == role:
            return
        quoted = schema_editor.quote_name(role)
        for table in ("entry", "usagerecord", "chargeline"):
            cursor.execute(f"REVOKE UPDATE, DELETE ON balances_{table} FROM {quoted}")
        cursor.execute(f"REVOKE DELETE ON balances_auditevent FROM {quoted}")


class Migration(migrations.Migration):
    dependencies = [("balances", "0001_initial")]

    operations = [
        migrations.RunSQL(
            PARTITIONED,
            "DROP FUNCTION balances_prepare_usage_month; DROP TABLE balances_usagerecord, balances_chargeline; "
            "DROP SEQUENCE balances_usage_id_seq;",
        ),
        migrations.RunSQL(APPEND_ONLY, migrations.RunSQL.noop),
        migrations.RunSQL(_configuration_triggers(), migrations.RunSQL.noop),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunPython(_restrict_application_role, migrations.RunPython.noop),
    ]
