/* See semaphore.h. */
#include "broker/semaphore.h"

#include "base/clock.h"
#include "broker/call.h"

static void add_tokens(redis_args *args, const semaphore_tokens *list, bool with_again)
{
    redis_args_add_integer(args, (int64_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        const semaphore_token *token = &list->tokens[i];
        redis_args_add(args, token->holder);
        if (token->until_s == SEMAPHORE_ANY)
            redis_args_add(args, (bytes){0});
        else
            redis_args_add_integer(args, token->until_s);
        if (with_again)
            redis_args_add_integer(args, token->again);
    }
}

int broker_semaphore(const broker *b, const semaphore_call *call, int64_t now_ns, broker_cb cb, void *arg)
{
    redis_args *args = broker_script_args(b, SCRIPT_SEMAPHORE, 1);
    broker_add_key(args, global_key_name(b->space, GLOBAL_KEY_SEMAPHORE), call->scope);
    redis_args_add_integer(args, call->max);
    redis_args_add_integer(args, floor_div(now_ns, NS_PER_SECOND));
    add_tokens(args, &call->back, false);
    add_tokens(args, &call->prolong, false);
    add_tokens(args, &call->take, true);
    return broker_call(b, args, cb, arg);
}

int64_t broker_tokens_back(const redis_value *reply)
{
    return broker_result_at(reply, 0);
}

bool broker_token_taken(const redis_value *reply, size_t index)
{
    return broker_result_at(reply, index + 1) == 1;
}
