/*
 * The quick start: a private redis-server, the trace platform's worker, a few thousand tasks, and a summary.
 *
 *   quickstart [--tasks N] [--stay]
 *   quickstart enqueue --redis URI TYPE QUEUE PAYLOAD
 */
#include "../trace-worker/trace_handlers.h"

#include <getopt.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void sleep_us(int64_t us)
{
    if (us > 0)
        nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

/* ---- a private redis-server ---- */

typedef struct private_redis {
    char directory[64];
    char socket[96];
    char uri[112];
    pid_t pid;
} private_redis;

static bool redis_answers(const private_redis *redis)
{
    redisContext *context = redisConnectUnix(redis->socket);
    redisReply *reply = context && !context->err ? redisCommand(context, "PING") : NULL;
    bool answers = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (context)
        redisFree(context);
    return answers;
}

static bool redis_start(private_redis *redis)
{
    snprintf(redis->directory, sizeof redis->directory, "/tmp/asynq-quickstart-XXXXXX");
    if (!mkdtemp(redis->directory))
        return false;
    snprintf(redis->socket, sizeof redis->socket, "%s/redis.sock", redis->directory);
    snprintf(redis->uri, sizeof redis->uri, "unix://%s", redis->socket);
    redis->pid = fork();
    if (redis->pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL); /* what we wait for is blocked here, and would be there */
        setpgid(0, 0);                         /* Ctrl-C is for us; we end it */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", redis->socket, "--save", "", "--dir",
               redis->directory, "--loglevel", "warning", "--logfile", "redis.log", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; redis->pid > 0 && i < 500; i++) {
        if (redis_answers(redis))
            return true;
        sleep_us(10000);
    }
    return false;
}

static void redis_stop(private_redis *redis)
{
    char path[128];
    if (redis->pid > 0) {
        kill(redis->pid, SIGTERM);
        waitpid(redis->pid, NULL, 0);
    }
    unlink(redis->socket);
    snprintf(path, sizeof path, "%s/redis.log", redis->directory);
    unlink(path);
    rmdir(redis->directory);
}

/* ---- what the tasks do, counted by a middleware around the worker's handlers ---- */

enum { TYPES = 7, MAX_SAMPLES = 1 << 20 };

typedef struct type_count {
    const char *type;
    int enqueued, done, retried, archived, revoked;
} type_count;

typedef struct tally {
    pthread_mutex_t lock;
    type_count types[TYPES];
    int64_t *pick_up_us; /* from the enqueue call to the handler's start, first attempts only */
    size_t samples;
} tally;

static type_count *count_of(tally *t, const char *type)
{
    for (int i = 0; i < TYPES; i++)
        if (strcmp(t->types[i].type, type) == 0)
            return &t->types[i];
    return &t->types[0];
}

static void count_outcome(tally *t, const asynq_job *job, int outcome, int64_t pick_up_us)
{
    pthread_mutex_lock(&t->lock);
    type_count *count = count_of(t, asynq_job_type(job));
    if (outcome == ASYNQ_OUTCOME_DONE)
        count->done++;
    else if (outcome == ASYNQ_OUTCOME_REVOKED)
        count->revoked++;
    else if (outcome == ASYNQ_OUTCOME_SKIP_RETRY || asynq_job_retry_count(job) >= asynq_job_max_retry(job))
        count->archived++;
    else
        count->retried++;
    if (asynq_job_retry_count(job) == 0 && t->samples < MAX_SAMPLES)
        t->pick_up_us[t->samples++] = pick_up_us;
    pthread_mutex_unlock(&t->lock);
}

static int measure(asynq_job *job, asynq_next *next, void *arg)
{
    int64_t started_us = now_us();
    const char *enqueued = asynq_job_header(job, "enqueued-at-us");
    int64_t pick_up_us = enqueued ? started_us - strtoll(enqueued, NULL, 10) : 0;
    int outcome = asynq_next_run(next, job);
    count_outcome(arg, job, outcome, pick_up_us);
    return outcome;
}

/* ---- enqueueing ---- */

typedef struct sample_task {
    const char *type, *queue;
    const char *payloads[10]; /* taken in turn; some fail */
} sample_task;

static const sample_task sample_tasks[TYPES] = {
    {"cost:calculate",
     "critical",
     {"{\"model\":\"small\",\"input_tokens\":1200,\"output_tokens\":300}",
      "{\"model\":\"large\",\"input_tokens\":90000,\"output_tokens\":4000}",
      "{\"model\":\"medium\",\"input_tokens\":5,\"output_tokens\":7}"}},
    {"notify:send",
     "critical",
     {"{\"to\":\"ada@example.com\"}", "{\"to\":\"grace@example.com\"}", "{\"to\":\"nobody\"}"}},
    {"eval:run",
     "default",
     {"{\"cases\":[{\"expected\":\"a\",\"answer\":\"a\"},{\"expected\":\"b\",\"answer\":\"c\"}]}"}},
    {"otel:export", "default", {"{\"spans\":[{\"name\":\"http\",\"ms\":12},{\"name\":\"sql\",\"ms\":3}]}"}},
    {"webhook:deliver",
     "default",
     {"{\"url\":\"https://hooks.example.com/a\"}", "{\"url\":\"https://hooks.example.com/b\"}",
      "{\"url\":\"https://hooks.example.com/c\",\"answers\":503,\"failures\":1}",
      "{\"url\":\"https://hooks.example.com/d\"}", "{\"url\":\"https://hooks.example.com/e\",\"answers\":404}",
      "{\"url\":\"https://hooks.example.com/f\"}", "{\"url\":\"https://hooks.example.com/g\",\"answers\":503}"}},
    {"anomaly:detect", "low", {"{\"values\":[1,2,1,2,1,2,1,2,1,2,1,2,90]}"}},
    {"cleanup:traces",
     "low",
     {"{\"older_than_days\":30}", "{\"older_than_days\":7}", "{\"older_than_days\":1}", "{\"older_than_days\":0}"}},
};

static const char *payload_for(const sample_task *sample, int n)
{
    int count = 0;
    while (count < 10 && sample->payloads[count])
        count++;
    return sample->payloads[n % count];
}

static void enqueued(const asynq_enqueued *result, void *arg)
{
    (void)arg;
    if (result->error.code)
        fprintf(stderr, "\nenqueue: %s\n", result->error.text);
}

/* A thousand per second, so that pick-up is measured and not the length of a queue. */
static bool enqueue_all(asynq_client *client, tally *t, int tasks, void (*progress)(tally *, int, int))
{
    int64_t begin_us = now_us();
    for (int n = 0; n < tasks; n++) {
        const sample_task *sample = &sample_tasks[n % TYPES];
        char at[24];
        asynq_error error;
        sleep_us(begin_us + INT64_C(1000) * n - now_us());
        snprintf(at, sizeof at, "%" PRId64, now_us());
        const char *payload = payload_for(sample, n / TYPES);
        asynq_task task = {
            .type = sample->type,
            .payload = payload,
            .payload_length = strlen(payload),
            .options = {.queue = sample->queue,
                        .max_retry = 3,
                        .timeout_ms = ASYNQ_MINUTES(5),
                        .headers = &(asynq_header){"enqueued-at-us", at},
                        .header_count = 1},
        };
        if (asynq_enqueue_async(client, &task, NULL, enqueued, NULL, &error)) {
            fprintf(stderr, "\nenqueue: %s\n", error.text);
            return false;
        }
        pthread_mutex_lock(&t->lock);
        count_of(t, sample->type)->enqueued++;
        pthread_mutex_unlock(&t->lock);
        if (n % 500 == 499)
            progress(t, n + 1, tasks);
    }
    asynq_client_flush(client);
    return true;
}

/* ---- progress and summary ---- */

static type_count total_of(tally *t)
{
    type_count total = {.type = "all"};
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < TYPES; i++) {
        total.enqueued += t->types[i].enqueued;
        total.done += t->types[i].done;
        total.retried += t->types[i].retried;
        total.archived += t->types[i].archived;
        total.revoked += t->types[i].revoked;
    }
    pthread_mutex_unlock(&t->lock);
    return total;
}

static bool is_over(const type_count *total)
{
    return total->done + total->archived + total->revoked >= total->enqueued;
}

static void show_progress(tally *t, int sent, int tasks)
{
    type_count total = total_of(t);
    printf("%s  %d of %d enqueued, %d done, %d retried, %d archived, %d revoked%s", isatty(1) ? "\r" : "", sent, tasks,
           total.done, total.retried, total.archived, total.revoked, isatty(1) ? "   " : "\n");
    fflush(stdout);
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static void show_summary(tally *t)
{
    printf("\n\n%-18s %9s %9s %9s %9s %9s\n", "type", "enqueued", "done", "retried", "archived", "revoked");
    type_count total = total_of(t);
    for (int i = 0; i <= TYPES; i++) {
        const type_count *row = i < TYPES ? &t->types[i] : &total;
        printf("%-18s %9d %9d %9d %9d %9d\n", row->type, row->enqueued, row->done, row->retried, row->archived,
               row->revoked);
    }
    qsort(t->pick_up_us, t->samples, sizeof *t->pick_up_us, compare);
    if (t->samples)
        printf(
            "\npick-up, from the enqueue call to the handler's start: p50 %.2f ms, p99 %.2f ms (%zu first attempts)\n",
            (double)t->pick_up_us[t->samples / 2] / 1000, (double)t->pick_up_us[t->samples * 99 / 100] / 1000,
            t->samples);
}

static long long redis_number(redisContext *context, const char *command)
{
    redisReply *reply = redisCommand(context, command);
    long long number = reply && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
    freeReplyObject(reply);
    return number;
}

/* Redis must agree with what the handlers counted. */
static bool redis_agrees(const private_redis *redis, tally *t)
{
    static const char *const queues[] = {"critical", "default", "low"};
    static const char *const states[] = {"pending", "active", "retry"};
    type_count total = total_of(t);
    long long archived = 0, left = 0;
    redisContext *context = redisConnectUnix(redis->socket);
    for (int i = 0; i < 3; i++) {
        char command[96];
        snprintf(command, sizeof command, "ZCARD asynq:{%s}:archived", queues[i]);
        archived += redis_number(context, command);
        for (int j = 0; j < 3; j++) {
            snprintf(command, sizeof command, j < 2 ? "LLEN asynq:{%s}:%s" : "ZCARD asynq:{%s}:%s", queues[i],
                     states[j]);
            left += redis_number(context, command);
        }
    }
    redisFree(context);
    printf("in Redis: %lld archived, %lld left in the queues\n", archived, left);
    return archived == total.archived && left == 0;
}

/* ---- the commands ---- */

static int enqueue_one(int argc, char **argv)
{
    const char *redis = NULL;
    static const struct option flags[] = {{"redis", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
    for (int flag; (flag = getopt_long(argc, argv, "r:", flags, NULL)) != -1;)
        if (flag == 'r')
            redis = optarg;
    if (argc - optind != 3) {
        fprintf(stderr, "usage: ./quickstart enqueue --redis URI TYPE QUEUE PAYLOAD\n");
        return 2;
    }
    asynq_error error;
    asynq_enqueued result;
    asynq_client *client = asynq_client_new(&(asynq_client_options){.redis = redis}, &error);
    asynq_task task = {.type = argv[optind],
                       .payload = argv[optind + 2],
                       .payload_length = strlen(argv[optind + 2]),
                       .options = {.queue = argv[optind + 1], .max_retry = 3, .retention_ms = ASYNQ_HOURS(1)}};
    int status = client ? asynq_enqueue(client, &task, NULL, &result, &error) : error.code;
    asynq_client_free(client);
    if (status)
        fprintf(stderr, "%s\n", error.text);
    else
        printf("enqueued %s\n", result.id);
    return status ? 1 : 0;
}

static void explain_stay(const private_redis *redis)
{
    printf("\nThe worker stays up until Ctrl-C. Enqueue from another terminal:\n\n"
           "  ./quickstart enqueue --redis %s cost:calculate critical '{\"model\":\"small\",\"input_tokens\":1000}'\n\n"
           "or from Go:\n\n"
           "  cd contrib/examples/trace-service-go && go run . -socket %s -count 70\n\n"
           "and look at the result:\n\n"
           "  redis-cli -s %s zrange 'asynq:{critical}:completed' 0 -1\n",
           redis->uri, redis->socket, redis->socket);
    fflush(stdout);
}

static asynq_server *start_worker(const private_redis *redis, tally *t, asynq_mux *mux, asynq_error *error)
{
    int status = mux ? asynq_mux_use(mux, measure, t, error) : ASYNQ_E_NO_MEMORY;
    for (const asynq_route *route = trace_routes; !status && route->pattern; route++)
        status = asynq_mux_handle(mux, route, error);
    if (status)
        return NULL;
    asynq_server *server = asynq_server_new(&(asynq_server_options){.redis = redis->uri,
                                                                    .concurrency = 10,
                                                                    .queues = trace_queues,
                                                                    .mux = mux,
                                                                    .retry_delay_ms = trace_retry_delay_ms},
                                            error);
    if (server && asynq_server_start(server, error)) {
        asynq_server_free(server);
        server = NULL;
    }
    return server;
}

static void wait_until_over(tally *t)
{
    for (int i = 0; i < 600; i++) {
        type_count total = total_of(t);
        if (is_over(&total))
            return;
        sleep_us(100000);
        if (i % 10 == 9)
            show_progress(t, total.enqueued, total.enqueued);
    }
}

static int run(int tasks, bool stay)
{
    asynq_error error = {0};
    tally t = {.lock = PTHREAD_MUTEX_INITIALIZER, .pick_up_us = calloc(MAX_SAMPLES, sizeof(int64_t))};
    for (int i = 0; i < TYPES; i++)
        t.types[i].type = sample_tasks[i].type;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    if (stay)
        pthread_sigmask(SIG_BLOCK, &ends, NULL);

    private_redis redis = {0};
    if (!redis_start(&redis)) {
        fprintf(stderr, "redis-server cannot be started; is it installed?\n");
        return 1;
    }
    printf("Redis listens on %s; the trace worker runs %d tasks of %d types, 10 at a time.\n", redis.socket, tasks,
           TYPES);
    asynq_mux *mux = asynq_mux_new();
    asynq_server *server = start_worker(&redis, &t, mux, &error);
    asynq_client *client = server ? asynq_client_new(&(asynq_client_options){.redis = redis.uri}, &error) : NULL;
    bool fine = client && enqueue_all(client, &t, tasks, show_progress);
    if (!client)
        fprintf(stderr, "%s\n", error.text);
    if (fine) {
        wait_until_over(&t);
        show_progress(&t, tasks, tasks);
        sleep_us(200000); /* the last outcomes are on their way */
        show_summary(&t);
        type_count total = total_of(&t);
        fine = is_over(&total) && redis_agrees(&redis, &t);
        printf("%s\n", fine ? "all tasks ended as they should" : "NOT all tasks ended as they should");
    }
    if (fine && stay) {
        int signal;
        explain_stay(&redis);
        sigwait(&ends, &signal);
    }
    asynq_client_free(client);
    asynq_server_free(server);
    asynq_mux_free(mux);
    redis_stop(&redis);
    free(t.pick_up_us);
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {
        {"tasks", required_argument, NULL, 't'}, {"stay", no_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    int tasks = 3500;
    bool stay = false;
    if (argc > 1 && strcmp(argv[1], "enqueue") == 0)
        return enqueue_one(argc - 1, argv + 1);
    for (int flag; (flag = getopt_long(argc, argv, "t:s", flags, NULL)) != -1;) {
        if (flag == 't')
            tasks = atoi(optarg);
        else if (flag == 's')
            stay = true;
        else
            return 2;
    }
    return run(tasks > 0 ? tasks : 3500, stay);
}
