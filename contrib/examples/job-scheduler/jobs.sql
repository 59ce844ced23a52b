-- Jobs of all kinds. `schedule` is cron, an interval, or a moment for one task alone; `options` are those of Asynq's tasks.
INSERT INTO asynqd.jobs (name, type, queue, schedule, payload, options) VALUES
    ('heartbeat',       'call', 'critical', '@every 1s',  '{"kind": "ok", "ms": 1}',     '{"timeout": "5s"}'),
    ('billing',         'call', 'critical', '@every 2s',  '{"kind": "ok", "ms": 250}',   '{"timeout": "10s"}'),
    ('mail digest',     'call', 'default',  '@every 3s',  '{"kind": "flaky", "times": 2}', '{"max_retry": 5}'),
    ('partner import',  'call', 'default',  '@every 4s',  '{"kind": "busy"}',            '{"max_retry": 5}'),
    ('thumbnails',      'call', 'low',      '@every 1s',  '{"kind": "ok", "ms": 2000}',  '{}'),
    ('dead partner',    'call', 'low',      '@every 7s',  '{"kind": "fail"}',            '{"max_retry": 1}'),
    ('moved page',      'call', 'low',      '@every 9s',  '{"kind": "gone"}',            '{"max_retry": 5}'),
    ('old gateway',     'call', 'low',      '@every 11s', '{"kind": "reset"}',           '{"max_retry": 1}'),
    ('impatient',       'call', 'default',  '@every 5s',  '{"kind": "ok", "ms": 3000}',  '{"timeout": "1s", "max_retry": 0}'),
    ('nightly report',  'call', 'low',      '30 3 * * *', '{"kind": "ok", "ms": 60000}', '{"zone": "Europe/Berlin"}'),
    ('yearly export',   'call', 'low',      '@once',      '{"kind": "ok", "ms": 90000}', '{"timeout": "95s", "max_retry": 1}'),
    ('a wrong one',     'call', 'default',  'every day',  '{}',                          '{}');
