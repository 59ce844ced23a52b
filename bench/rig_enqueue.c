/* The rig as a producer: creates tasks when the driver says "go". */
#include "rig.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4000, MAX_CALLERS = 256 };

static asynq_client *client;
static asynq_queue queues[RIG_QUEUES_MAX + 1];
static int queue_count;
static _Atomic int64_t next_number, failures;

/* `payload` has rig.payload bytes. */
static asynq_task make_task(int64_t number, char *payload, int64_t due_ms)
{
    uint32_t short_number = (uint32_t)(rig.first + number);
    int64_t base_ns = due_ms ? due_ms * 1000000 : rig_now_ns();
    bool fails = rig.fail_percent && number % 100 < rig.fail_percent;
    memcpy(payload, &short_number, sizeof short_number);
    memcpy(payload + 4, &base_ns, sizeof base_ns);
    payload[12] = fails ? RIG_FAIL_ONCE : rig.deed[0];
    return (asynq_task){
        .type = "bench",
        .payload = payload,
        .payload_length = (size_t)rig.payload,
        .options = {.queue = queues[number % queue_count].name,
                    .unique_ms = rig.unique_s * 1000,
                    .process_at_ms = due_ms},
    };
}

static void *enqueue_one_by_one(void *arg)
{
    asynq_error error;
    char *payload = calloc(1, (size_t)rig.payload);
    for (int64_t number; payload && (number = next_number++) < rig.tasks;) {
        asynq_task task = make_task(number, payload, 0);
        if (asynq_enqueue(client, &task, NULL, NULL, &error))
            rig_die("enqueue", error.text);
    }
    free(payload);
    return arg;
}

static void enqueue_callers(void)
{
    pthread_t threads[MAX_CALLERS];
    for (int64_t i = 0; i < rig.callers; i++)
        if (pthread_create(&threads[i], NULL, enqueue_one_by_one, NULL))
            rig_die("thread", "cannot start");
    for (int64_t i = 0; i < rig.callers; i++)
        pthread_join(threads[i], NULL);
}

/* With due_each, so many in each second from due_ms on. */
static int64_t due_of(int64_t number)
{
    return rig.due_each ? rig.due_ms + number / rig.due_each * 1000 : rig.due_ms;
}

static void enqueue_batches(void)
{
    asynq_error error;
    static asynq_task tasks[BATCH];
    char *payloads = calloc(BATCH, (size_t)rig.payload);
    if (!payloads)
        rig_die("payloads", "out of memory");
    int64_t batch = rig.payload > 100000 ? 10 : BATCH;
    for (int64_t done = 0; done < rig.tasks; done += batch) {
        int64_t count = rig.tasks - done < batch ? rig.tasks - done : batch;
        for (int64_t i = 0; i < count; i++)
            tasks[i] = make_task(done + i, payloads + i * rig.payload, due_of(done + i));
        if (asynq_enqueue_batch(client, tasks, (size_t)count, NULL, NULL, &error))
            rig_die("enqueue", error.text);
    }
    free(payloads);
}

static void enqueued(const asynq_enqueued *result, void *arg)
{
    (void)arg;
    failures += result->error.code != 0;
}

static void enqueue_asynchronously(void)
{
    asynq_error error;
    char *payload = calloc(1, (size_t)rig.payload);
    for (int64_t i = 0; payload && i < rig.tasks; i++) {
        asynq_task task = make_task(i, payload, 0);
        int status;
        while ((status = asynq_enqueue_async(client, &task, NULL, enqueued, NULL, &error)) == ASYNQ_E_BUSY)
            asynq_client_flush(client);
        if (status)
            rig_die("enqueue", error.text);
    }
    asynq_client_flush(client);
    free(payload);
}

int rig_enqueue(void)
{
    asynq_error error;
    queue_count = rig_read_queues(queues);
    client = asynq_client_new(&(asynq_client_options){.redis = rig.redis}, &error);
    if (!client || asynq_client_ping(client, &error))
        rig_die("client", error.text);
    rig_say("ready %" PRId64, rig_cpu_us());
    rig_hear();
    int64_t begin_ns = rig_now_ns();
    if (strcmp(rig.mode, "one") == 0)
        enqueue_callers();
    else if (strcmp(rig.mode, "async") == 0)
        enqueue_asynchronously();
    else
        enqueue_batches();
    rig_say("done %" PRId64 " %" PRId64 " %" PRId64, begin_ns, rig_now_ns(), rig_cpu_us());
    asynq_client_free(client);
    if (failures)
        rig_die("enqueue", "an asynchronous task was refused");
    return 0;
}
