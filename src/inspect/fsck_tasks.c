/* Tasks: a quick look at each, and a close one at those that seem wrong. See fsck.h. */
#include "inspect/fsck.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/saturate.h"
#include "wire/task_message.h"

#include <stdlib.h>

/* Tasks to be looked at closely, together. */
typedef struct suspects {
    fsck *f;
    fsck_queue *queue;
    task_suspect at[BROKER_CHECK_TASKS];
    const char *why[BROKER_CHECK_TASKS]; /* a message is unreadable; or NULL */
    size_t count, max;
    arena copies;
} suspects;

/*
 * A close look searches the queue's lists, which takes 15 ns per entry: 3 ms of Redis for 200,000 pending tasks. So the
 * longer they are, the fewer tasks go together.
 */
enum { LIST_ENTRIES_AT_ONCE = 200000 };

static size_t max_at_once(const fsck_queue *queue)
{
    size_t fit = LIST_ENTRIES_AT_ONCE / (queue->seen_count + 1);
    return fit < 1 ? 1 : fit < BROKER_CHECK_TASKS ? fit : BROKER_CHECK_TASKS;
}

static void fsck_tasks_begin(suspects *s, fsck *f, fsck_queue *queue)
{
    *s = (suspects){.f = f, .queue = queue, .max = max_at_once(queue)};
    arena_init(&s->copies, 0);
}

static int fsck_tasks_report(suspects *s, const redis_value *reply, size_t index)
{
    const task_suspect *suspect = &s->at[index];
    check_result result = broker_checked_task(reply, index);
    buf key, detail;
    if (!result.fault.length)
        return ASYNQ_OK;
    buf_init(&key, 0);
    buf_init(&detail, 0);
    bytes prefix = s->queue->keys.key[QUEUE_KEY_TASK];
    buf_append(&key, prefix.data, prefix.length);
    buf_append(&key, suspect->id.data, suspect->id.length);
    buf_append_format(&detail, "it stands %s%.*s", result.where.length ? "in " : "nowhere", BYTES_ARGS(result.where));
    if (result.state.length)
        buf_append_format(&detail, ", its state is %.*s", BYTES_ARGS(result.state));
    if (s->why[index])
        buf_append_format(&detail, "; %s", s->why[index]);
    int status =
        buf_failed(&key) || buf_failed(&detail)
            ? error_set_code(s->f->error, ASYNQ_E_NO_MEMORY)
            : fsck_report_result(s->f, s->queue, suspect->id, (bytes){key.data, key.length}, &result, detail.data);
    buf_clear(&key);
    buf_clear(&detail);
    return status;
}

/* The second look. */
static int look_closely(suspects *s)
{
    if (!s->count)
        return ASYNQ_OK;
    asynq_inspector *inspector = s->f->inspector;
    int64_t now_ns = clock_now_ns();
    inspect_call call = inspect_begin(inspector, s->f->options.repair ? INSPECT_CHANGE : INSPECT_READ, s->f->error);
    while (inspect_again(&call))
        call.sent = broker_check_tasks(&inspector->broker, &s->queue->keys, s->at, s->count, now_ns,
                                       s->f->options.repair, inspect_replied, inspector);
    int status = call.status;
    for (size_t i = 0; i < s->count && !status && !s->f->stopped; i++)
        status = fsck_tasks_report(s, call.reply, i);
    s->count = 0;
    arena_reset(&s->copies);
    return status;
}

static int end(suspects *s, int status)
{
    if (!status && !s->f->stopped)
        status = look_closely(s);
    arena_clear(&s->copies);
    return status;
}

static bool fsck_tasks_keep(suspects *s, bytes *text)
{
    *text = (bytes){arena_dup(&s->copies, text->data ? text->data : "", text->length), text->length};
    return text->data != NULL;
}

/* Takes a copy of everything. */
static int fsck_tasks_add(suspects *s, task_suspect suspect, const char *why)
{
    const char *kept_why = why ? arena_dup(&s->copies, why, strlen(why)) : NULL;
    if (!fsck_tasks_keep(s, &suspect.id) || !fsck_tasks_keep(s, &suspect.container) ||
        !fsck_tasks_keep(s, &suspect.message) || !fsck_tasks_keep(s, &suspect.group) || (why && !kept_why))
        return error_set_code(s->f->error, ASYNQ_E_NO_MEMORY);
    s->why[s->count] = kept_why;
    s->at[s->count++] = suspect;
    return s->count >= s->max ? look_closely(s) : ASYNQ_OK;
}

/* ---- containers ---- */

/* A walk over one container. */
typedef struct container_walk {
    suspects suspects;
    member_walk members;
    char kind; /* of the fingerprints to be remembered; '\0': none */
    bytes before[BROKER_LOOK_TASKS];
    bool finds_repeated; /* the second time: not what is suspect, but what stands there twice */
} container_walk;

static int compare_fingerprints(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void sort_seen(fsck_queue *queue)
{
    if (!queue->is_seen_sorted && queue->seen_count)
        qsort(queue->seen, queue->seen_count, sizeof *queue->seen, compare_fingerprints);
    queue->is_seen_sorted = true;
}

static const uint64_t *find_seen(fsck_queue *queue, uint64_t fingerprint)
{
    sort_seen(queue);
    return queue->seen_count
               ? bsearch(&fingerprint, queue->seen, queue->seen_count, sizeof fingerprint, compare_fingerprints)
               : NULL;
}

static bool has_seen_twice(fsck_queue *queue, uint64_t fingerprint)
{
    const uint64_t *found = find_seen(queue, fingerprint);
    return found && ((found > queue->seen && found[-1] == fingerprint) ||
                     (found + 1 < queue->seen + queue->seen_count && found[1] == fingerprint));
}

static int remember(fsck *f, fsck_queue *queue, uint64_t fingerprint)
{
    if (queue->seen_count == queue->seen_capacity) {
        size_t capacity = queue->seen_capacity ? 2 * queue->seen_capacity : 64;
        uint64_t *seen = mem_realloc(queue->seen, capacity * sizeof *seen);
        if (!seen)
            return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
        queue->seen = seen;
        queue->seen_capacity = capacity;
    }
    queue->seen[queue->seen_count++] = fingerprint;
    queue->is_seen_sorted = false;
    return ASYNQ_OK;
}

static int visit_member(container_walk *w, bytes id, bool is_suspect)
{
    suspects *s = &w->suspects;
    uint64_t fingerprint = fsck_fingerprint(w->kind, id);
    task_suspect suspect = {.id = id, .container = w->members.container, .is_in_list = true};
    suspect.is_repeated = w->finds_repeated;
    if (w->finds_repeated)
        return has_seen_twice(s->queue, fingerprint) ? fsck_tasks_add(s, suspect, NULL) : ASYNQ_OK;
    int status = w->kind ? remember(s->f, s->queue, fingerprint) : ASYNQ_OK;
    return !status && is_suspect ? fsck_tasks_add(s, suspect, NULL) : status;
}

/* Reads the next members into `page`. In a list they are found by those before, which repairing may have moved. */
static int fsck_tasks_read_members(container_walk *w, arena *page, const redis_value **reply)
{
    fsck *f = w->suspects.f;
    inspect_call call = inspect_begin(f->inspector, INSPECT_READ, f->error);
    while (inspect_again(&call))
        call.sent = broker_look_members(&f->inspector->broker, &w->suspects.queue->keys, &w->members, inspect_replied,
                                        f->inspector);
    if (call.status)
        return call.status;
    *reply = redis_value_copy(call.reply, page);
    return *reply && (*reply)->count ? ASYNQ_OK : error_set_code(f->error, ASYNQ_E_NO_MEMORY);
}

static int visit_members(container_walk *w, const redis_value *reply)
{
    member_walk *members = &w->members;
    int status = ASYNQ_OK;
    members->from = reply->elements[0].text;
    members->before_count = 0;
    for (size_t i = 1; i + 1 < reply->count && !status; i += 2) {
        if (members->is_list && members->before_count < BROKER_LOOK_TASKS)
            w->before[members->before_count++] = reply->elements[i].text;
        status = visit_member(w, reply->elements[i].text, reply->elements[i + 1].integer != 0);
    }
    return status;
}

static int walk_members(container_walk *w)
{
    fsck *f = w->suspects.f;
    arena pages[2]; /* what was read last is needed to go on */
    int status, turn = 0;
    arena_init(&pages[0], 0);
    arena_init(&pages[1], 0);
    w->members.from = bytes_of("0");
    w->members.before = w->before;
    do {
        const redis_value *reply;
        arena_reset(&pages[turn]);
        status = fsck_tasks_read_members(w, &pages[turn], &reply);
        if (!status)
            status = visit_members(w, reply);
        turn = !turn;
    } while (!status && fsck_go_on(f) && !bytes_equal(w->members.from, bytes_of("0")));
    arena_clear(&pages[0]);
    arena_clear(&pages[1]);
    return fsck_pass_over_wrong_type(f, status);
}

static int look_at_container(fsck *f, fsck_queue *queue, const member_walk *members, char kind, bool finds_repeated)
{
    container_walk w = {.members = *members, .kind = kind, .finds_repeated = finds_repeated};
    w.members.tells_all = kind != '\0';
    fsck_tasks_begin(&w.suspects, f, queue);
    return end(&w.suspects, walk_members(&w));
}

static bool has_any_seen_twice(fsck_queue *queue)
{
    sort_seen(queue);
    for (size_t i = 1; i < queue->seen_count; i++)
        if (queue->seen[i - 1] == queue->seen[i])
            return true;
    return false;
}

static const struct container_row {
    queue_key key;
    const char *state;
    char list; /* kind of the fingerprints; '\0' for a set */
} containers[] = {
    {QUEUE_KEY_PENDING, "pending", 'p'},      {QUEUE_KEY_ACTIVE, "active", 'a'}, {QUEUE_KEY_LEASE, "active", '\0'},
    {QUEUE_KEY_SCHEDULED, "scheduled", '\0'}, {QUEUE_KEY_RETRY, "retry", '\0'},  {QUEUE_KEY_ARCHIVED, "archived", '\0'},
    {QUEUE_KEY_COMPLETED, "completed", '\0'},
};

static int look_at_rows(fsck *f, fsck_queue *queue, bool finds_repeated)
{
    int status = ASYNQ_OK;
    for (size_t i = 0; i < sizeof containers / sizeof *containers && !status && !f->stopped; i++) {
        const struct container_row *row = &containers[i];
        if (!finds_repeated || row->list)
            status = look_at_container(f, queue,
                                       &(member_walk){.container = queue->keys.key[row->key],
                                                      .is_list = row->list != '\0',
                                                      .state = row->state},
                                       row->list, finds_repeated);
    }
    return status;
}

int fsck_look_at_containers(fsck *f, fsck_queue *queue)
{
    int status = look_at_rows(f, queue, false);
    return !status && !f->stopped && has_any_seen_twice(queue) ? look_at_rows(f, queue, true) : status;
}

int fsck_look_at_group(fsck *f, fsck_queue *queue, bytes key)
{
    return look_at_container(f, queue, &(member_walk){.container = key, .state = "aggregating"}, 'g', false);
}

/* ---- tasks by id ---- */

/* What the message says, as far as it matters here; it stays in `scratch`. `problem` tells why it is unreadable. */
static int read_message(const fsck *f, const fsck_queue *queue, arena *scratch, task_suspect *suspect,
                        asynq_error *problem)
{
    task_message message;
    int status = task_message_decode(&message, suspect->message, scratch, problem);
    if (status == ASYNQ_E_NO_MEMORY)
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    if (!status && !bytes_equal(message.id, suspect->id))
        status = error_set(problem, ASYNQ_E_MALFORMED, "its message is that of another task, \"%.*s\"",
                           BYTES_ARGS(message.id));
    if (!status && !bytes_equal(message.queue, queue->keys.queue))
        status = error_set(problem, ASYNQ_E_MALFORMED, "its message is of another queue, \"%.*s\"",
                           BYTES_ARGS(message.queue));
    suspect->is_bad = status != ASYNQ_OK;
    if (!status) {
        suspect->group = message.group_key;
        if (message.completed_at)
            suspect->keep_until = saturating_add(message.completed_at, message.retention);
    }
    return ASYNQ_OK;
}

static bool is_seen_in_list(fsck_queue *queue, bytes id)
{
    return find_seen(queue, fsck_fingerprint('p', id)) || find_seen(queue, fsck_fingerprint('a', id));
}

/* The set of an aggregation is hard to find from the task. */
static bool is_where_it_should(fsck_queue *queue, bytes id, look_verdict verdict)
{
    if (verdict == LOOK_IN_LIST)
        return is_seen_in_list(queue, id);
    return verdict == LOOK_FINE || find_seen(queue, fsck_fingerprint('g', id));
}

static int visit_task(suspects *s, bytes id, look_verdict verdict, const redis_value *message)
{
    arena scratch;
    asynq_error problem = {0};
    task_suspect suspect = {.id = id, .message = message->text};
    if (verdict == LOOK_GONE)
        return ASYNQ_OK;
    suspect.is_in_list = is_seen_in_list(s->queue, id);
    if (message->type != REDIS_STRING)
        return fsck_tasks_add(s, suspect, "it has no message");
    record_arena_init(&scratch, suspect.message.length);
    int status = read_message(s->f, s->queue, &scratch, &suspect, &problem);
    if (!status && (suspect.is_bad || !is_where_it_should(s->queue, id, verdict)))
        status = fsck_tasks_add(s, suspect, suspect.is_bad ? problem.text : NULL);
    arena_clear(&scratch);
    return status;
}

int fsck_look_at_tasks(fsck *f, fsck_queue *queue, const bytes *ids, size_t count)
{
    suspects s;
    arena copy;
    inspect_call call = inspect_begin(f->inspector, INSPECT_READ, f->error);
    while (inspect_again(&call))
        call.sent = broker_look_tasks(&f->inspector->broker, &queue->keys, ids, count, inspect_replied, f->inspector);
    if (call.status)
        return call.status;
    arena_init(&copy, 0);
    fsck_tasks_begin(&s, f, queue);
    const redis_value *reply = redis_value_copy(call.reply, &copy);
    int status = reply ? ASYNQ_OK : error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; i < count && !status && !f->stopped && 2 * i + 1 < reply->count; i++)
        status = visit_task(&s, ids[i], (look_verdict)reply->elements[2 * i].integer, &reply->elements[2 * i + 1]);
    status = end(&s, status);
    arena_clear(&copy);
    return status;
}
