-- What the program of an attempt wrote.

ALTER TABLE asynqd.executions ADD COLUMN output text;
COMMENT ON COLUMN asynqd.executions.output IS 'the end of what the command or worker wrote, if its route keeps it';
