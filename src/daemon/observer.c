/* See observer.h. */
#include "daemon/observer.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/error.h"

enum { TIMEOUT_MS = 3000 };

struct observer {
    asynq_inspector *inspector;
    errands *errands;
};

static observer_question *question_of(errand *one)
{
    return container_of(one, observer_question, errand);
}

static void question_ask(errand *one)
{
    observer_question *question = question_of(one);
    question->ask(question->observer->inspector, question);
}

static void question_done(errand *one)
{
    observer_question *question = question_of(one);
    question->done(question);
}

bool observer_ask(observer *o, observer_question *question)
{
    question->observer = o;
    question->errand = (errand){.run = question_ask, .done = question_done};
    return errands_send(o->errands, &question->errand);
}

observer *observer_new(loop *l, const char *redis, const char *prefix, asynq_error *error)
{
    observer *o = mem_calloc(1, sizeof *o);
    if (!o)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    o->inspector = asynq_inspector_new(
        &(asynq_inspector_options){.redis = redis, .prefix = prefix, .timeout_ms = TIMEOUT_MS}, error);
    o->errands = o->inspector ? errands_new(l, error) : NULL;
    if (o->errands)
        return o;
    observer_free(o);
    return NULL;
}

void observer_free(observer *o)
{
    if (!o)
        return;
    errands_free(o->errands);
    asynq_inspector_free(o->inspector);
    mem_free(o);
}
