/* <asynq/client.h> and <asynq/semaphore.h> for programs with structs of other sizes: see base/structs.h. */
#include "base/alloc.h"
#include "base/error.h"
#include "base/structs.h"

#include <asynq/client.h>
#include <asynq/semaphore.h>

asynq_client *asynq_client_new_sized(const asynq_sizes *sizes, const asynq_client_options *options, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_CLIENT_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    asynq_client *client = status ? NULL : asynq_client_new(options, error);
    structs_end(&call, status, error);
    return client;
}

asynq_semaphore *asynq_semaphore_new_sized(const asynq_sizes *sizes, const asynq_semaphore_options *options,
                                           asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    options = structs_argument(&call, STRUCT_SEMAPHORE_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    asynq_semaphore *semaphore = status ? NULL : asynq_semaphore_new(options, error);
    structs_end(&call, status, error);
    return semaphore;
}

int asynq_enqueue_batch_sized(const asynq_sizes *sizes, asynq_client *client, const asynq_task *tasks, size_t count,
                              const asynq_task_options *options, asynq_enqueued *results, asynq_error *error)
{
    return asynq_enqueue_within_sized(sizes, client, tasks, count, options, 0, results, error);
}

int asynq_enqueue_within_sized(const asynq_sizes *sizes, asynq_client *client, const asynq_task *tasks, size_t count,
                               const asynq_task_options *options, int64_t timeout_ms, asynq_enqueued *results,
                               asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    tasks = structs_argument(&call, STRUCT_TASK, tasks, count);
    options = structs_argument(&call, STRUCT_TASK_OPTIONS, options, 1);
    asynq_enqueued *own = structs_result(&call, STRUCT_ENQUEUED, results, count);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_enqueue_within(client, tasks, count, options, timeout_ms, own, error);
    return structs_end(&call, status, error);
}

int asynq_enqueue_sized(const asynq_sizes *sizes, asynq_client *client, const asynq_task *task,
                        const asynq_task_options *options, asynq_enqueued *result, asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    task = structs_argument(&call, STRUCT_TASK, task, 1);
    options = structs_argument(&call, STRUCT_TASK_OPTIONS, options, 1);
    asynq_enqueued *own = structs_result(&call, STRUCT_ENQUEUED, result, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = asynq_enqueue(client, task, options, own, error);
    return structs_end(&call, status, error);
}

/* ---- asynchronous calls ---- */

typedef struct sized_callback {
    const asynq_sizes *sizes;
    asynq_enqueued_cb callback;
    void *arg;
} sized_callback;

static void sized_enqueued(const asynq_enqueued *result, void *arg)
{
    sized_callback *own = arg;
    structs_room room;
    own->callback(structs_shown_in(&room, own->sizes, STRUCT_ENQUEUED, result), own->arg);
    mem_free(own);
}

static int sized_enqueue_later(const asynq_sizes *sizes, asynq_client *client, const asynq_task *task,
                               const asynq_task_options *options, sized_callback given, asynq_error *error)
{
    sized_callback *own = NULL;
    if (structs_are_same(sizes) || !given.callback)
        return asynq_enqueue_async(client, task, options, given.callback, given.arg, error);
    own = mem_alloc(sizeof *own);
    if (!own)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    *own = given;
    int status = asynq_enqueue_async(client, task, options, sized_enqueued, own, error);
    if (status)
        mem_free(own);
    return status;
}

int asynq_enqueue_async_sized(const asynq_sizes *sizes, asynq_client *client, const asynq_task *task,
                              const asynq_task_options *options, asynq_enqueued_cb callback, void *arg,
                              asynq_error *error)
{
    structs_call call;
    structs_begin(&call, sizes);
    task = structs_argument(&call, STRUCT_TASK, task, 1);
    options = structs_argument(&call, STRUCT_TASK_OPTIONS, options, 1);
    int status = structs_status(&call, error);
    if (!status)
        status = sized_enqueue_later(sizes, client, task, options, (sized_callback){sizes, callback, arg}, error);
    return structs_end(&call, status, error);
}
