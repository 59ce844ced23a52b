import dramatiq
from dramatiq.brokers.redis import RedisBroker

import marks

dramatiq.set_broker(RedisBroker(url=marks.REDIS))


@dramatiq.actor
def noop(number):
    marks.work(number)


@dramatiq.actor
def sleep(number):
    marks.work(number, 0.01)


if __name__ == "__main__":
    marks.produce(lambda name, number: {"noop": noop, "sleep": sleep}[name].send(number))
