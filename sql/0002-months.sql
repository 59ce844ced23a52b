-- The history in months, so that old attempts go with their table instead of row by row.

-- What an asynqd that has ended did not tell is unknown; only a lease can be lost.
UPDATE asynqd.executions SET outcome = 'unknown' WHERE outcome = 'lost' AND error_class = 'worker';

ALTER TABLE asynqd.executions RENAME TO executions_before;
ALTER TABLE asynqd.executions_before DROP CONSTRAINT executions_pkey;
ALTER INDEX asynqd.executions_started_at RENAME TO executions_before_started_at;
ALTER INDEX asynqd.executions_task_id RENAME TO executions_before_task_id;
ALTER INDEX asynqd.executions_job RENAME TO executions_before_job;
ALTER INDEX asynqd.executions_running RENAME TO executions_before_running;

CREATE TABLE asynqd.executions (LIKE asynqd.executions_before, PRIMARY KEY (id, started_at)) PARTITION BY RANGE (started_at);
COMMENT ON TABLE asynqd.executions IS 'one row for each attempt at a task; job_id is that of the job, which may be gone';
COMMENT ON COLUMN asynqd.executions.outcome IS
    'running, completed, retried, archived, revoked, put off, given back, lost (its lease), unknown (its asynqd has ended)';
CREATE INDEX executions_started_at ON asynqd.executions (started_at);
CREATE INDEX executions_task_id ON asynqd.executions (task_id);
CREATE INDEX executions_job ON asynqd.executions (job_id, started_at) WHERE job_id IS NOT NULL;
CREATE INDEX executions_running ON asynqd.executions (worker) WHERE finished_at IS NULL;

-- Who could do something with the old one can do so with this one.
DO $$
DECLARE
    old CONSTANT regclass := 'asynqd.executions_before';
    one record;
BEGIN
    EXECUTE format('GRANT ALL ON asynqd.executions TO %I', (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = old));
    FOR one IN
        SELECT acl.*, '' AS columns FROM pg_class AS c, aclexplode(c.relacl) AS acl WHERE c.oid = old
        UNION ALL SELECT acl.*, format('(%I)', a.attname) FROM pg_attribute AS a, aclexplode(a.attacl) AS acl
            WHERE a.attrelid = old AND NOT a.attisdropped
    LOOP
        EXECUTE format('GRANT %s %s ON asynqd.executions TO %s %s', one.privilege_type, one.columns,
            CASE one.grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(one.grantee)) END,
            CASE WHEN one.is_grantable THEN 'WITH GRANT OPTION' END);
    END LOOP;
END $$;

CREATE TABLE asynqd.executions_other PARTITION OF asynqd.executions DEFAULT;
COMMENT ON TABLE asynqd.executions_other IS 'attempts of times that no month is kept for';

CREATE VIEW asynqd.months AS
    SELECT c.oid::regclass AS partition,
        coalesce(substring(b.range FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity') AS beginning,
        substring(b.range FROM 'TO \(''([^'']+)''\)')::timestamptz AS ending
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid, pg_get_expr(c.relpartbound, c.oid) AS b(range)
    WHERE i.inhparent = 'asynqd.executions'::regclass AND b.range <> 'DEFAULT';
COMMENT ON VIEW asynqd.months IS 'the partitions of executions: the attempts that began in these times';

CREATE FUNCTION asynqd.month_of(moment timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$ SELECT date_trunc('month', moment AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' $$;

-- Rows are not copied: what there is becomes the partition of all that was before the next month. Views of others go on
-- reading that.
DO $$
DECLARE
    ending CONSTANT timestamptz := asynqd.month_of(asynqd.month_of(now()) + interval '40 days');
    views CONSTANT text := (SELECT string_agg(DISTINCT r.ev_class::regclass::text, ', ')
        FROM pg_depend AS d JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        WHERE d.refobjid = 'asynqd.executions_before'::regclass AND r.ev_class <> d.refobjid);
BEGIN
    IF views IS NOT NULL THEN
        RAISE WARNING 'only old rows are seen by what reads the history: %; make it anew with the same definition', views;
    ELSIF NOT EXISTS (SELECT FROM asynqd.executions_before) THEN
        DROP TABLE asynqd.executions_before;
        RETURN;
    END IF;
    WITH later AS (DELETE FROM asynqd.executions_before WHERE started_at >= ending RETURNING *)
    INSERT INTO asynqd.executions_other SELECT * FROM later;
    EXECUTE format('ALTER TABLE asynqd.executions ATTACH PARTITION asynqd.executions_before FOR VALUES FROM (MINVALUE) TO (%L)',
        ending);
END $$;

-- Makes the partition of a month, if there is none and no table of its name, with the rows that have come before it. Who
-- inserts or reads other months is not held up.
CREATE FUNCTION asynqd.make_month(beginning timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name CONSTANT text := 'executions_' || to_char(beginning AT TIME ZONE 'UTC', 'YYYY_MM');
    ending CONSTANT timestamptz := asynqd.month_of(beginning + interval '40 days');
BEGIN
    IF to_regclass('asynqd.' || name) IS NOT NULL
        OR EXISTS (SELECT FROM asynqd.months AS m WHERE m.beginning <= make_month.beginning AND m.ending > make_month.beginning) THEN
        RETURN false;
    END IF;
    LOCK TABLE asynqd.executions_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE asynqd.%I (LIKE asynqd.executions INCLUDING ALL)', name);
    EXECUTE format('WITH early AS (DELETE FROM asynqd.executions_other WHERE started_at >= %L AND started_at < %L RETURNING *) '
        'INSERT INTO asynqd.%I SELECT * FROM early', beginning, ending, name);
    EXECUTE format('ALTER TABLE asynqd.executions ATTACH PARTITION asynqd.%I FOR VALUES FROM (%L) TO (%L)', name, beginning, ending);
    RETURN true;
END $$;

-- ---- what asynqd calls every ten minutes; a retention of NULL keeps all ----

-- Makes the months that will be needed soon, and those of rows that came late. Returns how many.
CREATE FUNCTION asynqd.make_months(retention interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    this_month CONSTANT timestamptz := asynqd.month_of(now());
    ahead CONSTANT timestamptz := asynqd.month_of(this_month + interval '80 days');
    oldest CONSTANT timestamptz := greatest(now() - retention, now() - interval '10 years');
    moment timestamptz;
    made integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7094612301) THEN
        RETURN 0; -- another one does it
    END IF;
    FOR moment IN
        SELECT this_month UNION SELECT asynqd.month_of(this_month + interval '40 days') UNION SELECT ahead
        UNION (SELECT DISTINCT asynqd.month_of(started_at) FROM asynqd.executions_other
            WHERE started_at >= oldest AND started_at < ahead)
    LOOP
        made := made + asynqd.make_month(moment)::integer;
    END LOOP;
    RETURN made;
END $$;

-- Drops the months that lie behind the retention as a whole, but not while an attempt of theirs runs. Returns their names.
CREATE FUNCTION asynqd.drop_months(retention interval) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    month regclass;
    is_used boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7094612301) THEN
        RETURN;
    END IF;
    FOR month IN SELECT m.partition FROM asynqd.months AS m WHERE m.ending <= now() - retention ORDER BY m.ending LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE finished_at IS NULL)', month) INTO is_used;
        CONTINUE WHEN is_used;
        RETURN NEXT month::text;
        EXECUTE format('DROP TABLE %s', month);
    END LOOP;
END $$;

-- Deletes up to `most` rows of no month that lie behind the retention (`late`), and as many of all months if it is shorter
-- than a month (`deleted`). `odd`: rows of no month that are left.
CREATE FUNCTION asynqd.delete_executions(retention interval, most integer, OUT late integer, OUT deleted integer, OUT odd integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    oldest CONSTANT timestamptz := now() - retention;
BEGIN
    WITH gone AS (DELETE FROM asynqd.executions_other WHERE (id, started_at) IN
        (SELECT id, started_at FROM asynqd.executions_other WHERE started_at < oldest AND finished_at IS NOT NULL
        ORDER BY started_at LIMIT most FOR UPDATE SKIP LOCKED) RETURNING 1)
    SELECT count(*) INTO late FROM gone;
    deleted := 0;
    IF retention < interval '28 days' THEN
        WITH gone AS (DELETE FROM asynqd.executions WHERE (id, started_at) IN
            (SELECT id, started_at FROM asynqd.executions WHERE started_at < oldest AND finished_at IS NOT NULL
            ORDER BY started_at LIMIT most FOR UPDATE SKIP LOCKED) RETURNING 1)
        SELECT count(*) INTO deleted FROM gone;
    END IF;
    SELECT count(*) INTO odd FROM (SELECT FROM asynqd.executions_other WHERE finished_at IS NOT NULL LIMIT 100000) AS q;
END $$;

-- They act with the rights of the owner of the tables; a role with fewer may be given them.
REVOKE ALL ON FUNCTION asynqd.make_months(interval), asynqd.drop_months(interval), asynqd.delete_executions(interval, integer),
    asynqd.make_month(timestamptz) FROM PUBLIC;

SELECT asynqd.make_months(NULL);
