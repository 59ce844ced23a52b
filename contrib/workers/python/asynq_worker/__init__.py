"""Worker processes of asynqd in Python.

    from asynq_worker import task, run

    @task("eval:run")
    def evaluate(job):
        job.log("scoring")
        return {"score": score(job.json())}

    run()

asynqd starts the program (``workers:`` in its configuration) and hands it one task after the other; what the
function returns is the task's result: bytes, a str, or anything that JSON can express. An exception is a failure
that is retried; raise ``Permanent``, ``Revoke``, ``Snooze`` or ``RetryIn`` for another end. The protocol is told in
docs/worker-protocol.md.
"""

import json
import os
import queue
import socket
import struct
import sys
import threading
import traceback

import msgpack

__all__ = ["Job", "Permanent", "RetryIn", "Revoke", "Snooze", "Cancelled", "run", "task"]

VERSION = 1
MOST_FRAME = 64 << 20


class Permanent(Exception):
    """The task has failed for good: it is archived, not retried."""


class Revoke(Exception):
    """The task is dropped."""


class RetryIn(Exception):
    """The task has failed, and is retried after so many seconds."""

    def __init__(self, seconds, text=""):
        super().__init__(text)
        self.seconds = seconds


class Snooze(RetryIn):
    """The task has not failed, and is tried again after so many seconds."""


class Cancelled(Exception):
    """Raised by Job.check() when asynqd does not want the task any more."""


class Job:
    """An attempt at a task."""

    def __init__(self, worker, frame):
        self._worker = worker
        self._call = frame["call"]
        self._cancelled = threading.Event()
        self.id = frame["id"]
        self.type = frame["task_type"]
        self.queue = frame["queue"]
        self.payload = frame["payload"]
        self.headers = frame.get("headers", {})
        self.retried = frame["retried"]
        self.max_retry = frame["max_retry"]
        self.deadline = frame["deadline_ms"] / 1000  # Unix time

    def json(self):
        """The payload, read as JSON."""
        return json.loads(self.payload)

    @property
    def is_cancelled(self):
        return self._cancelled.is_set()

    def check(self):
        """Raises Cancelled if the task was cancelled or is out of time."""
        if self.is_cancelled:
            raise Cancelled()

    def wait(self, seconds):
        """Sleeps, or until the task is cancelled. Returns whether it was."""
        return self._cancelled.wait(seconds)

    def progress(self, fraction=None, text=None):
        """A sign of life, with how far it is (0 to 1)."""
        frame = {"type": "heartbeat", "call": self._call}
        if fraction is not None:
            frame["progress"] = float(fraction)
        if text is not None:
            frame["text"] = str(text)
        self._worker.send(frame)

    def log(self, text, level="info"):
        """A line in asynqd's log."""
        self._worker.send({"type": "log", "call": self._call, "level": level, "text": str(text)})


_tasks = {}


def task(pattern):
    """Makes a function the handler of a type, or of all types that begin with the pattern."""

    def register(function):
        _tasks[pattern] = function
        return function

    return register


def _find(task_type):
    """The same rule as asynqd's: equal, or else the longest beginning."""
    fitting = [pattern for pattern in _tasks if task_type.startswith(pattern)]
    return _tasks[max(fitting, key=len)] if fitting else None


def _encode(result):
    if result is None or isinstance(result, (bytes, bytearray)):
        return None if result is None else bytes(result)
    return result.encode() if isinstance(result, str) else json.dumps(result).encode()


def _flush():
    """What the function printed is its task's, so it must be out before the result is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # there is none, or nobody reads it
            pass


class _Worker:
    def __init__(self, name, threads):
        self.socket = socket.socket(fileno=int(os.environ["ASYNQ_WORKER_FD"]))
        self.lock = threading.Lock()
        self.queue = queue.SimpleQueue()
        self.jobs = {}
        self.name = name
        self.threads = threads

    def send(self, frame):
        data = msgpack.packb(frame, use_bin_type=True)
        with self.lock:
            self.socket.sendall(struct.pack(">I", len(data)) + data)

    def _read(self, length):
        data = bytearray()
        while len(data) < length:
            part = self.socket.recv(min(length - len(data), 1 << 20))
            if not part:
                return None
            data += part
        return bytes(data)

    def receive(self):
        """The next frame; None when asynqd is gone."""
        header = self._read(4)
        if header is None:
            return None
        length = struct.unpack(">I", header)[0]
        if length > MOST_FRAME:
            raise ValueError(f"a frame of {length} bytes")
        data = self._read(length)
        return None if data is None else msgpack.unpackb(data, raw=False, strict_map_key=False)

    def _fail(self, job, failure, error, retry_in=None):
        frame = {"type": "error", "call": job._call, "failure": failure, "text": str(error) or repr(error)}
        if not isinstance(error, (Permanent, Revoke, RetryIn)):
            frame["name"] = type(error).__name__
        _flush()
        if retry_in is not None:
            frame["retry_in_ms"] = max(0, int(retry_in * 1000))
        self.send(frame)

    def _work(self, job):
        function = _find(job.type)
        try:
            if function is None:
                raise Permanent(f"no task function for the type {job.type!r}")
            result = _encode(function(job))
            _flush()
            self.send({"type": "result", "call": job._call, "result": result})
        except Permanent as error:
            self._fail(job, "permanent", error)
        except Revoke as error:
            self._fail(job, "revoke", error)
        except Snooze as error:
            self._fail(job, "snooze", error, error.seconds)
        except RetryIn as error:
            self._fail(job, "retry", error, error.seconds)
        except Exception as error:  # whatever a task function does
            traceback.print_exc()
            self._fail(job, "retry", error)

    def _work_on(self):
        while (job := self.queue.get()) is not None:
            try:
                self._work(job)
            finally:
                self.jobs.pop(job._call, None)

    def run(self):
        self.send({"type": "hello", "version": VERSION, "name": self.name, "capacity": self.threads})
        workers = [threading.Thread(target=self._work_on, daemon=True) for _ in range(self.threads)]
        for worker in workers:
            worker.start()
        while (frame := self.receive()) is not None and frame["type"] != "shutdown":
            if frame["type"] == "task":
                job = Job(self, frame)
                self.jobs[job._call] = job
                self.queue.put(job)
            elif frame["type"] == "cancel" and frame["call"] in self.jobs:
                self.jobs[frame["call"]]._cancelled.set()
        for _ in workers:
            self.queue.put(None)
        for worker in workers:
            worker.join()


def run(name="python", threads=1):
    """Works until asynqd says that it is enough. With more threads, so many tasks run at the same time."""
    if "ASYNQ_WORKER_FD" not in os.environ:
        sys.exit("this program is a worker of asynqd; name it under workers: in asynqd's configuration")
    _Worker(name, threads).run()
