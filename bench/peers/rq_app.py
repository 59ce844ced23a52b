import marks


def noop(number):
    marks.work(number)


def sleep(number):
    marks.work(number, 0.01)


if __name__ == "__main__":
    from redis import Redis
    from rq import Queue

    queue = Queue(connection=Redis.from_url(marks.REDIS))
    marks.produce(lambda name, number: queue.enqueue(f"rq_app.{name}", number, result_ttl=0))
