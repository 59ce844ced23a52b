/*
 * Tasks that their server has lost: those of servers whose sessions are over (peers.c), leases that ended more than the
 * allowance for clock differences ago, and active tasks without any lease. These are given an ended lease when they
 * were seen without one twice. A lost task is put back and is the next to run; it has not failed, but how often it was
 * lost is counted, and a task that ends its servers again and again is archived. Or it is retried as in Go, where an
 * option says so. And sets of tasks whose aggregation was not finished.
 */
#include "server/recoverer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/saturate.h"
#include "broker/group.h"
#include "broker/session.h"
#include "server/outcome.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

static const char *const upkeep_read[] = {"EXISTS", "KEY", NULL};

enum {
    RECOVERY_PERIOD_MS = 5000,
    RECOVERY_MORE_MS = 20,
    ORPHAN_SCAN_EVERY = 3, /* periods */
    UPKEEP_MAX = 256,      /* queues in a period */
    CLEAN_PASSES = 2       /* while tasks leave the list, one that goes over it may miss some */
};

static const char lease_expired[] = "asynq: task lease expired";

/* ---- what becomes of a task ---- */

static bool losses_are_too_many(const asynq_server *server, int64_t losses)
{
    return server->options.max_losses > 0 && losses >= server->options.max_losses;
}

/* "" if nobody knows. */
static void describe_server(const asynq_server *server, bytes score, char *text, size_t size)
{
    bytes holder = peers_identity(server, broker_lease_server(score));
    snprintf(text, size, "%s%.*s", holder.length ? " " : "", BYTES_ARGS(holder));
}

static void recoverer_archive(asynq_job *job, const char *gone, int64_t losses)
{
    char text[400];
    snprintf(text, sizeof text,
             "lost %" PRId64 " times: its server%s was killed or cut off from Redis while it was running", losses,
             gone);
    log_event(&job->queue->server->log, LOG_TASK_RECOVERED, "%s (%s) of queue \"%s\": its server%s is gone; archived",
              job->id, job->type, job->queue->name, gone);
    outcome_decide(job, ASYNQ_OUTCOME_SKIP_RETRY, text);
}

static void recoverer_decide(asynq_job *job, const expired_lease *expired)
{
    asynq_server *server = job->queue->server;
    server->stats.tasks_recovered++;
    int64_t losses = saturating_add(expired->losses, 1);
    char gone[160];
    describe_server(server, expired->score, gone, sizeof gone);
    if (server->options.lost_tasks == ASYNQ_LOST_RETRY) {
        log_event(&server->log, LOG_TASK_RECOVERED, "%s (%s) of queue \"%s\": its server%s is gone; %s", job->id,
                  job->type, job->queue->name, gone,
                  job->message.retried >= job->message.retry ? "archived" : "retried");
        outcome_decide(job, ASYNQ_OUTCOME_FAILED, lease_expired);
    } else if (losses_are_too_many(server, losses)) {
        recoverer_archive(job, gone, losses);
    } else {
        log_event(&server->log, LOG_TASK_RECOVERED,
                  "%s (%s) of queue \"%s\": its server%s is gone; requeued, loss %" PRId64, job->id, job->type,
                  job->queue->name, gone, losses);
        job->way = SETTLE_LOST;
        job_move(job, JOB_UNSETTLED);
    }
}

/* ---- ended leases ---- */

/* An id without a task behind it, while it is being dropped. */
typedef struct dropped_id {
    served_queue *queue;
    char *id;
} dropped_id;

static void id_dropped(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)reply;
    dropped_id *dropped = arg;
    if (status)
        queue_complain(dropped->queue, "drop an active id that has no task behind it", error);
    else
        queue_tell_dropped(dropped->queue, bytes_of(dropped->id));
    queue_let_go(dropped->queue);
    mem_free(dropped->id);
    mem_free(dropped);
}

static void drop_id(served_queue *queue, bytes id)
{
    dropped_id *dropped = mem_alloc(sizeof *dropped);
    if (dropped) {
        *dropped = (dropped_id){queue, mem_dup(id.data, id.length)};
        if (dropped->id && broker_drop_active(queue->broker, &queue->keys, id, id_dropped, dropped) == 0) {
            queue_hold(queue);
            return;
        }
        mem_free(dropped->id);
    }
    mem_free(dropped);
    queue->recovery.expired_skipped++; /* the next look finds it again */
}

static void recover_one(served_queue *queue, const expired_lease *expired)
{
    asynq_server *server = queue->server;
    if (books_find(queue, expired->id)) {
        queue->recovery.expired_skipped++;
        return;
    }
    if (!expired->message.data) {
        drop_id(queue, expired->id);
        return;
    }
    asynq_error error = {0};
    asynq_job *job = job_new(server->port, expired->message, &error);
    if (!job || !job_set_id(job, expired->id)) {
        if (error.code == ASYNQ_E_MALFORMED)
            outcome_archive_malformed(queue, expired->id, expired->message, error.text, (lease_score){0},
                                      expired->score);
        else
            queue->recovery.expired_skipped++;
        if (job)
            job_unref(job);
        return;
    }
    /* So long we try to write its outcome. */
    held_lease held = {.ends_at_ms = loop_steady_ms(server->loop) + BROKER_LEASE_S * MS_PER_SECOND};
    if (!job_set_settle_score(job, expired->score) || !books_enter(queue, job, &held)) {
        job_unref(job); /* out of memory: the next look finds it again */
        return;
    }
    recoverer_decide(job, expired);
}

static bool expired_listed(served_queue *queue, const redis_value *reply)
{
    size_t count = broker_expired_count(reply);
    for (size_t i = 0; i < count; i++) {
        expired_lease expired = broker_expired_at(reply, i);
        recover_one(queue, &expired);
    }
    queue->recovery.expired_more = count > 0;
    if (queue->recovery.expired_more && !loop_timer_is_set(&queue->server->recovery.more))
        loop_timer_set(&queue->server->recovery.more, RECOVERY_MORE_MS);
    return false; /* first those are settled, see recovery_goes_on() */
}

static int expired_list(served_queue *queue, broker_cb replied, void *arg)
{
    asynq_server *server = queue->server;
    return broker_list_expired(queue->broker, &queue->keys, loop_now_ns(server->loop), queue->recovery.expired_skipped,
                               replied, arg);
}

const duty duty_recover = {.what = "look for lost tasks", .send = expired_list, .replied = expired_listed};

static bool recovers_any(const served_queue *queue)
{
    const asynq_job *lists[] = {queue->books.unsettled, queue->books.settling}, *job;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        DL_FOREACH(lists[i], job)
            if (job->settle_score)
                return true;
    return false;
}

/*
 * The next chunk of ended leases, when those of the one before are settled: until then they stay in the set, and we
 * hold no more of them than a chunk.
 */
static void recovery_goes_on(void *arg)
{
    asynq_server *server = arg;
    bool goes_on = false;
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_IN_UPKEEP, queue, next)
    {
        bool is_busy = (queue->recovery.expired_more || queue->recovery.take_back_waits) && recovers_any(queue);
        if (queue->recovery.expired_more && !is_busy) {
            queue->recovery.expired_more = false;
            duty_run(queue, DUTY_RECOVER);
        }
        if (queue->recovery.take_back_waits && !is_busy) {
            queue->recovery.take_back_waits = false;
            duty_run(queue, DUTY_TAKE_BACK);
        }
        goes_on |= is_busy;
    }
    if (goes_on)
        loop_timer_set(&server->recovery.more, RECOVERY_MORE_MS);
}

/* ---- tasks of servers whose sessions are over ---- */

static int take_back_send(served_queue *queue, broker_cb replied, void *arg)
{
    asynq_server *server = queue->server;
    uint32_t numbers[LEASE_SERVER_MAX];
    const take_back_order order = {
        .now_ns = loop_now_ns(server->loop),
        .first = queue->recovery.take_back_at,
        .max_losses = server->options.max_losses > 0 ? server->options.max_losses : 0,
        .is_list_only = server->options.lost_tasks == ASYNQ_LOST_RETRY,
        .numbers = numbers,
        .count = peers_gone(server, numbers),
    };
    return broker_take_back(queue->broker, &queue->keys, &order, replied, arg);
}

static void take_back_log(served_queue *queue, const taken_back *task)
{
    bytes gone = peers_identity(queue->server, (int)task->number);
    peers_tell_gone(queue->server, task->number);
    log_event(&queue->server->log, LOG_TASK_RECOVERED,
              "%.*s of queue \"%s\": its server %.*s is gone; requeued, loss %" PRId64, BYTES_ARGS(task->id),
              queue->name, BYTES_ARGS(gone), task->losses);
}

static void take_back_pass_over(served_queue *queue)
{
    queue_recovery *own = &queue->recovery;
    own->clean_passes = own->take_back_found ? 0 : own->clean_passes + 1;
    own->take_back_at = 0;
    own->take_back_found = false;
    if (own->clean_passes >= CLEAN_PASSES)
        own->looked_for = queue->server->peers.version;
}

/* Those that are only listed are held here until they are settled, and then are gone from the list. */
static void take_back_wait(served_queue *queue)
{
    queue->recovery.take_back_at = 0;
    queue->recovery.take_back_waits = true;
    if (!loop_timer_is_set(&queue->server->recovery.more))
        loop_timer_set(&queue->server->recovery.more, RECOVERY_MORE_MS);
}

static bool take_back_replied(served_queue *queue, const redis_value *reply)
{
    if (!broker_take_back_is_sound(reply))
        return false;
    const redis_value *listed = broker_take_back_listed(reply);
    size_t back = broker_taken_back_count(reply);
    for (size_t i = 0; i < back; i++) {
        taken_back task = broker_taken_back_at(reply, i);
        take_back_log(queue, &task);
    }
    for (size_t i = 0; i < broker_expired_count(listed); i++) {
        expired_lease expired = broker_expired_at(listed, i);
        recover_one(queue, &expired);
    }
    queue->server->stats.tasks_recovered += (int64_t)back;
    queue->recovery.take_back_found |= back || broker_expired_count(listed);
    queue->recovery.take_back_at = broker_take_back_next(reply);
    if (queue->recovery.take_back_at < 0)
        take_back_pass_over(queue);
    else if (broker_expired_count(listed))
        take_back_wait(queue);
    else
        return true;
    return false;
}

const duty duty_take_back = {
    .what = "put tasks of a server back that is gone", .send = take_back_send, .replied = take_back_replied};

/* A pass that is not over goes on by itself, unless it has met an error. */
static void take_back_begin(served_queue *queue)
{
    if (parking_skips_upkeep(queue) || queue->recovery.looked_for == queue->server->peers.version ||
        queue->recovery.take_back_waits)
        return;
    duty_run(queue, DUTY_TAKE_BACK);
}

void recoverer_take_back(asynq_server *server)
{
    int left = UPKEEP_MAX;
    served_queue *queue, *next;
    QUEUES_FOREACH_SAFE(server, QUEUES_IN_UPKEEP, queue, next)
    if (left-- > 0)
        take_back_begin(queue);
}

/* ---- active without lease ---- */

static void orphans_clear(orphan_list *list)
{
    while (list->count)
        mem_free(list->ids[--list->count]);
    mem_free(list->ids);
    list->ids = NULL;
}

static bool orphans_contain(const orphan_list *list, bytes id)
{
    for (size_t i = 0; i < list->count; i++)
        if (bytes_equal(bytes_of(list->ids[i]), id))
            return true;
    return false;
}

static void orphans_add(orphan_list *list, bytes id)
{
    if (!list->ids)
        list->ids = mem_calloc(ORPHANS_MAX, sizeof *list->ids);
    char *copy = list->ids && list->count < ORPHANS_MAX ? mem_dup(id.data, id.length) : NULL;
    if (copy)
        list->ids[list->count++] = copy;
}

static void orphan_seen(served_queue *queue, bytes id)
{
    asynq_server *server = queue->server;
    if (!orphans_contain(&queue->recovery.orphans_before, id)) {
        orphans_add(&queue->recovery.orphans_now, id);
        return;
    }
    int64_t long_ago = floor_div(loop_now_ns(server->loop), NS_PER_SECOND) - BROKER_RECOVERY_ALLOWANCE_S - 1;
    log_event_repeated(&server->log, &queue->odd_tasks, LOG_LEASE_MISSING, "queue \"%s\": %.*s; it is recovered",
                       queue->name, BYTES_ARGS(id));
    (void)!broker_adopt(queue->broker, &queue->keys, long_ago, queue->recovery.orphan_scan_at, id, NULL,
                        NULL); /* or at the next look */
}

static void orphan_scan_go_on(served_queue *queue);

static void orphans_listed(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    (void)error; /* a key of the wrong type was reported by expired_listed */
    served_queue *queue = arg;
    size_t looked_at = status ? 0 : (size_t)redis_value_integer(redis_value_at(reply, 0));
    for (size_t i = 1; !status && i < reply->count; i++)
        orphan_seen(queue, reply->elements[i].text);
    if (looked_at == BROKER_CHUNK_TASKS) {
        queue->recovery.orphan_scan_at += BROKER_CHUNK_TASKS;
        orphan_scan_go_on(queue);
        return;
    }
    queue->recovery.orphan_scan_at = -1;
    orphans_clear(&queue->recovery.orphans_before);
    queue->recovery.orphans_before = queue->recovery.orphans_now;
    queue->recovery.orphans_now = (orphan_list){0};
}

static void orphan_scan_go_on(served_queue *queue)
{
    asynq_server *server = queue->server;
    int64_t first = queue->recovery.orphan_scan_at;
    if (server->phase || queue_is_leaving(queue) || !broker_has_queue(queue->broker, &queue->keys) ||
        broker_list_orphans(queue->broker, &queue->keys, first, first + BROKER_CHUNK_TASKS - 1, orphans_listed, queue))
        queue->recovery.orphan_scan_at = -1;
}

static void orphan_scan_start(served_queue *queue)
{
    if (queue->recovery.orphan_scan_at >= 0)
        return;
    orphans_clear(&queue->recovery.orphans_now);
    queue->recovery.orphan_scan_at = 0;
    orphan_scan_go_on(queue);
}

/* ---- aggregation sets whose server has gone ---- */

static int sets_reclaim(served_queue *queue, broker_cb replied, void *arg)
{
    asynq_server *server = queue->server;
    return broker_reclaim_sets(queue->broker, &queue->keys, loop_now_ns(server->loop), replied, arg);
}

static bool sets_reclaimed(served_queue *queue, const redis_value *reply)
{
    for (size_t i = 0; i < broker_reclaimed_count(reply); i++)
        log_event(&queue->server->log, LOG_GROUP_RECOVERED,
                  "queue \"%s\": %.*s was not finished; its tasks are in the group again", queue->name,
                  BYTES_ARGS(broker_reclaimed_set(reply, i)));
    return broker_reclaim_goes_on(reply);
}

const duty duty_reclaim_sets = {
    .what = "take groups back from a lost aggregation", .send = sets_reclaim, .replied = sets_reclaimed};

static int sets_clear_some(served_queue *queue, broker_cb replied, void *arg)
{
    return broker_clear_set(queue->broker, &queue->keys, replied, arg);
}

static bool sets_cleared(served_queue *queue, const redis_value *reply)
{
    (void)queue;
    return redis_value_integer(reply) == 1;
}

const duty duty_clear_sets = {.what = "delete the tasks of a finished aggregation",
                              .while_jobs_end = true,
                              .send = sets_clear_some,
                              .replied = sets_cleared};

/* ---- which queues there is something to do for ---- */

static void upkeep_do(served_queue *queue)
{
    if (parking_skips_upkeep(queue))
        return;
    if (!queue->recovery.expired_more)
        queue->recovery.expired_skipped = 0;
    if (queue->recovery.rounds++ % ORPHAN_SCAN_EVERY == 0)
        orphan_scan_start(queue);
    duty_run(queue, DUTY_RECOVER);
    duty_run(queue, DUTY_STALE);
    duty_run(queue, DUTY_RECLAIM_SETS);
    duty_run(queue, DUTY_CLEAR_SETS);
}

/* Returns `is_there`. */
static bool upkeep_set(served_queue *queue, bool is_there)
{
    if (is_there)
        peers_look_soon(queue->server);
    return queue_list_set(queue, QUEUES_IN_UPKEEP, is_there);
}

/* While nothing is active and no set is being aggregated, it is enough to be told when that changes. */
static void upkeep_value(void *arg, const redis_value *value)
{
    served_queue *queue = arg;
    if (upkeep_set(queue, redis_value_integer(value) > 0))
        upkeep_do(queue);
    else
        queue->recovery.rounds = 0;
}

static void upkeep_changed(void *arg)
{
    served_queue *queue = arg;
    if (!queue_is_leaving(queue))
        (void)upkeep_set(queue, true);
}

static void upkeep_ask_or_do(served_queue *queue)
{
    bool is_asked = !queue->books.jobs && queue->recovery.watch.state == WATCH_UNARMED &&
                    subscriber_is_tracking(queue) && watch_arm(queue, &queue->recovery.watch);
    if (!is_asked)
        upkeep_do(queue);
}

void recoverer_look_at(served_queue *queue)
{
    bool is_asked = subscriber_is_tracking(queue) && watch_arm(queue, &queue->recovery.watch);
    if (!is_asked)
        (void)upkeep_set(queue, true);
}

/* ---- the timer ---- */

/* Where very many are busy, some of them in each period, in turn. */
static void recovery_fired(void *arg)
{
    asynq_server *server = arg;
    served_queue *last =
        server->lists[QUEUES_IN_UPKEEP] ? server->lists[QUEUES_IN_UPKEEP]->links[QUEUES_IN_UPKEEP].prev : NULL;
    bool is_last = !last;
    for (int left = UPKEEP_MAX; left && !is_last; left--) {
        served_queue *queue = server->lists[QUEUES_IN_UPKEEP];
        is_last = queue == last;
        queue_list_remove(queue, QUEUES_IN_UPKEEP);
        queue_list_add(queue, QUEUES_IN_UPKEEP);
        upkeep_ask_or_do(queue);
    }
    loop_timer_set(&server->recovery.timer, RECOVERY_PERIOD_MS / 2 + server_random_below(server, RECOVERY_PERIOD_MS));
}

bool recoverer_is_busy(const served_queue *queue)
{
    return queue->recovery.orphan_scan_at >= 0;
}

int recoverer_queue_start(served_queue *queue)
{
    queue->recovery.orphan_scan_at = -1;
    queue->recovery.watch = (key_watch){
        .key = queue->keys.key[QUEUE_KEY_ACTIVE],
        .also = &queue->keys.key[QUEUE_KEY_AGGREGATION_SETS],
        .read = upkeep_read,
        .value = upkeep_value,
        .changed = upkeep_changed,
        .arg = queue,
    };
    (void)upkeep_set(queue, true);
    return ASYNQ_OK;
}

void recoverer_queue_stop(served_queue *queue)
{
    orphans_clear(&queue->recovery.orphans_before);
    orphans_clear(&queue->recovery.orphans_now);
}

int recoverer_start(asynq_server *server)
{
    loop_timer_init(server->loop, &server->recovery.timer, recovery_fired, server);
    loop_timer_init(server->loop, &server->recovery.more, recovery_goes_on, server);
    return ASYNQ_OK;
}

void recoverer_look(asynq_server *server)
{
    loop_timer_set(&server->recovery.timer, 0);
}

void recoverer_stop(asynq_server *server)
{
    loop_timer_cancel(&server->recovery.timer);
    loop_timer_cancel(&server->recovery.more);
}
