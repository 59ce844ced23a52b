/* See reload.h. */
#include "redis/reload.h"

#include "base/error.h"

static void reload_send(redis_reload *reload, int count, const char *const *argv, redis_result_cb cb)
{
    asynq_error error;
    reload->answers_left++;
    if (reload->send(reload->arg, count, argv, cb, reload) == ASYNQ_OK)
        return;
    reload->answers_left--;
    error_set_code(&error, ASYNQ_E_NO_MEMORY);
    reload->failed(reload->arg, &error);
}

static void reload_on_load(void *arg, const redis_result *result)
{
    redis_reload *reload = arg;
    asynq_error error;
    reload->answers_left--;
    if (result->outcome == REDIS_REPLIED && redis_result_check(result, &error))
        reload->failed(reload->arg, &error);
}

static void reload_on_exists(void *arg, const redis_result *result)
{
    redis_reload *reload = arg;
    reload->answers_left--;
    for (size_t i = 0; result->outcome == REDIS_REPLIED && i < SCRIPT_COUNT; i++) {
        const char *argv[] = {"SCRIPT", "LOAD", redis_scripts[i].text};
        if (redis_value_integer(redis_value_at(result->reply, i)) == 0) /* not told: loaded, which does no harm */
            reload_send(reload, 3, argv, reload_on_load);
    }
}

void redis_reload_start(redis_reload *reload)
{
    const char *argv[2 + SCRIPT_COUNT] = {"SCRIPT", "EXISTS"};
    if (reload->answers_left)
        return;
    for (size_t i = 0; i < SCRIPT_COUNT; i++)
        argv[2 + i] = redis_scripts[i].sha1;
    reload_send(reload, 2 + SCRIPT_COUNT, argv, reload_on_exists);
}
