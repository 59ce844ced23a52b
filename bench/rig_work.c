/* The rig as a worker: runs tasks, counts every run of each, and measures from each task's time to its start. */
#include "rig.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WHEEL_MS = 4096, MAX_SERVERS = 128 };

static _Atomic unsigned char *runs; /* by task */
static int64_t *delays_ns;          /* of each task's first run */
static _Atomic int64_t held_now, distinct, first_ns;

/* Jobs that end later: by the ms in which they do, or when "release" is read. */
typedef struct later {
    struct later *next;
    asynq_job *job;
} later;
static pthread_mutex_t later_lock = PTHREAD_MUTEX_INITIALIZER;
static later *wheel[WHEEL_MS], *held;
static int64_t wheel_at_ms;

static void keep(later **list, asynq_job *job)
{
    later *entry = malloc(sizeof *entry);
    if (!entry)
        rig_die("wheel", "out of memory");
    entry->job = job;
    entry->next = *list;
    *list = entry;
}

static void complete_all(later *list)
{
    while (list) {
        later *entry = list;
        list = entry->next;
        asynq_complete(entry->job, ASYNQ_OUTCOME_DONE);
        free(entry);
    }
}

static later *take(later **list)
{
    pthread_mutex_lock(&later_lock);
    later *all = *list;
    *list = NULL;
    pthread_mutex_unlock(&later_lock);
    return all;
}

static void *turn_wheel(void *arg)
{
    for (;;) {
        int64_t now_ms = rig_now_ns() / 1000000;
        while (wheel_at_ms < now_ms)
            complete_all(take(&wheel[++wheel_at_ms % WHEEL_MS]));
        usleep(500);
    }
    return arg;
}

static void sleep_randomly(asynq_job *job)
{
    static _Atomic uint32_t seed = 1;
    uint32_t random = seed += 2654435769u;
    random = (random ^ random >> 15) * 2246822519u;
    int64_t ms = (random ^ random >> 13) % (uint32_t)(rig.random_ms + 1);
    pthread_mutex_lock(&later_lock);
    keep(&wheel[(rig_now_ns() / 1000000 + ms + 1) % WHEEL_MS], job);
    pthread_mutex_unlock(&later_lock);
}

static void count_run(uint32_t number, int64_t base_ns)
{
    int64_t now_ns = rig_now_ns();
    if (runs[number]++)
        return;
    delays_ns[number] = now_ns - base_ns;
    if (number >= rig.tasks)
        return;
    int64_t none = 0;
    atomic_compare_exchange_strong(&first_ns, &none, now_ns);
    if (++distinct == rig.tasks)
        rig_say("done %" PRId64 " %" PRId64 " %" PRId64, (int64_t)first_ns, now_ns, rig_cpu_us());
}

static int handle(asynq_job *job, void *arg)
{
    (void)arg;
    size_t length;
    const char *payload = asynq_job_payload(job, &length);
    uint32_t number;
    int64_t base_ns;
    memcpy(&number, payload, sizeof number);
    memcpy(&base_ns, payload + 4, sizeof base_ns);
    if (length < RIG_PAYLOAD_MIN || number >= rig.tasks + rig.held)
        rig_die("task", "a payload that is not ours");
    if (payload[12] == RIG_FAIL_ONCE && asynq_job_retry_count(job) == 0)
        return asynq_fail(job, "failed as told");
    if (payload[12] == RIG_HOLD) {
        pthread_mutex_lock(&later_lock);
        keep(&held, job);
        pthread_mutex_unlock(&later_lock);
        count_run(number, base_ns);
        if (++held_now == rig.held)
            rig_say("held");
        return ASYNQ_OUTCOME_DEFERRED;
    }
    if (payload[12] == RIG_RANDOM) {
        sleep_randomly(job);
        count_run(number, base_ns);
        return ASYNQ_OUTCOME_DEFERRED;
    }
    count_run(number, base_ns);
    return ASYNQ_OUTCOME_DONE;
}

static int64_t retry_delay(const asynq_failure *failure, void *arg)
{
    (void)failure, (void)arg;
    return rig.retry_ms;
}

static void print_log(asynq_log_level level, const char *text, void *arg)
{
    (void)level, (void)arg;
    fprintf(stderr, "asynq-rig: %s\n", text);
}

static asynq_server *start_server(const asynq_queue *queues)
{
    const asynq_route routes[] = {
        {.pattern = "bench",
         .handler = handle,
         .kind = strcmp(rig.handler, "async") == 0 ? ASYNQ_HANDLER_ASYNC : ASYNQ_HANDLER_THREAD},
        {0},
    };
    asynq_error error;
    asynq_server *server = asynq_server_new(
        &(asynq_server_options){
            .redis = rig.redis,
            .concurrency = (int)rig.concurrency,
            .queues = queues,
            .routes = routes,
            .retry_delay_ms = retry_delay,
            .park_threshold = (int)rig.park_threshold,
            .log = print_log,
            .log_level = ASYNQ_LOG_ERROR,
        },
        &error);
    if (!server || asynq_server_start(server, &error))
        rig_die("server", error.text);
    return server;
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static double delay_us(double share)
{
    return rig.tasks ? (double)delays_ns[(size_t)(share * (double)(rig.tasks - 1))] / 1000 : 0;
}

static void report(void)
{
    int64_t missing = 0, repeated = 0;
    for (int64_t i = 0; i < rig.tasks + rig.held; i++) {
        missing += runs[i] == 0;
        repeated += runs[i] > 1;
    }
    qsort(delays_ns, (size_t)rig.tasks, sizeof *delays_ns, compare_ns);
    rig_say("result missing=%" PRId64 " repeated=%" PRId64 " p50_us=%.1f p99_us=%.1f max_us=%.1f", missing, repeated,
            delay_us(0.5), delay_us(0.99), delay_us(1));
}

int rig_work(void)
{
    asynq_server *servers[MAX_SERVERS];
    asynq_queue queues[RIG_QUEUES_MAX + 1];
    pthread_t thread;
    if (rig.servers > MAX_SERVERS)
        rig_die("servers", "too many");
    runs = calloc((size_t)(rig.tasks + rig.held) + 1, 1);
    delays_ns = calloc((size_t)(rig.tasks + rig.held) + 1, sizeof *delays_ns);
    wheel_at_ms = rig_now_ns() / 1000000;
    if (!runs || !delays_ns || (rig.random_ms && pthread_create(&thread, NULL, turn_wheel, NULL)))
        rig_die("start", "out of memory");
    rig_read_queues(queues);
    rig_say("ready %" PRId64, rig_cpu_us());
    for (int64_t i = 0; i < rig.servers; i++)
        servers[i] = start_server(queues);
    for (const char *line; (line = rig_hear()) && strcmp(line, "end");)
        if (strcmp(line, "release") == 0)
            complete_all(take(&held));
        else if (strcmp(line, "cpu") == 0)
            rig_say("cpu %" PRId64, rig_cpu_us());
    for (int64_t i = 0; i < rig.servers; i++)
        asynq_server_stop(servers[i]);
    for (int64_t i = 0; i < rig.servers; i++)
        asynq_server_free(servers[i]);
    report();
    return 0;
}
