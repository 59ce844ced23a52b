'use strict';
/*
 * Worker processes of asynqd in Node.
 *
 *     const { task, run } = require('asynq-worker');
 *
 *     task('eval:run', async (job) => ({ score: await score(job.json()) }));
 *     run({ capacity: 10 });
 *
 * asynqd starts the program (workers: in its configuration) and hands it tasks; what the function returns is the task's
 * result: a Buffer, a string, or anything that JSON can express. An error is a failure that is retried; throw a
 * Permanent, Revoke, Snooze or RetryIn for another end. The protocol is told in docs/worker-protocol.md.
 */
const net = require('node:net');
const { encode, decode } = require('@msgpack/msgpack');

const VERSION = 1;
const MOST_FRAME = 64 << 20;

/** The task has failed for good: it is archived, not retried. */
class Permanent extends Error {}
/** The task is dropped. */
class Revoke extends Error {}
/** The task has failed, and is retried after so many seconds. */
class RetryIn extends Error {
  constructor(seconds, text = '') {
    super(text);
    this.seconds = seconds;
  }
}
/** The task has not failed, and is tried again after so many seconds. */
class Snooze extends RetryIn {}

const failures = [[Permanent, 'permanent'], [Revoke, 'revoke'], [Snooze, 'snooze'], [RetryIn, 'retry']];

/** An attempt at a task. `signal` is aborted when asynqd does not want it any more. */
class Job {
  #send;
  #call;
  #abort = new AbortController();

  constructor(send, frame) {
    this.#send = send;
    this.#call = frame.call;
    this.id = frame.id;
    this.type = frame.task_type;
    this.queue = frame.queue;
    this.payload = Buffer.from(frame.payload);
    this.headers = frame.headers ?? {};
    this.retried = frame.retried;
    this.maxRetry = frame.max_retry;
    this.deadline = new Date(frame.deadline_ms);
  }

  get signal() { return this.#abort.signal; }
  get call() { return this.#call; }
  cancel() { this.#abort.abort(); }
  /** The payload, read as JSON. */
  json() { return JSON.parse(this.payload.toString()); }
  /** A sign of life, with how far it is (0 to 1). */
  progress(fraction, text) {
    this.#send({ type: 'heartbeat', call: this.#call, ...(fraction !== undefined && { progress: fraction }),
      ...(text !== undefined && { text: String(text) }) });
  }
  /** A line in asynqd's log. */
  log(text, level = 'info') { this.#send({ type: 'log', call: this.#call, level, text: String(text) }); }
}

const tasks = new Map();

/** Makes a function the handler of a type, or of all types that begin with the pattern. */
function task(pattern, handler) { tasks.set(pattern, handler); }

function find(type) {
  const fitting = [...tasks.keys()].filter((pattern) => type.startsWith(pattern));
  return tasks.get(fitting.sort((a, b) => b.length - a.length)[0]);
}

function toBytes(result) {
  if (result === undefined || result === null) return null;
  if (result instanceof Uint8Array) return result;
  return Buffer.from(typeof result === 'string' ? result : JSON.stringify(result));
}

function failure(job, error) {
  const known = failures.find(([kind]) => error instanceof kind);
  const frame = { type: 'error', call: job.call, failure: known ? known[1] : 'retry',
    text: String(error?.message ?? error) };
  if (!known) frame.name = error?.name ?? 'Error';
  if (error instanceof RetryIn) frame.retry_in_ms = Math.max(0, Math.round(error.seconds * 1000));
  return frame;
}

/** Works until asynqd says that it is enough, on up to `capacity` tasks at the same time. */
function run({ name = 'node', capacity = 1 } = {}) {
  if (!process.env.ASYNQ_WORKER_FD) {
    console.error("this program is a worker of asynqd; name it under workers: in asynqd's configuration");
    process.exit(1);
  }
  const socket = new net.Socket({ fd: Number(process.env.ASYNQ_WORKER_FD), readable: true, writable: true });
  const jobs = new Map();
  let ending = false;

  const send = (frame) => {
    const body = encode(frame);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(body.length);
    socket.write(Buffer.concat([header, body]));
  };
  const endIfDone = () => { if (ending && jobs.size === 0) socket.end(() => process.exit(0)); };
  const work = async (job) => {
    try {
      const handler = find(job.type);
      if (!handler) throw new Permanent(`no task function for the type "${job.type}"`);
      const result = toBytes(await handler(job));
      send({ type: 'result', call: job.call, result });
    } catch (error) {
      if (!failures.some(([kind]) => error instanceof kind)) console.error(error);
      send(failure(job, error));
    }
    jobs.delete(job.call);
    endIfDone();
  };
  const take = (frame) => {
    if (frame.type === 'task') {
      const job = new Job(send, frame);
      jobs.set(job.call, job);
      work(job);
    } else if (frame.type === 'cancel') {
      jobs.get(frame.call)?.cancel();
    } else if (frame.type === 'shutdown') {
      ending = true;
      endIfDone();
    }
  };

  let pending = Buffer.alloc(0);
  socket.on('data', (data) => {
    pending = pending.length ? Buffer.concat([pending, data]) : data;
    while (pending.length >= 4) {
      const length = pending.readUInt32BE();
      if (length > MOST_FRAME) throw new Error(`a frame of ${length} bytes`);
      if (pending.length < 4 + length) break;
      const body = pending.subarray(4, 4 + length);
      pending = pending.subarray(4 + length);
      take(decode(body));
    }
  });
  socket.on('end', () => process.exit(0));
  send({ type: 'hello', version: VERSION, name, capacity });
}

module.exports = { task, run, Job, Permanent, Revoke, RetryIn, Snooze };
