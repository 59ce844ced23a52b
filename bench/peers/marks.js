'use strict';
// What the Node programs of bench/workers share; see marks.py.
const fs = require('node:fs');

const file = fs.openSync(process.env.BENCH_MARKS, 'a', 0o600);
const nowNs = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n;
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** A task: leaves its number and the time when it began, in one write that no other process can divide. */
async function work(number, ms) {
  const mark = Buffer.alloc(16);
  mark.writeBigInt64LE(BigInt(number), 0);
  mark.writeBigInt64LE(nowNs(), 8);
  fs.writeSync(file, mark);
  if (ms) await sleep(ms);
}

module.exports = { nowNs, sleep, work };
