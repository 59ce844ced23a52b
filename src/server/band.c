/* See band.h. */
#include "server/band.h"

#include "base/alloc.h"
#include "server/server.h"

#include <utlist.h>

/* Behind those of the same priority. */
static void band_insert(asynq_server *server, queue_band *band)
{
    queue_band *at = server->bands;
    while (at && at->priority >= band->priority)
        at = at->next;
    if (at)
        DL_PREPEND_ELEM(server->bands, at, band);
    else
        DL_APPEND(server->bands, band);
}

static queue_band *band_new(asynq_server *server, int priority)
{
    queue_band *band = mem_calloc(1, sizeof *band);
    if (band) {
        band->priority = priority;
        band_insert(server, band);
    }
    return band;
}

queue_band *band_for(asynq_server *server, int priority)
{
    queue_band *band;
    DL_FOREACH(server->bands, band)
        if (band->priority == priority && !band->pattern)
            return band;
    return band_new(server, priority);
}

queue_band *band_for_pattern(asynq_server *server, int priority, const queue_pattern *pattern)
{
    queue_band *band = band_new(server, priority);
    if (band)
        band->pattern = pattern;
    return band;
}

void band_move(asynq_server *server, queue_band *band, int priority)
{
    DL_DELETE(server->bands, band);
    band->priority = priority;
    band_insert(server, band);
}

void band_enter(queue_band *band, served_queue *queue)
{
    queue->band = band;
    band->members++;
    fetch_reconsider(queue);
}

void band_end_if_empty(asynq_server *server, queue_band *band)
{
    if (band->members || band->pattern)
        return;
    DL_DELETE(server->bands, band);
    mem_free(band);
}

void band_leave(served_queue *queue)
{
    queue_band *band = queue->band;
    fetch_withdraw(queue);
    queue->band = NULL;
    band->members--;
    band_end_if_empty(queue->server, band);
}

int64_t band_share(const queue_band *band)
{
    size_t count = band->pattern ? band->ready_count > 0 : band->ready_count;
    return (int64_t)count * band->priority;
}

void band_rotate(queue_band *band)
{
    served_queue *first = band->ready;
    queue_list_remove(first, QUEUES_READY);
    queue_list_add(first, QUEUES_READY);
}
