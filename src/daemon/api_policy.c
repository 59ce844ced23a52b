/* See api_policy.h. */
#include "daemon/api_policy.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/error.h"
#include "base/text.h"
#include "client/task_option.h"
#include "inspect/inspect.h"

#include <string.h>
#include <utlist.h>

enum { POLICY_KNOWN_FOR_MS = 5000, POLICY_MISSED_FOR_MS = 200 };

struct api_policy {
    api_policy_options options;
    config *known; /* held; `ours` are its queues */
    name_set ours;
    name_set posted;               /* queues that are not ours and that tasks went to, or are on their way to */
    name_set served;               /* queues of servers that live */
    int64_t served_at_ms;          /* steady clock; 0: not known */
    observer_question question;    /* to Redis, about servers */
    name_set answer;               /* the observer's thread, while it is asked */
    bool is_asked, is_answered_ok; /* the second: the observer's thread, too */
    api_policy_wait *waiting;
};

/* ---- what may be posted ---- */

/* Without memory a queue of ours counts as one of others. */
static bool api_policy_is_ours(api_policy *p, const char *queue)
{
    if (p->known != work_config(p->options.work)) {
        config_free(p->known);
        p->known = work_hold_config(p->options.work);
        name_set_clear(&p->ours);
        for (size_t i = 0; i < p->known->queues.count; i++)
            name_set_add(&p->ours, p->known->queues.items[i].name);
    }
    return name_set_matches(&p->ours, queue);
}

static const char *api_policy_queue_of(const asynq_task *task)
{
    return task->options.queue ? task->options.queue : "default";
}

/* No pattern: everything is. */
static bool is_listed(const setting_list *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (text_matches(patterns->items[i], text))
            return true;
    return !patterns->count;
}

static bool api_policy_add_defaults(const api_policy *p, asynq_task *task)
{
    asynq_task_options defaults = {0}, own = task->options;
    if (!route_lookup_find(p->options.routes, task->type, &defaults))
        return false;
    task->options = task_options_merge(&defaults, &own);
    task->options.headers = own.headers;
    task->options.header_count = own.header_count;
    return true;
}

bool api_policy_allows(const api_policy *p, const config *c, asynq_task *task, bool *has_route, asynq_error *error)
{
    *has_route = api_policy_add_defaults(p, task);
    const char *queue = api_policy_queue_of(task);
    if (!is_listed(&c->endpoints.types, task->type))
        return error_set(error, ASYNQ_E_STATE, "type \"%.100s\" is not among endpoints.types", task->type), false;
    if (!is_listed(&c->endpoints.queues, queue))
        return error_set(error, ASYNQ_E_STATE, "queue \"%.100s\" is not among endpoints.queues", queue), false;
    return true;
}

/* Queues stay for ever, so that not everybody may make as many as he likes. */
bool api_policy_send(api_policy *p, const char *queue, name_entry **place, asynq_error *error)
{
    int64_t max = work_config(p->options.work)->endpoints.max_queues;
    *place = NULL;
    if (api_policy_is_ours(p, queue))
        return true;
    *place = name_set_find(&p->posted, queue);
    if (!*place && (int64_t)name_set_count(&p->posted) >= max)
        return error_set(error, ASYNQ_E_STATE,
                         "queue \"%.100s\" is not served here, and tasks went to %d such queues already; "
                         "endpoints.max_queues allows no more",
                         queue, (int)max),
               false;
    if (!*place && !(*place = name_set_add(&p->posted, queue)))
        return error_set_code(error, ASYNQ_E_NO_MEMORY), false;
    (*place)->under_way++;
    return true;
}

void api_policy_arrive(api_policy *p, name_entry *place, bool is_there)
{
    if (!place)
        return;
    place->is_made |= is_there;
    if (!--place->under_way && !place->is_made)
        name_set_remove(&p->posted, place);
}

/* ---- who is there ---- */

static void ask_for_servers(asynq_inspector *inspector, observer_question *question)
{
    api_policy *p = container_of(question, api_policy, question);
    asynq_server_list list;
    asynq_error error;
    p->is_answered_ok = !inspect_servers(inspector, false, &list, &error);
    if (!p->is_answered_ok)
        return;
    for (size_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < list.servers[i].queue_count; k++)
            p->is_answered_ok &= name_set_add(&p->answer, list.servers[i].queues[k].name) != NULL;
    asynq_server_list_free(&list);
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

static void api_policy_servers_are_known(observer_question *question)
{
    api_policy *p = container_of(question, api_policy, question);
    name_set_clear(&p->served);
    p->served = p->answer;
    p->answer = (name_set){0};
    p->served_at_ms = p->is_answered_ok ? clock_steady_ms() : 0;
    p->is_asked = false;
    call_back(p);
}

bool api_policy_must_ask(api_policy *p, const char *queue)
{
    int64_t age_ms = clock_steady_ms() - p->served_at_ms;
    bool is_fresh = age_ms < (name_set_matches(&p->served, queue) ? POLICY_KNOWN_FOR_MS : POLICY_MISSED_FOR_MS);
    return !(p->served_at_ms && is_fresh) && !(api_policy_is_ours(p, queue) && work_server(p->options.work));
}

void api_policy_ask(api_policy *p, api_policy_wait *wait)
{
    DL_APPEND(p->waiting, wait);
    if (p->is_asked)
        return;
    p->is_answered_ok = false;
    p->question = (observer_question){.ask = ask_for_servers, .done = api_policy_servers_are_known};
    p->is_asked = observer_ask(p->options.observer, &p->question);
    if (!p->is_asked)
        call_back(p);
}

api_doubt api_policy_doubt(api_policy *p, const char *queue, bool has_route)
{
    if (api_policy_is_ours(p, queue) && work_server(p->options.work))
        return has_route ? API_NO_DOUBT : API_NO_ROUTE;
    return !p->served_at_ms || name_set_matches(&p->served, queue) ? API_NO_DOUBT : API_NO_SERVER;
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
    config_free(p->known);
    name_set_clear(&p->ours);
    name_set_clear(&p->posted);
    name_set_clear(&p->served);
    name_set_clear(&p->answer);
    mem_free(p);
}
