"""What the Python programs of bench/workers share: the task, and how a producer sends."""

import os
import random
import struct
import sys
import time

REDIS = os.environ["BENCH_REDIS"]
_file = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def work(number, seconds=0.0):
    """A task: leaves its number and the time when it began, in one write that no other process can divide."""
    os.write(_file, struct.pack("<qq", number, time.time_ns()))
    if seconds:
        time.sleep(seconds)


def produce(send):
    """Arguments: task, count, pause in ms. With pauses, the number of a task is the time when it was sent."""
    name, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
    for i in range(count):
        if pause:
            time.sleep(random.uniform(pause / 2, pause * 1.5))
        send(name, time.time_ns() if pause else i)
