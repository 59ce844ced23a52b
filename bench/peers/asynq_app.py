import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../contrib/workers/python"))
from asynq_worker import run, task  # noqa: E402

import marks  # noqa: E402


@task("noop")
def noop(job):
    marks.work(int(job.payload))


@task("sleep")
def sleep(job):
    marks.work(int(job.payload), 0.01)


run(threads=int(os.environ["BENCH_THREADS"]))
