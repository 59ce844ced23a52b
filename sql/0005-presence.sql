-- Who may say that another asynqd is gone, and attempts of which nobody will ever tell.

ALTER TABLE asynqd.workers ADD COLUMN present_since timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN asynqd.workers.present_since IS
    'since when it has been seen without a gap; only who was here for a minute can say who was not';

-- Of those that were given up too early, and of which more is known later.
CREATE INDEX executions_unknown ON asynqd.executions (worker) WHERE outcome = 'unknown';

-- The bounds of a partition are told as a text, and in the time zone and style of the session: an "IST" is another one for
-- who writes it than for who reads it.
CREATE FUNCTION asynqd.bounds_of(partition oid, OUT beginning timestamptz, OUT ending timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    range CONSTANT text := (SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = partition);
BEGIN
    beginning := coalesce(substring(range FROM 'FROM [(]''([^'']+)''[)]')::timestamptz, '-infinity');
    ending := substring(range FROM 'TO [(]''([^'']+)''[)]')::timestamptz;
END $$;

CREATE OR REPLACE VIEW asynqd.months AS
    SELECT i.inhrelid::regclass AS partition, b.beginning, b.ending
    FROM pg_inherits AS i, asynqd.bounds_of(i.inhrelid) AS b
    WHERE i.inhparent = 'asynqd.executions'::regclass AND b.ending IS NOT NULL;

ALTER FUNCTION asynqd.make_month(timestamptz) SET timezone = 'UTC';
ALTER FUNCTION asynqd.make_month(timestamptz) SET datestyle = 'ISO';
