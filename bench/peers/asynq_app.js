'use strict';
const { task, run } = require('../../contrib/workers/node');
const { work } = require('./marks');

task('noop', (job) => work(job.payload.toString(), 0));
task('sleep', (job) => work(job.payload.toString(), 10));
run({ capacity: 32 });
