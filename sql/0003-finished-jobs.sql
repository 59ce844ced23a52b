-- However many jobs are done, those that are not are found at once; and changes of what is done are told to nobody.

CREATE OR REPLACE FUNCTION asynqd.job_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    IF TG_OP = 'INSERT' THEN
        NEW.armed_at := clock_timestamp();
    ELSIF NEW.schedule <> OLD.schedule OR (OLD.enqueued_at IS NOT NULL AND NEW.enqueued_at IS NULL) THEN
        -- another second, so that it is another tick
        NEW.armed_at := greatest(clock_timestamp(), OLD.armed_at + interval '1 second');
        NEW.enqueued_at := NULL;
    END IF;
    -- only one for one task alone can be done
    IF NEW.schedule <> '@once' AND NEW.schedule NOT LIKE '@at %' THEN
        NEW.enqueued_at := NULL;
    END IF;
    -- asynqd looks only at those that are wanted
    IF NOT NEW.enabled OR NEW.enqueued_at IS NOT NULL THEN
        NEW.problem := NULL;
    END IF;
    RETURN NEW;
END $$;
UPDATE asynqd.jobs SET problem = NULL WHERE problem IS NOT NULL AND (NOT enabled OR enqueued_at IS NOT NULL);
UPDATE asynqd.jobs SET enqueued_at = NULL WHERE enqueued_at IS NOT NULL AND schedule <> '@once' AND schedule NOT LIKE '@at %';

CREATE INDEX jobs_wanted ON asynqd.jobs (id) WHERE enabled AND enqueued_at IS NULL;
CREATE INDEX jobs_done ON asynqd.jobs (enqueued_at) WHERE enqueued_at IS NOT NULL;

DROP TRIGGER asynqd_jobs_changed ON asynqd.jobs;
CREATE TRIGGER asynqd_jobs_changed AFTER INSERT OR TRUNCATE ON asynqd.jobs
    FOR EACH STATEMENT EXECUTE FUNCTION asynqd.jobs_changed();
CREATE TRIGGER asynqd_job_deleted AFTER DELETE ON asynqd.jobs FOR EACH ROW
    WHEN (OLD.enabled AND OLD.enqueued_at IS NULL) EXECUTE FUNCTION asynqd.jobs_changed();
