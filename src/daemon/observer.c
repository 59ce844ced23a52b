/* See observer.h. */
#include "daemon/observer.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"
#include "event/waker.h"

enum { TIMEOUT_MS = 3000 };

struct observer {
    asynq_inspector *inspector;
    pthread_t thread;
    loop_waker answered;
    pthread_mutex_t lock;
    pthread_cond_t asked;
    observer_question *questions, **questions_end;
    observer_question *answers, **answers_end;
    bool is_ending;
};

static void append(observer_question ***end, observer_question *question)
{
    question->next = NULL;
    **end = question;
    *end = &question->next;
}

static void *answer(void *arg)
{
    observer *o = arg;
    pthread_mutex_lock(&o->lock);
    while (!o->is_ending) {
        observer_question *question = o->questions;
        if (!question) {
            pthread_cond_wait(&o->asked, &o->lock);
            continue;
        }
        o->questions = question->next;
        if (!o->questions)
            o->questions_end = &o->questions;
        pthread_mutex_unlock(&o->lock);
        question->ask(o->inspector, question);
        pthread_mutex_lock(&o->lock);
        append(&o->answers_end, question);
        loop_waker_wake(&o->answered);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

static void tell(observer_question *list)
{
    while (list) {
        observer_question *question = list;
        list = question->next;
        question->done(question);
    }
}

static void answered(void *arg)
{
    observer *o = arg;
    pthread_mutex_lock(&o->lock);
    observer_question *list = o->answers;
    o->answers = NULL;
    o->answers_end = &o->answers;
    pthread_mutex_unlock(&o->lock);
    tell(list);
}

bool observer_ask(observer *o, observer_question *question)
{
    pthread_mutex_lock(&o->lock);
    bool is_taken = !o->is_ending;
    if (is_taken) {
        append(&o->questions_end, question);
        pthread_cond_signal(&o->asked);
    }
    pthread_mutex_unlock(&o->lock);
    return is_taken;
}

observer *observer_new(loop *l, const char *redis, asynq_error *error)
{
    observer *o = mem_calloc(1, sizeof *o);
    if (!o)
        return error_set_code(error, ASYNQ_E_NO_MEMORY), NULL;
    o->questions_end = &o->questions;
    o->answers_end = &o->answers;
    o->answered.fd = -1;
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->asked, NULL);
    o->inspector = asynq_inspector_new(
        &(asynq_inspector_options){ASYNQ_INSPECTOR_OPTIONS_INIT, .redis = redis, .timeout_ms = TIMEOUT_MS}, error);
    int status = o->inspector ? loop_waker_init(l, &o->answered, answered, o) : error->code;
    if (o->inspector && status)
        error_set_code(error, status);
    if (!status)
        status = thread_start(&o->thread, answer, o, error);
    if (!status)
        return o;
    loop_waker_clear(&o->answered);
    asynq_inspector_free(o->inspector);
    mem_free(o);
    return NULL;
}

void observer_free(observer *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->is_ending = true;
    pthread_cond_signal(&o->asked);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    tell(o->answers);
    tell(o->questions);
    loop_waker_clear(&o->answered);
    asynq_inspector_free(o->inspector);
    pthread_cond_destroy(&o->asked);
    pthread_mutex_destroy(&o->lock);
    mem_free(o);
}
