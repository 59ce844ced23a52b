'use strict';
// A worker that does what the tests ask for; the type says what.
const fs = require('node:fs');
const { task, run, Permanent, RetryIn, Revoke, Snooze } = require('../../contrib/workers/node');

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

task('js:echo', (job) => job.payload);
task('js:json', (job) => ({ id: job.id, type: job.type, queue: job.queue, retried: job.retried, max_retry: job.maxRetry,
  headers: job.headers, left: Math.round((job.deadline - Date.now()) / 1000), payload: job.json() }));
task('js:nothing', () => {});
task('js:fail', () => { throw new TypeError('no such thing'); });
task('js:permanent', () => { throw new Permanent('never'); });
task('js:revoke', () => { throw new Revoke('not wanted'); });
task('js:retry-in', () => { throw new RetryIn(77, 'later'); });
task('js:snooze', () => { throw new Snooze(55, 'asleep'); });
task('js:log', (job) => {
  job.log('hello from a task', 'warn');
  job.progress(0.5, 'half');
  console.log('printed');
  return String(process.pid);
});
task('js:wait', async (job) => {
  const path = job.payload.toString();
  fs.writeFileSync(path, 'waiting');
  await new Promise((resolve) => job.signal.addEventListener('abort', resolve));
  fs.writeFileSync(path, 'cancelled');
});
task('js:loop', () => { for (;;); });
task('js:crash', () => { process.kill(process.pid, 'SIGSEGV'); });
task('js:sleep', async (job) => { await pause(Number(job.payload) * 1000); return String(process.pid); });

run({ name: 'test', capacity: Number(process.argv[2] ?? 1) });
