from celery import Celery

import marks

app = Celery("bench", broker=marks.REDIS)
app.conf.update(task_ignore_result=True)


@app.task(name="noop")
def noop(number):
    marks.work(number)


@app.task(name="sleep")
def sleep(number):
    marks.work(number, 0.01)


if __name__ == "__main__":
    marks.produce(lambda name, number: app.tasks[name].apply_async((number,)))
