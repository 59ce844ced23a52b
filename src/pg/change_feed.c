/* See change_feed.h. */
#include "pg/change_feed.h"

#include "base/alloc.h"
#include "event/timer.h"
#include "wire/task_id.h"

#include <stdio.h>
#include <string.h>

#define CHANNEL "asynqd_jobs"

enum {
    FIRST_REFRESH_MS = 2000, /* the scheduler may have come after the first reading */
    REFRESH_MS = 60000,
    DEAF_REFRESH_MS = 5000,
    TRIAL_MS = 1000,          /* after connecting */
    TRIAL_AGAIN_MS = 300000,  /* a pooler can come between at any time */
    ARRIVES_WITHIN_MS = 10000 /* after PostgreSQL has sent it */
};

struct change_feed {
    log_sink *log;
    void (*changed)(void *arg);
    void *arg;
    pg_conn *listening, *other;
    char trial[48]; /* the channel of our own notifications */
    loop_timer refresh, next_trial, arrival;
    bool is_tried, is_deaf; /* deaf: notifications do not arrive */
};

static void change_feed_refresh(void *arg)
{
    change_feed *f = arg;
    if (!f->listening)
        return;
    loop_timer_set(&f->refresh, f->is_deaf ? DEAF_REFRESH_MS : REFRESH_MS);
    f->changed(f->arg);
}

/* ---- do they arrive? ---- */

static void change_feed_set_deaf(change_feed *f, bool is_deaf)
{
    if (is_deaf && !f->is_deaf)
        log_event(
            f->log, LOG_NOTIFICATIONS_LOST,
            "as behind a pooler in transaction mode; the table is read every %d s instead. Give asynqd sessions of "
            "its own: pool_mode = session",
            DEAF_REFRESH_MS / 1000);
    if (!is_deaf && f->is_deaf)
        log_event(f->log, LOG_NOTIFICATIONS_BACK, "scheduled jobs change at once");
    bool is_new = f->is_deaf != is_deaf;
    f->is_deaf = is_deaf;
    if (is_new)
        change_feed_refresh(f);
}

static void change_feed_missed(void *arg)
{
    change_feed_set_deaf(arg, true);
}

static void change_feed_tried(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    change_feed *f = arg;
    if (!error && f->listening && f->is_tried)
        loop_timer_set(&f->arrival, ARRIVES_WITHIN_MS);
}

static void change_feed_try(void *arg)
{
    change_feed *f = arg;
    const char *const channel = f->trial;
    if (!f->listening || !f->other)
        return;
    f->is_tried = !pg_conn_query(f->other, "SELECT pg_notify($1, '')", 1, &channel, change_feed_tried, f);
    loop_timer_set(&f->next_trial, TRIAL_AGAIN_MS);
}

void change_feed_notified(change_feed *f, const char *channel)
{
    if (strcmp(channel, f->trial) == 0) {
        f->is_tried = false; /* may come before the answer */
        loop_timer_cancel(&f->arrival);
        change_feed_set_deaf(f, false);
    } else if (strcmp(channel, CHANNEL) == 0) {
        f->changed(f->arg);
    }
}

/* ---- connections ---- */

static void change_feed_listens(void *arg, const PGresult *result, const asynq_error *error)
{
    (void)result;
    change_feed *f = arg;
    if (error && f->listening && error->code != ASYNQ_E_CLOSED)
        log_event(f->log, LOG_NOTIFICATIONS_LOST, "%s", error->text);
}

static void change_feed_listen(change_feed *f)
{
    char own[sizeof f->trial + 16];
    snprintf(own, sizeof own, "LISTEN %s", f->trial);
    /* without memory they are missed, as is told when the first is tried */
    if (pg_conn_query(f->listening, own, 0, NULL, NULL, NULL) ||
        pg_conn_query(f->listening, "LISTEN " CHANNEL, 0, NULL, change_feed_listens, f))
        log_event(f->log, LOG_NOTIFICATIONS_LOST, "out of memory");
}

void change_feed_set_conns(change_feed *f, pg_conn *listening, pg_conn *other)
{
    bool is_new = listening && listening != f->listening;
    f->listening = listening;
    f->other = other;
    if (is_new) {
        change_feed_listen(f);
        loop_timer_set(&f->refresh, FIRST_REFRESH_MS);
    }
    loop_timer_cancel(&f->arrival);
    if (listening && other)
        loop_timer_set(&f->next_trial, TRIAL_MS);
}

change_feed *change_feed_new(loop *l, log_sink *log, void (*changed)(void *arg), void *arg)
{
    char random[TASK_ID_RANDOM_SIZE];
    change_feed *f = mem_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->log = log;
    f->changed = changed;
    f->arg = arg;
    task_id_make_random(random);
    snprintf(f->trial, sizeof f->trial, "asynqd_trial_%.8s", random);
    loop_timer_init(l, &f->refresh, change_feed_refresh, f);
    loop_timer_init(l, &f->next_trial, change_feed_try, f);
    loop_timer_init(l, &f->arrival, change_feed_missed, f);
    return f;
}

void change_feed_free(change_feed *f)
{
    if (!f)
        return;
    loop_timer_cancel(&f->refresh);
    loop_timer_cancel(&f->next_trial);
    loop_timer_cancel(&f->arrival);
    mem_free(f);
}
