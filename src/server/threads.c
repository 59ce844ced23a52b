/*
 * Slots follow the threads that there are. Threads are started when they are needed; if one cannot be (the machine's
 * or the user's limit of processes is reached), its task goes back to its queue, unfailed, and from then on the server
 * takes no more tasks than it has threads. Now and then it tries to start those that are missing.
 */
#include "server/server.h"

#include "base/backoff.h"

enum { THREADS_FIRST_PAUSE_MS = 1000, THREADS_LONGEST_PAUSE_MS = 30000 };

static int slots_allowed(const asynq_server *server)
{
    int threads = job_pool_threads(server->pool);
    return server->threads.are_lacking && threads < server->threads.slots_wanted ? threads
                                                                                 : server->threads.slots_wanted;
}

static void slots_follow(asynq_server *server)
{
    int slots = slots_allowed(server);
    if (slots == server->slots)
        return;
    server->slots_free += slots - server->slots;
    server->slots = slots;
    server->heartbeat.record_is_unsure = true;
}

static void threads_try_again(void *arg)
{
    asynq_server *server = arg;
    int threads = job_pool_fill(server->pool);
    server->threads.are_lacking = threads < server->threads.slots_wanted;
    if (server->threads.are_lacking) {
        server->threads.pause_ms =
            backoff_next_ms(server->threads.pause_ms, THREADS_FIRST_PAUSE_MS, THREADS_LONGEST_PAUSE_MS);
        loop_timer_set(&server->threads.again, server->threads.pause_ms);
    } else {
        log_event(&server->log, LOG_THREADS_BACK, "%d tasks at a time again", server->threads.slots_wanted);
        server->threads.pause_ms = 0;
    }
    slots_follow(server);
}

void slots_set(asynq_server *server, int wanted)
{
    if (wanted == server->threads.slots_wanted)
        return;
    server->threads.slots_wanted = wanted;
    job_pool_resize(server->pool, wanted);
    slots_follow(server);
}

void threads_lack(asynq_server *server)
{
    if (server->threads.are_lacking)
        return;
    server->threads.are_lacking = true;
    slots_follow(server);
    log_event(&server->log, LOG_THREADS_EXHAUSTED,
              "%d tasks at a time instead of %d; tasks without a thread are requeued; is a limit of processes reached "
              "(ulimit -u, pids.max)?",
              server->slots, server->threads.slots_wanted);
    server->threads.pause_ms = THREADS_FIRST_PAUSE_MS;
    loop_timer_set(&server->threads.again, server->threads.pause_ms);
}

int threads_start(asynq_server *server)
{
    server->slots = server->threads.slots_wanted = server->slots_free = server->concurrency;
    loop_timer_init(server->loop, &server->threads.again, threads_try_again, server);
    return ASYNQ_OK;
}

void threads_turn(asynq_server *server)
{
    job_pool_flush(server->pool);
}

void threads_stop(asynq_server *server)
{
    loop_timer_cancel(&server->threads.again);
}
