/* See api_answer.h. */
#include "daemon/api_answer.h"

static const api_status status_rows[] = {
    {ASYNQ_OK, 201, "created"},
    {ASYNQ_E_CONFLICT, 200, "exists"}, /* a repeat of the same request is no error */
    {ASYNQ_E_NOT_DURABLE, 202, "not_durable"},
    {ASYNQ_E_DUPLICATE, 409, "duplicate"},
    {ASYNQ_E_INVALID, 400, "invalid"},
    {ASYNQ_E_BUSY, 503, "busy"},
    {ASYNQ_E_OUTCOME_UNKNOWN, 504, "unknown"},
    {ASYNQ_E_REDIS_FULL, 507, "redis_full"},
};

const api_status *api_status_of(int code)
{
    static const api_status other = {0, 503, "unavailable"};
    for (size_t i = 0; i < sizeof status_rows / sizeof *status_rows; i++)
        if (status_rows[i].code == code)
            return &status_rows[i];
    return &other;
}

bool api_status_is_good(const api_status *row)
{
    return row->status < 300;
}

static const char *state_name(asynq_state state)
{
    switch (state) {
    case ASYNQ_STATE_SCHEDULED:
        return "scheduled";
    case ASYNQ_STATE_AGGREGATING:
        return "aggregating";
    default:
        return "pending";
    }
}

/* A list; NULL: there is nothing to be said. */
static json_t *describe_doubt(const api_answer *answer)
{
    switch (answer->doubt) {
    case API_NO_ROUTE:
        return json_pack("[o]",
                         json_sprintf("no route of this asynqd takes the type \"%.200s\": where it is taken from "
                                      "the queue here, it fails",
                                      answer->task->type));
    case API_NO_SERVER:
        return json_pack("[o]", json_sprintf("no server takes tasks from the queue \"%.200s\" now", answer->queue));
    default:
        return NULL;
    }
}

json_t *api_answer_describe(const api_answer *answer)
{
    const asynq_enqueued *result = answer->result;
    const api_status *row = api_status_of(result->error.code);
    json_t *object = json_pack("{s:s, s:s}", "result", row->name, "queue", answer->queue);
    if (*result->id)
        json_object_set_new(object, "id", json_string(result->id));
    else if (answer->task->options.id)
        json_object_set_new(object, "id", json_string(answer->task->options.id));
    if (result->error.code)
        json_object_set_new(object, "error", json_string(result->error.text));
    else
        json_object_set_new(object, "state", json_string(state_name(result->state)));
    if (result->replicas || result->error.code == ASYNQ_E_NOT_DURABLE)
        json_object_set_new(object, "replicas", json_integer(result->replicas));
    json_t *warnings = api_status_is_good(row) ? describe_doubt(answer) : NULL;
    if (warnings)
        json_object_set_new(object, "warnings", warnings);
    return object;
}
