/* Running, archiving and deleting tasks by hand, and deleting queues. */
#include "inspect/record.h"

#include "base/clock.h"
#include "base/error.h"

#include <asynq/fsck.h>
#include <time.h>

static int check_action(asynq_action action, asynq_error *error)
{
    if ((int)action < 0 || action > ASYNQ_ACTION_DELETE)
        return error_set(error, ASYNQ_E_INVALID, "%d is not an action", (int)action);
    return ASYNQ_OK;
}

/* Sends one script. The reply lives until the next command. */
static int steer(asynq_inspector *inspector, const queue_keys *keys, steer_call *what, const redis_value **reply,
                 asynq_error *error)
{
    what->now_ns = clock_now_ns();
    inspect_call call = inspect_begin(inspector, INSPECT_CHANGE, error);
    while (inspect_again(&call))
        call.sent = broker_steer(&inspector->broker, keys, what, inspect_replied, inspector);
    *reply = call.reply;
    return call.status;
}

/* ---- one task ---- */

/* The rank of a pending task, found piece by piece; below 0: it is not there. New tasks shift it a little meanwhile. */
static int find_pending(asynq_inspector *inspector, const queue_keys *keys, bytes id, int64_t *rank, asynq_error *error)
{
    int64_t total = 1;
    *rank = -1;
    for (int64_t first = 0; first < total && *rank < 0; first += BROKER_FIND_PLACES) {
        inspect_call call = inspect_begin(inspector, INSPECT_READ, error);
        while (inspect_again(&call))
            call.sent = broker_find_pending(&inspector->broker, keys, id, first, inspect_replied, inspector);
        if (call.status)
            return call.status;
        total = broker_pending_count(call.reply);
        *rank = broker_found_rank(call.reply);
    }
    return ASYNQ_OK;
}

/* Acts on one task, which is searched if it is pending in a long queue. `*result` is a steer_result. */
static int steer_one(asynq_inspector *inspector, const queue_keys *keys, asynq_action action, bytes id, int *result,
                     asynq_error *error)
{
    enum { SEARCHES_MAX = 3 };
    steer_call what = {.action = action, .ids = &id, .near = -1, .count = 1};
    for (int searches = 0;; searches++) {
        const redis_value *reply;
        int status = steer(inspector, keys, &what, &reply, error);
        if (status)
            return status;
        *result = broker_result_at(reply, 1);
        if (*result != STEER_TO_BE_SOUGHT || searches == SEARCHES_MAX)
            return ASYNQ_OK;
        status = find_pending(inspector, keys, id, &what.near, error);
        if (status)
            return status;
        if (what.near < 0)
            *result = STEER_MISPLACED;
        if (what.near < 0)
            return ASYNQ_OK;
    }
}

static int explain(int result, const char *id, asynq_error *error)
{
    switch (result) {
    case STEER_OK:
        return ASYNQ_OK;
    case STEER_NO_TASK:
        return error_set(error, ASYNQ_E_TASK_NOT_FOUND, "task \"%.150s\" not found", id);
    case STEER_ACTIVE:
        return error_set(error, ASYNQ_E_TASK_ACTIVE, "task \"%.150s\" is active; cancel it instead", id);
    case STEER_PENDING_ALREADY:
        return error_set(error, ASYNQ_E_ALREADY, "task \"%.150s\" is already in pending state", id);
    case STEER_ARCHIVED_ALREADY:
        return error_set(error, ASYNQ_E_ALREADY, "task \"%.150s\" is already archived", id);
    case STEER_MISPLACED:
    case STEER_TO_BE_SOUGHT:
        return error_set(error, ASYNQ_E_STATE,
                         "task \"%.100s\" does not stand where its state says: it is being aggregated or moved at this "
                         "moment, or broken",
                         id);
    default:
        return error_set(error, ASYNQ_E_MALFORMED, "task \"%.100s\" has no state that is known", id);
    }
}

int asynq_inspector_act(asynq_inspector *inspector, asynq_action action, const char *queue, const char *id,
                        asynq_error *error)
{
    queue_keys keys;
    int status = check_action(action, error);
    if (!status)
        status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    int result;
    status = steer_one(inspector, &keys, action, bytes_of(id), &result, error);
    if (!status)
        status = explain(result, id, error);
    queue_keys_clear(&keys);
    return status;
}

/* ---- many ---- */

typedef struct bulk {
    walk walk;
    asynq_action action;
    asynq_act_result *result;
} bulk;

/* Counts what came of a call. Returns how many were done. */
static size_t bulk_count(bulk *b, const redis_value *reply)
{
    size_t done = 0;
    for (size_t i = 1; i < reply->count; i++)
        done += broker_result_at(reply, i) == STEER_OK;
    b->result->dropped += broker_result_at(reply, 0);
    b->result->done += (int64_t)done;
    b->result->failed += (int64_t)(reply->count - 1 - done);
    return done;
}

/*
 * One step of many, and then a rest as long as the step took: others have Redis for half of the time. It also lets
 * Redis's allocator give memory back between the steps; without it one of 10,000 takes 5 to 9 ms.
 */
static int steer_and_rest(bulk *b, steer_call *what, const redis_value **reply, asynq_error *error)
{
    enum { REST_MAX_MS = 20 };
    int64_t began_ns = clock_now_ns();
    int status = steer(b->walk.inspector, &b->walk.keys, what, reply, error);
    int64_t rest_ns = clock_now_ns() - began_ns;
    if (status || rest_ns <= 0)
        return status;
    if (rest_ns > REST_MAX_MS * NS_PER_MS)
        rest_ns = REST_MAX_MS * NS_PER_MS;
    nanosleep(&(struct timespec){.tv_nsec = (long)rest_ns}, NULL);
    return ASYNQ_OK;
}

/* The first ones, again and again, until as many were seen as there were at the beginning. */
static int act_on_all(bulk *b, asynq_error *error)
{
    walk *w = &b->walk;
    size_t skip = 0; /* those that cannot be acted upon stay */
    bool goes_on = true;
    while (w->seen < w->total && goes_on) {
        const redis_value *reply;
        int64_t left = w->total - w->seen;
        steer_call what = {
            .action = b->action,
            .place = w->place,
            .skip = skip,
            .count = left < BROKER_STEER_TASKS ? (size_t)left : BROKER_STEER_TASKS,
        };
        int status = steer_and_rest(b, &what, &reply, error);
        if (status)
            return status;
        size_t found = reply->count - 1;
        skip += found - bulk_count(b, reply);
        goes_on = found && walk_go_on(w, found); /* none is found when others were faster */
    }
    return ASYNQ_OK;
}

/* Those of a call that stand elsewhere in `pending` by now, one by one. `removed` counts what is done. */
static int act_on_moved(bulk *b, const steer_call *what, const int *results, size_t *removed, asynq_error *error)
{
    for (size_t i = 0; i < what->count; i++) {
        int result = results[i];
        if (result != STEER_TO_BE_SOUGHT)
            continue;
        int status = steer_one(b->walk.inspector, &b->walk.keys, b->action, what->ids[i], &result, error);
        if (status)
            return status;
        if (result == STEER_OK) {
            ++*removed;
            b->result->done++;
            b->result->failed--; /* as the first try was counted */
        }
    }
    return ASYNQ_OK;
}

/* The ids of one call, which stand about where the walk is. */
static int act_on_ids(bulk *b, steer_call *what, size_t *removed, asynq_error *error)
{
    int results[BROKER_STEER_TASKS];
    const redis_value *reply;
    what->near = b->walk.rank - (int64_t)*removed;
    int status = steer_and_rest(b, what, &reply, error);
    if (status)
        return status;
    for (size_t i = 0; i < what->count; i++)
        results[i] = broker_result_at(reply, i + 1);
    *removed += bulk_count(b, reply);
    return act_on_moved(b, what, results, removed, error);
}

static walk_answer act_on_chunk(void *arg, const asynq_task_info *tasks, size_t count, asynq_error *error)
{
    bulk *b = arg;
    walk_answer answer = {0};
    bytes ids[BROKER_STEER_TASKS];
    for (size_t at = 0; at < count && !answer.status;) {
        steer_call what = {.action = b->action, .ids = ids};
        for (; at < count && what.count < BROKER_STEER_TASKS; at++)
            if (walk_accepts(&b->walk, &tasks[at]))
                ids[what.count++] = bytes_of(tasks[at].id);
        if (!what.count)
            break;
        answer.status = act_on_ids(b, &what, &answer.removed, error);
    }
    return answer;
}

static int check_state(asynq_action action, asynq_state state, asynq_error *error)
{
    if (state == ASYNQ_STATE_ACTIVE)
        return error_set(error, ASYNQ_E_TASK_ACTIVE, "active tasks cannot be moved by hand; cancel them instead");
    if ((action == ASYNQ_ACTION_RUN && state == ASYNQ_STATE_PENDING) ||
        (action == ASYNQ_ACTION_ARCHIVE && state == ASYNQ_STATE_ARCHIVED))
        return error_set(error, ASYNQ_E_ALREADY, "these tasks are %s already", asynq_state_name(state));
    return ASYNQ_OK;
}

int asynq_inspector_act_all(asynq_inspector *inspector, asynq_action action, const asynq_task_set *set,
                            const asynq_walk_options *options, asynq_act_result *result, asynq_error *error)
{
    asynq_act_result ignored;
    bulk b = {.action = action, .result = result ? result : &ignored};
    *b.result = (asynq_act_result){0};
    int status = check_action(action, error);
    if (!status)
        status = check_state(action, set->state, error);
    if (!status)
        status = walk_begin(&b.walk, inspector, set, options, error);
    if (status)
        return status;
    status = walk_count(&b.walk, error);
    if (!status)
        status = b.walk.options.filter ? walk_each(&b.walk, act_on_chunk, &b, error) : act_on_all(&b, error);
    walk_end(&b.walk);
    return status;
}

/* ---- queues ---- */

typedef struct queue_deletion {
    asynq_inspector *inspector;
    const char *queue;
    asynq_progress_cb progress;
    void *arg;
    int64_t done, total;
    bool stopped;
} queue_deletion;

static bool tell_progress(int64_t done, int64_t total, void *arg)
{
    queue_deletion *deletion = arg;
    (void)total;
    if (deletion->progress)
        deletion->stopped = !deletion->progress(deletion->done + done, deletion->total, deletion->arg);
    return !deletion->stopped;
}

static int delete_set(queue_deletion *deletion, asynq_state state, const char *group, asynq_error *error)
{
    asynq_act_result result;
    int status = asynq_inspector_act_all(
        deletion->inspector, ASYNQ_ACTION_DELETE, &(asynq_task_set){deletion->queue, state, group},
        &(asynq_walk_options){.progress = tell_progress, .progress_arg = deletion}, &result, error);
    deletion->done += result.done;
    return status;
}

static int delete_groups(queue_deletion *deletion, asynq_error *error)
{
    asynq_group_list groups;
    int status = asynq_inspector_groups(deletion->inspector, deletion->queue, &groups, error);
    for (size_t i = 0; i < groups.count && !status && !deletion->stopped; i++)
        status = delete_set(deletion, ASYNQ_STATE_AGGREGATING, groups.groups[i].name, error);
    inspect_memory_free(groups.memory);
    return status;
}

static int delete_tasks(queue_deletion *deletion, asynq_error *error)
{
    static const asynq_state states[] = {ASYNQ_STATE_PENDING, ASYNQ_STATE_SCHEDULED, ASYNQ_STATE_RETRY,
                                         ASYNQ_STATE_ARCHIVED, ASYNQ_STATE_COMPLETED};
    int status = ASYNQ_OK;
    for (size_t i = 0; i < sizeof states / sizeof *states && !status && !deletion->stopped; i++)
        status = delete_set(deletion, states[i], NULL, error);
    return status || deletion->stopped ? status : delete_groups(deletion, error);
}

typedef struct quarantine_names {
    arena memory;
    const char **names;
    size_t count, capacity;
    bool failed;
} quarantine_names;

static bool note_quarantined(const asynq_quarantined *entry, void *arg)
{
    quarantine_names *list = arg;
    const char **names = arena_grow(&list->memory, list->names, list->count, &list->capacity, sizeof *names);
    if (names) {
        list->names = names;
        names[list->count] = inspect_copy(&list->memory, bytes_of(entry->name), &list->failed);
        list->count++;
    }
    list->failed |= !names;
    return !list->failed;
}

/* What fsck has set aside goes with the queue, if that is wanted. */
static int delete_quarantine(asynq_inspector *inspector, const char *queue, bool force, asynq_error *error)
{
    quarantine_names list = {0};
    arena_init(&list.memory, 0);
    int status = asynq_inspector_quarantine(inspector, queue, note_quarantined, &list, error);
    if (!status && list.failed)
        status = error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (!status && list.count && !force)
        status = error_set(error, ASYNQ_E_QUEUE_NOT_EMPTY, "queue \"%.150s\" has %zu entries in quarantine", queue,
                           list.count);
    for (size_t i = 0; i < list.count && !status; i++)
        status = asynq_inspector_quarantine_delete(inspector, queue, list.names[i], error);
    arena_clear(&list.memory);
    return status;
}

static int check_deletable(const char *queue, const asynq_queue_info *info, bool force, asynq_error *error)
{
    if (info->active)
        return error_set(error, ASYNQ_E_TASK_ACTIVE, "cannot delete queue \"%.150s\" with active tasks", queue);
    if (!force && info->size > info->completed)
        return error_set(error, ASYNQ_E_QUEUE_NOT_EMPTY, "queue \"%.150s\" is not empty", queue);
    return ASYNQ_OK;
}

/* The name goes last: until then others see the queue. */
static int drop_queue(asynq_inspector *inspector, const char *queue, asynq_error *error)
{
    queue_keys keys;
    int status = inspect_queue_keys(inspector, &keys, queue, error);
    if (status)
        return status;
    int64_t now_ns = clock_now_ns();
    inspect_call call = inspect_begin(inspector, INSPECT_CHANGE, error);
    while (inspect_again(&call))
        call.sent = broker_drop_queue(&inspector->broker, &keys, now_ns, inspect_replied, inspector);
    if (!call.status && redis_value_integer(call.reply) == 0)
        call.status = error_set(error, ASYNQ_E_QUEUE_NOT_EMPTY,
                                "queue \"%.100s\" still has tasks: some came meanwhile, are being aggregated, or are "
                                "broken",
                                queue);
    if (!call.status) {
        const bytes words[] = {bytes_of("SREM"), global_key_name(&inspector->space, GLOBAL_KEY_QUEUES), keys.queue};
        const redis_value *reply;
        call.status = inspect_command(inspector, INSPECT_CHANGE, words, 3, &reply, error);
    }
    queue_keys_clear(&keys);
    return call.status;
}

int asynq_inspector_delete_queue(asynq_inspector *inspector, const char *queue, bool force, asynq_progress_cb progress,
                                 void *arg, asynq_error *error)
{
    asynq_queue_info info;
    int status = asynq_inspector_queue(inspector, queue, &info, error);
    if (!status)
        status = check_deletable(queue, &info, force, error);
    if (!status)
        status = delete_quarantine(inspector, queue, force, error);
    if (status)
        return status;
    queue_deletion deletion = {
        .inspector = inspector, .queue = queue, .progress = progress, .arg = arg, .total = info.size};
    status = delete_tasks(&deletion, error);
    if (!status && deletion.stopped)
        status = error_set(error, ASYNQ_E_STATE, "stopped on demand; queue \"%.150s\" is not deleted", queue);
    return status ? status : drop_queue(inspector, queue, error);
}
