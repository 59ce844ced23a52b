/* The queues of a run of fsck: those of Redis's list, and those that have keys without being in it. See fsck.h. */
#include "inspect/fsck.h"

#include "base/error.h"

fsck_queue *fsck_find_queue(const fsck *f, bytes name)
{
    fsck_queue *queue;
    HASH_FIND(hh, f->queues, name.data, name.length, queue);
    return queue;
}

int fsck_add_queue(fsck *f, bytes name, bool is_registered, fsck_queue **added)
{
    fsck_queue *queue = arena_alloc(&f->names, sizeof *queue);
    char *copy = arena_dup(&f->names, name.data, name.length);
    if (!queue || !copy)
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    *queue = (fsck_queue){.name = copy, .is_registered = is_registered};
    if (queue_keys_init(&queue->keys, &f->inspector->space, (bytes){copy, name.length}))
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    HASH_ADD_KEYPTR(hh, f->queues, copy, name.length, queue);
    if (!HASH_HAS(queue)) {
        queue_keys_clear(&queue->keys);
        return error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    }
    *added = queue;
    return ASYNQ_OK;
}

int fsck_look_at_queue(fsck *f, fsck_queue *queue)
{
    int status = fsck_look_at_fixed_keys(f, queue);
    if (!status && !f->stopped)
        status = fsck_look_at_containers(f, queue);
    return status || f->stopped ? status : fsck_look_at_lists(f, queue);
}

/* `name` ends with a NUL. */
static int tell_not_kept(fsck *f, bytes name)
{
    const bytes list = global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES);
    const bytes words[] = {bytes_of("SREM"), list, name};
    const redis_value *reply;
    int status = f->options.repair ? fsck_command(f, INSPECT_CHANGE, words, 3, &reply) : ASYNQ_OK;
    return status ? status
                  : fsck_report(f, &(asynq_finding){
                                       .fault = ASYNQ_FAULT_NOT_KEPT,
                                       .queue = name.data,
                                       .task_id = "",
                                       .key = list.data,
                                       .detail = BROKER_CANNOT_KEEP,
                                       .repaired = f->options.repair ? "name removed" : "",
                                   });
}

/* All names are known before the first look, for they tell to which queue a key belongs. */
int fsck_look_at_registered_queues(fsck *f)
{
    const bytes words[] = {bytes_of("SMEMBERS"), global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES)};
    const redis_value *reply;
    arena copies;
    arena_init(&copies, 0);
    int status = fsck_command(f, INSPECT_READ, words, 2, &reply);
    if (!status && !(reply = redis_value_copy(reply, &copies)))
        status = error_set_code(f->error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && !f->stopped && i < reply->count; i++) {
        fsck_queue *queue;
        bytes name = reply->elements[i].text;
        bool is_kept = broker_can_keep(&f->inspector->broker, name);
        status = is_kept ? fsck_add_queue(f, name, true, &queue) : tell_not_kept(f, name);
    }
    arena_clear(&copies);
    for (fsck_queue *queue = f->queues; queue && !status && !f->stopped; queue = queue->hh.next)
        if (!f->options.queue || bytes_equal(queue->keys.queue, bytes_of(f->options.queue)))
            status = fsck_look_at_queue(f, queue);
    return status;
}

static int enter_in_list(fsck *f, const fsck_queue *queue)
{
    const bytes words[] = {bytes_of("SADD"), global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES),
                           queue->keys.queue};
    const redis_value *reply;
    return fsck_command(f, INSPECT_CHANGE, words, 3, &reply);
}

static int tell_unregistered(fsck *f, const fsck_queue *queue)
{
    buf key;
    buf_init(&key, 0);
    buf_append(&key, queue->keys.prefix.data, queue->keys.prefix.length);
    int status = buf_failed(&key) ? error_set_code(f->error, ASYNQ_E_NO_MEMORY)
                                  : fsck_report(f, &(asynq_finding){
                                                       .fault = ASYNQ_FAULT_QUEUE,
                                                       .queue = queue->name,
                                                       .task_id = "",
                                                       .key = key.data,
                                                       .detail = "the queue has tasks, but the list of queues lacks it",
                                                       .repaired = f->options.repair ? "registered" : "",
                                                   });
    buf_clear(&key);
    return status;
}

/* The name is asked for between two looks at the queue: whoever removes or creates one changes both, in some order. */
static int check_registration(fsck *f, fsck_queue *queue)
{
    static const queue_key containers[] = {QUEUE_KEY_PENDING, QUEUE_KEY_ACTIVE,   QUEUE_KEY_SCHEDULED,
                                           QUEUE_KEY_RETRY,   QUEUE_KEY_ARCHIVED, QUEUE_KEY_COMPLETED,
                                           QUEUE_KEY_GROUPS};
    enum { CONTAINERS = sizeof containers / sizeof *containers };
    bytes exist[1 + CONTAINERS] = {bytes_of("EXISTS")};
    for (size_t i = 0; i < CONTAINERS; i++)
        exist[1 + i] = queue->keys.key[containers[i]];
    const bytes is_member[] = {bytes_of("SISMEMBER"), global_key_name(&f->inspector->space, GLOBAL_KEY_QUEUES),
                               queue->keys.queue};
    int64_t before = 0, registered = 0, after = 0;
    int status = fsck_ask_number(f, exist, 1 + CONTAINERS, &before);
    if (!status)
        status = fsck_ask_number(f, is_member, 3, &registered);
    if (!status)
        status = fsck_ask_number(f, exist, 1 + CONTAINERS, &after);
    if (status || !before || registered || !after)
        return status;
    if (f->options.repair)
        status = enter_in_list(f, queue);
    return status ? status : tell_unregistered(f, queue);
}

int fsck_check_registrations(fsck *f)
{
    int status = ASYNQ_OK;
    for (fsck_queue *queue = f->queues; queue && !status && !f->stopped; queue = queue->hh.next)
        if (!queue->is_registered && queue->has_tasks)
            status = check_registration(f, queue);
    return status;
}

void fsck_clear_queues(fsck *f)
{
    fsck_queue *queue, *next;
    HASH_ITER(hh, f->queues, queue, next) {
        HASH_DEL(f->queues, queue);
        queue_keys_clear(&queue->keys);
        mem_free(queue->seen);
    }
}
