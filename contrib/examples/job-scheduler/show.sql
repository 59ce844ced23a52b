\pset footer off
\echo
\echo What the jobs have become:
SELECT coalesce(j.name, '(the Go API)') AS job, e.outcome, count(*), min(e.duration_ms) AS "from ms", max(e.duration_ms) AS "to ms",
       max(e.http_status) AS http, left(max(e.error), 40) AS error
FROM asynqd.executions AS e LEFT JOIN asynqd.jobs AS j ON j.id = e.job_id
GROUP BY 1, 2 ORDER BY 1, 2;
\echo The last attempts:
SELECT to_char(started_at, 'HH24:MI:SS.MS') AS started, coalesce(j.name, '(the Go API)') AS job, e.queue, attempt, outcome,
       duration_ms AS ms, http_status AS http, e.instance
FROM asynqd.executions AS e LEFT JOIN asynqd.jobs AS j ON j.id = e.job_id
ORDER BY started_at DESC LIMIT 12;
\echo Jobs with a mistake:
SELECT name, schedule, invalid_reason FROM asynqd.jobs WHERE invalid_reason IS NOT NULL;
