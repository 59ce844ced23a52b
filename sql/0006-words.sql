-- The words of the glossary: a snoozed or requeued attempt, an instance of asynqd, a reason.

ALTER TABLE asynqd.jobs RENAME COLUMN problem TO invalid_reason;
ALTER TABLE asynqd.jobs RENAME COLUMN armed_at TO effective_at;
COMMENT ON COLUMN asynqd.jobs.invalid_reason IS 'why the scheduler cannot use the job; NULL: it can';
COMMENT ON COLUMN asynqd.jobs.effective_at IS 'the time of @once; kept by a trigger';

CREATE OR REPLACE FUNCTION asynqd.job_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    IF TG_OP = 'INSERT' THEN
        NEW.effective_at := clock_timestamp();
    ELSIF NEW.schedule <> OLD.schedule OR (OLD.enqueued_at IS NOT NULL AND NEW.enqueued_at IS NULL) THEN
        -- another second, so that it is another run
        NEW.effective_at := greatest(clock_timestamp(), OLD.effective_at + interval '1 second');
        NEW.enqueued_at := NULL;
    END IF;
    -- only a job of one run can be done
    IF NEW.schedule <> '@once' AND NEW.schedule NOT LIKE '@at %' THEN
        NEW.enqueued_at := NULL;
    END IF;
    -- asynqd reads only enabled jobs that are not done
    IF NOT NEW.enabled OR NEW.enqueued_at IS NOT NULL THEN
        NEW.invalid_reason := NULL;
    END IF;
    RETURN NEW;
END $$;

ALTER TABLE asynqd.executions RENAME COLUMN worker TO instance;
UPDATE asynqd.executions SET outcome = 'snoozed' WHERE outcome = 'put off';
UPDATE asynqd.executions SET outcome = 'requeued' WHERE outcome = 'given back';
COMMENT ON COLUMN asynqd.executions.outcome IS
    'running, completed, retried, archived, revoked, snoozed, requeued, lost (its lease), unknown (its asynqd has ended)';
COMMENT ON COLUMN asynqd.executions.instance IS 'the asynqd that ran the attempt: id in the table instances';

ALTER TABLE asynqd.workers RENAME TO instances;
ALTER TABLE asynqd.instances RENAME COLUMN seen_at TO last_seen_at;
COMMENT ON TABLE asynqd.instances IS 'asynqds that write executions, each seen every 10 s; removed with its last row';
UPDATE asynqd.executions SET error_class = 'instance' WHERE error_class = 'worker';
