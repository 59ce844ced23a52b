'use strict';
// Without arguments a worker, else the producer: task, count, pause in ms.
const { Queue, Worker } = require(require.resolve('bullmq', { paths: [process.env.BENCH_MODULES] }));
const { nowNs, sleep, work } = require('./marks');

const address = new URL(process.env.BENCH_REDIS);
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null };
const options = { removeOnComplete: true };

async function produce(name, count, pause) {
  const queue = new Queue('bench', { connection });
  for (let i = 0; i < count && pause; i++) {
    await sleep(pause * (0.5 + Math.random()));
    await queue.add(name, { number: String(nowNs()) }, options);
  }
  for (let i = 0; i < count && !pause; i += 1000) {
    const numbers = Array.from({ length: Math.min(1000, count - i) }, (_, k) => i + k);
    await queue.addBulk(numbers.map((number) => ({ name, data: { number: String(number) }, opts: options })));
  }
  await queue.close();
}

if (process.argv.length > 2) {
  produce(process.argv[2], Number(process.argv[3]), Number(process.argv[4]));
} else {
  const worker = new Worker('bench', (job) => work(job.data.number, job.name === 'sleep' ? 10 : 0),
    { connection, concurrency: 32 });
  worker.on('error', (error) => console.error(error));
}
