/* See api_policy.h. */
#include "daemon/api_policy.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/task_option.h"

#include <fnmatch.h>
#include <string.h>
#include <utlist.h>

enum { POLICY_KNOWN_FOR_MS = 5000, POLICY_MISSED_FOR_MS = 200 };

typedef struct name_list {
    char **items;
    size_t count, capacity;
} name_list;

struct api_policy {
    api_policy_options options;
    name_list posted;              /* queues that are not ours and that tasks went to */
    name_list served;              /* queues of servers that live */
    int64_t served_at_ms;          /* steady clock; 0: not known */
    observer_question question;    /* to Redis, about servers */
    name_list answer;              /* the observer's thread, while it is asked */
    bool is_asked, is_answered_ok; /* the second: the observer's thread, too */
    api_policy_wait *waiting;
};

/* ---- lists of names ---- */

static bool names_have(const name_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static void names_clear(name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->items[i]);
    mem_free(list->items);
    *list = (name_list){0};
}

/* False: out of memory. */
static bool names_add(name_list *list, const char *name)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        char **items = mem_realloc(list->items, capacity * sizeof *items);
        if (!items)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count] = mem_strdup(name);
    return list->items[list->count] && ++list->count;
}

/* ---- what may be posted ---- */

static bool is_ours(const api_policy *p, const char *queue)
{
    const config *c = work_config(p->options.work);
    for (size_t i = 0; i < c->queues.count; i++)
        if (strcmp(c->queues.items[i].name, queue) == 0)
            return true;
    return false;
}

static const char *queue_of(const asynq_task *task)
{
    return task->options.queue ? task->options.queue : "default";
}

/* No pattern: everything is. */
static bool is_listed(const setting_list *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (fnmatch(patterns->items[i], text, 0) == 0)
            return true;
    return !patterns->count;
}

/* Queues stay for ever, so that not everybody may make as many as he likes. */
static bool has_room(api_policy *p, const char *queue, asynq_error *error)
{
    int64_t max = work_config(p->options.work)->endpoints.max_queues;
    if (is_ours(p, queue) || names_have(&p->posted, queue))
        return true;
    if ((int64_t)p->posted.count >= max)
        return error_set(error, ASYNQ_E_STATE,
                         "queue \"%.100s\" is not served here, and tasks went to %d such queues already; "
                         "endpoints.max_queues allows no more",
                         queue, (int)max),
               false;
    return names_add(&p->posted, queue) || (error_set_code(error, ASYNQ_E_NO_MEMORY), false);
}

static void add_defaults(api_policy *p, asynq_task *task)
{
    asynq_task_options defaults = {0}, own = task->options;
    if (!route_lookup_find(p->options.routes, task->type, &defaults))
        return;
    task->options = task_options_merge(&defaults, &own);
    task->options.headers = own.headers;
    task->options.header_count = own.header_count;
}

bool api_policy_admit(api_policy *p, asynq_task *task, asynq_error *error)
{
    const config *c = work_config(p->options.work);
    add_defaults(p, task);
    const char *queue = queue_of(task);
    if (!is_listed(&c->endpoints.types, task->type))
        return error_set(error, ASYNQ_E_STATE, "type \"%.100s\" is not among endpoints.types", task->type), false;
    if (!is_listed(&c->endpoints.queues, queue))
        return error_set(error, ASYNQ_E_STATE, "queue \"%.100s\" is not among endpoints.queues", queue), false;
    return has_room(p, queue, error);
}

/* ---- who is there ---- */

static void ask_for_servers(asynq_inspector *inspector, observer_question *question)
{
    api_policy *p = (api_policy *)((char *)question - offsetof(api_policy, question));
    asynq_server_list list;
    asynq_error error;
    p->is_answered_ok = !asynq_inspector_servers(inspector, &list, &error);
    if (!p->is_answered_ok)
        return;
    for (size_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < list.servers[i].queue_count; k++)
            if (!names_have(&p->answer, list.servers[i].queues[k].name))
                p->is_answered_ok &= names_add(&p->answer, list.servers[i].queues[k].name);
    asynq_memory_free(list.memory);
}

static void call_back(api_policy *p)
{
    api_policy_wait *list = p->waiting;
    p->waiting = NULL;
    while (list) {
        api_policy_wait *wait = list;
        DL_DELETE(list, wait);
        wait->cb(wait);
    }
}

static void servers_are_known(observer_question *question)
{
    api_policy *p = (api_policy *)((char *)question - offsetof(api_policy, question));
    names_clear(&p->served);
    p->served = p->answer;
    p->answer = (name_list){0};
    p->served_at_ms = p->is_answered_ok ? clock_steady_ms() : 0;
    p->is_asked = false;
    call_back(p);
}

bool api_policy_must_ask(const api_policy *p, const char *queue)
{
    int64_t age_ms = clock_steady_ms() - p->served_at_ms;
    bool is_fresh = age_ms < (names_have(&p->served, queue) ? POLICY_KNOWN_FOR_MS : POLICY_MISSED_FOR_MS);
    return !(p->served_at_ms && is_fresh) && !(is_ours(p, queue) && work_server(p->options.work));
}

void api_policy_ask(api_policy *p, api_policy_wait *wait)
{
    DL_APPEND(p->waiting, wait);
    if (p->is_asked)
        return;
    p->is_answered_ok = false;
    p->question = (observer_question){.ask = ask_for_servers, .done = servers_are_known};
    p->is_asked = observer_ask(p->options.observer, &p->question);
    if (!p->is_asked)
        call_back(p);
}

json_t *api_policy_warnings(const api_policy *p, const char *queue, const char *type)
{
    asynq_task_options defaults;
    bool is_served_here = is_ours(p, queue) && work_server(p->options.work);
    if (is_served_here && !route_lookup_find(p->options.routes, type, &defaults))
        return json_pack("[o]",
                         json_sprintf("no route of this asynqd takes the type \"%.200s\": where it is taken from "
                                      "the queue here, it fails",
                                      type));
    if (is_served_here || !p->served_at_ms || names_have(&p->served, queue))
        return NULL;
    return json_pack("[o]", json_sprintf("no server takes tasks from the queue \"%.200s\" now", queue));
}

/* ---- making ---- */

api_policy *api_policy_new(const api_policy_options *options)
{
    api_policy *p = mem_calloc(1, sizeof *p);
    if (p)
        p->options = *options;
    return p;
}

void api_policy_free(api_policy *p)
{
    if (!p)
        return;
    call_back(p);
    names_clear(&p->posted);
    names_clear(&p->served);
    names_clear(&p->answer);
    mem_free(p);
}
