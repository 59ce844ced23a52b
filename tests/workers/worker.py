"""A worker that does what the tests ask for; the type says what."""

import ctypes
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../contrib/workers/python"))
from asynq_worker import Permanent, RetryIn, Revoke, Snooze, run, task  # noqa: E402


@task("py:echo")
def echo(job):
    return job.payload


@task("py:json")
def as_json(job):
    return {"id": job.id, "type": job.type, "queue": job.queue, "retried": job.retried, "max_retry": job.max_retry,
            "headers": job.headers, "left": round(job.deadline - time.time()), "payload": job.json()}


@task("py:nothing")
def nothing(job):
    pass


@task("py:fail")
def fail(job):
    raise ValueError("no such thing")


@task("py:permanent")
def permanent(job):
    raise Permanent("never")


@task("py:revoke")
def revoke(job):
    raise Revoke("not wanted")


@task("py:retry-in")
def retry_in(job):
    raise RetryIn(77, "later")


@task("py:snooze")
def snooze(job):
    raise Snooze(55, "asleep")


@task("py:log")
def log(job):
    job.log("hello from a task", "warn")
    job.progress(0.5, "half")
    print("printed", flush=True)
    return str(os.getpid())


@task("py:pid")
def pid(job):
    return str(os.getpid())


@task("py:wait")
def wait(job):
    """Until it is cancelled."""
    with open(job.payload.decode(), "w") as out:
        out.write("waiting")
    if job.wait(60):
        with open(job.payload.decode(), "w") as out:
            out.write("cancelled")


@task("py:loop")
def loop(job):
    """Hears nothing, as the interpreter is kept."""
    while True:
        pass


@task("py:crash")
def crash(job):
    print("about to crash", file=sys.stderr, flush=True)
    ctypes.string_at(0)


@task("py:exit")
def leave(job):
    print("giving up", file=sys.stderr, flush=True)
    os._exit(3)


@task("py:hog")
def hog(job):
    held = []
    while True:
        held.append(bytearray(b"x" * (1 << 20)))
        time.sleep(0.002)


@task("py:grow")
def grow(job):
    """Needs much, for a while that is long enough to be seen."""
    global kept
    kept = bytearray(b"x" * (100 << 20))
    time.sleep(float(job.payload))
    return str(os.getpid())


@task("py:beat")
def beat(job):
    for _ in range(int(float(job.payload) * 4)):
        time.sleep(0.25)
        job.progress()


@task("py:progress")
def progress(job):
    """Says how far it is, more when a file is there, and ends when it is not any more."""
    path = job.payload.decode()
    job.progress(0.42, "the second file")
    while not os.path.exists(path) and not job.wait(0.02):
        pass
    job.progress(text="\x1b[31malmost")
    job.progress(0.9)
    while os.path.exists(path) and not job.wait(0.02):
        pass


@task("py:fork")
def fork(job):
    """Leaves a child behind, and crashes."""
    child = os.fork()
    if child == 0:
        while True:
            time.sleep(1)
    with open(job.payload.decode(), "w") as out:
        out.write(str(child))
    os.kill(os.getpid(), signal.SIGKILL)


@task("py:sleep")
def sleep(job):
    time.sleep(float(job.payload))
    return str(os.getpid())


@task("py:meet")
def meet(job):
    """Until so many processes are in it at the same time."""
    wanted = job.json()
    with open(os.path.join(wanted["at"], str(os.getpid())), "w"):
        pass
    while len(os.listdir(wanted["at"])) < wanted["processes"]:
        time.sleep(0.01)


def say(data):
    os.write(int(os.environ["ASYNQ_WORKER_FD"]), data)
    time.sleep(60)


@task("py:garbage")
def garbage(job):
    say(b"\0\0\0\x05hello")


@task("py:huge")
def huge(job):
    say(b"\xff\xff\xff\xff")


@task("py:claims")
def claims(job):
    say(b"\0\0\0\x05\xdf\xff\xff\xff\xff")


@task("py:stranger")
def stranger(job):
    say(b"\0\0\0\x13\x82\xa4type\xa6result\xa4call\x63")


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "broken":
        sys.exit("cannot import what it needs")
    if mode == "silent":
        time.sleep(60)
    if mode == "old":
        say(b"\0\0\0\x15\x82\xa4type\xa5hello\xa7version\x63")
    if mode == "heals" and not os.path.exists(sys.argv[2]):
        sys.exit("not yet")
    run("test", threads=int(mode) if mode.isdigit() else 1)


main()
