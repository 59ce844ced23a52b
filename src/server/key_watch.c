/* See key_watch.h. */
#include "server/key_watch.h"

static const watch_step watch_steps[WATCH_STATE_COUNT][WATCH_EVENT_COUNT] = {
    [WATCH_UNARMED] = {[WATCH_ARM] = {WATCH_ARMING, WATCH_SEND_READ},
                       [WATCH_MESSAGE] = {WATCH_UNARMED, WATCH_NOTHING},
                       [WATCH_REPLY] = {WATCH_UNARMED, WATCH_NOTHING},
                       [WATCH_LOST] = {WATCH_UNARMED, WATCH_NOTHING}},
    [WATCH_ARMING] = {[WATCH_ARM] = {WATCH_ARMING, WATCH_NOTHING},
                      [WATCH_MESSAGE] = {WATCH_DIRTY, WATCH_NOTHING},
                      [WATCH_REPLY] = {WATCH_ARMED, WATCH_GIVE_VALUE},
                      [WATCH_LOST] = {WATCH_UNARMED, WATCH_CHANGED}},
    [WATCH_DIRTY] = {[WATCH_ARM] = {WATCH_DIRTY, WATCH_NOTHING},
                     [WATCH_MESSAGE] = {WATCH_DIRTY, WATCH_NOTHING},
                     [WATCH_REPLY] = {WATCH_UNARMED, WATCH_CHANGED},
                     [WATCH_LOST] = {WATCH_UNARMED, WATCH_CHANGED}},
    [WATCH_ARMED] = {[WATCH_ARM] = {WATCH_ARMED, WATCH_NOTHING},
                     [WATCH_MESSAGE] = {WATCH_UNARMED, WATCH_CHANGED},
                     [WATCH_REPLY] = {WATCH_ARMED, WATCH_NOTHING},
                     [WATCH_LOST] = {WATCH_UNARMED, WATCH_CHANGED}},
};

watch_step watch_next(watch_state state, watch_event event)
{
    return watch_steps[state][event];
}

static watch_action key_watch_step(key_watch *watch, watch_event event)
{
    watch_step step = watch_next(watch->state, event);
    watch->state = step.next;
    return step.action;
}

static void key_watch_tell(key_watch *watch, watch_action action, const redis_value *value)
{
    if (action == WATCH_GIVE_VALUE)
        watch->value(watch->arg, value);
    else if (action == WATCH_CHANGED)
        watch->changed(watch->arg);
}

static void key_watch_replied(void *arg, const redis_result *result)
{
    key_watch *watch = arg;
    if (--watch->replies_due > 0)
        return;
    bool is_value = result->outcome == REDIS_REPLIED && result->reply->type != REDIS_ERROR;
    watch_action action = key_watch_step(watch, is_value ? WATCH_REPLY : WATCH_LOST);
    key_watch_tell(watch, action, result->reply);
}

bool key_watch_arm(key_watch *watch, redis_conn *work)
{
    if (watch_next(watch->state, WATCH_ARM).action != WATCH_SEND_READ)
        return true; /* under way or armed already */
    if (redis_conn_commandf(work, NULL, NULL, 3, "CLIENT", "CACHING", "YES"))
        return false;
    redis_args *args = redis_conn_args(work);
    for (const char *const *word = watch->read; *word; word++)
        redis_args_add(args, strcmp(*word, "KEY") == 0 ? watch->key : bytes_of(*word));
    if (watch->also)
        redis_args_add(args, *watch->also);
    if (redis_conn_command(work, args, key_watch_replied, watch))
        return false;
    watch->replies_due++;
    key_watch_step(watch, WATCH_ARM);
    return true;
}

void key_watch_message(key_watch *watch)
{
    key_watch_tell(watch, key_watch_step(watch, WATCH_MESSAGE), NULL);
}

void key_watch_lost(key_watch *watch)
{
    key_watch_tell(watch, key_watch_step(watch, WATCH_LOST), NULL);
}
