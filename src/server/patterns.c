/* See patterns.h. */
#include "server/patterns.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "broker/publish.h"
#include "server/server.h"

#include <string.h>
#include <utlist.h>

static const char *const set_read[] = {"SCARD", "KEY", NULL};

enum {
    PATTERNS_REST_MS = 50,           /* between two readings, */
    PATTERNS_REST_PER_THOUSAND = 25, /* and for each 1,000 names: reading them takes about half a ms of Redis */
    PATTERNS_REST_MAX_MS = 60000,
    PATTERNS_SAFETY_MS = 60000 /* a reading at least so often, though the set is watched */
};

/* ---- patterns ---- */

bool pattern_is_one(const char *text)
{
    return strchr(text, '*');
}

int pattern_check(const char *text, asynq_error *error)
{
    const char *problem = strstr(text, "**")                  ? "two stars stand side by side; one says the same"
                          : strlen(text) > PATTERN_NAME_MAX   ? "it is longer than 255 bytes"
                          : !text_is_utf8(text, strlen(text)) ? "it is not valid UTF-8"
                          : text_has_control(text)            ? "it has a control character"
                                                              : NULL;
    return problem ? error_set(error, ASYNQ_E_INVALID, "queue pattern \"%.100s\": %s", text, problem) : ASYNQ_OK;
}

static queue_pattern *pattern_find(const asynq_server *server, const char *text)
{
    queue_pattern *pattern;
    DL_FOREACH(server->patterns.list, pattern)
        if (strcmp(pattern->text, text) == 0)
            return pattern;
    return NULL;
}

/* The one that has a queue of this name. */
static queue_pattern *pattern_of(const asynq_server *server, const char *name)
{
    queue_pattern *pattern;
    DL_FOREACH(server->patterns.list, pattern)
        if (text_matches(pattern->text, name))
            return pattern;
    return NULL;
}

int patterns_set(asynq_server *server, const char *text, int priority)
{
    queue_pattern *pattern = pattern_find(server, text);
    size_t length = strlen(text);
    if (pattern) {
        band_move(server, pattern->band, priority);
        return ASYNQ_OK;
    }
    pattern = mem_calloc(1, sizeof *pattern + length + 1);
    queue_band *band = pattern ? band_for_pattern(server, priority, pattern) : NULL;
    if (!band) {
        mem_free(pattern);
        return ASYNQ_E_NO_MEMORY;
    }
    memcpy(pattern->text, text, length);
    pattern->band = band;
    DL_APPEND(server->patterns.list, pattern);
    patterns_look(server);
    return ASYNQ_OK;
}

static void pattern_end(asynq_server *server, queue_pattern *pattern)
{
    pattern->band->pattern = NULL; /* it ends with its last queue */
    band_end_if_empty(server, pattern->band);
    DL_DELETE(server->patterns.list, pattern);
    mem_free(pattern);
}

void patterns_remove(asynq_server *server, const char *text)
{
    queue_pattern *pattern = pattern_find(server, text);
    if (!pattern)
        return;
    for (size_t i = 0; i < server->queue_count; i++)
        if (server->queues[i]->band == pattern->band)
            queues_drop(server->queues[i]);
    pattern_end(server, pattern);
    patterns_look(server);
}

/* ---- names ---- */

/* A terminated copy in `copy`. False: a queue of this name is not served. */
static bool name_is_fit(const asynq_server *server, bytes name, char copy[PATTERN_NAME_MAX + 1])
{
    if (name.length > PATTERN_NAME_MAX || memchr(name.data, '\0', name.length) ||
        !broker_can_keep(&server->broker, name))
        return false;
    memcpy(copy, name.data, name.length);
    copy[name.length] = '\0';
    return !text_is_blank(copy, name.length) && text_is_utf8(copy, name.length) && !text_has_control(copy);
}

static bool is_full(const asynq_server *server)
{
    return server->queue_count >= PATTERN_QUEUES_MAX;
}

static void name_found(asynq_server *server, bytes name)
{
    server_patterns *own = &server->patterns;
    char copy[PATTERN_NAME_MAX + 1];
    served_queue *known = queues_find(server, name);
    own->listed++;
    if (known && !queue_is_leaving(known)) {
        known->seen = own->reading;
        return;
    }
    bool is_fit = name_is_fit(server, name, copy);
    queue_pattern *pattern = is_fit ? pattern_of(server, copy) : NULL;
    own->odd += !is_fit;
    if (!pattern)
        return;
    if (!known && is_full(server))
        own->over++;
    else if ((known = queues_take(server, copy, pattern->band)))
        known->seen = own->reading;
}

/* Also those of a pattern that another one, or their own name, has now, are found again by the next reading. */
static void forget_unseen(asynq_server *server)
{
    for (size_t i = 0; i < server->queue_count; i++) {
        served_queue *queue = server->queues[i];
        if (queue->band->pattern && queue->seen != server->patterns.reading && !queue_is_leaving(queue))
            queues_drop(queue);
    }
}

/* ---- reading the set ---- */

static bool is_watched(const asynq_server *server)
{
    return server->patterns.watch.state == WATCH_ARMED || server->patterns.watch.state == WATCH_ARMING;
}

static int64_t rest_ms(const server_patterns *own)
{
    int64_t ms = PATTERNS_REST_MS + (int64_t)own->last_listed * PATTERNS_REST_PER_THOUSAND / 1000;
    return ms < PATTERNS_REST_MAX_MS ? ms : PATTERNS_REST_MAX_MS;
}

static void tell_passed_over(asynq_server *server)
{
    server_patterns *own = &server->patterns;
    if (own->odd)
        log_event_repeated(
            &server->log, &own->odd_complaint, LOG_QUEUE_NAMES_IGNORED,
            "%zu in %s: they are longer than %d bytes, blank, no UTF-8, have control characters, or cannot be kept by "
            "this Redis",
            own->odd, global_key_name(&server->space, GLOBAL_KEY_QUEUES).data, PATTERN_NAME_MAX);
    if (own->over)
        log_event_repeated(
            &server->log, &own->over_complaint, LOG_QUEUES_OVER_LIMIT,
            "%zu match a pattern and are not served: a server has at most %d queues; give several servers narrower "
            "patterns",
            own->over, PATTERN_QUEUES_MAX);
}

static void reading_ended(asynq_server *server)
{
    server_patterns *own = &server->patterns;
    forget_unseen(server);
    tell_passed_over(server);
    own->last_listed = own->listed;
    own->read_at_ms = loop_steady_ms(server->loop);
    error_pause_end(&own->pause);
    int64_t poll_ms = server->options.task_check_interval_ms, min_ms = rest_ms(own);
    if (!own->is_wanted && is_watched(server))
        loop_timer_set(&own->timer, PATTERNS_SAFETY_MS);
    else
        loop_timer_set(&own->timer, own->is_wanted || min_ms > poll_ms ? min_ms : poll_ms);
}

static void patterns_page_read(void *arg, int status, const asynq_error *error, const redis_value *reply);

static void page_ask(void *arg)
{
    asynq_server *server = arg;
    server_patterns *own = &server->patterns;
    own->in_flight = broker_scan_queues(&server->broker, bytes_of(own->cursor), patterns_page_read, server) == 0;
    if (!own->in_flight)
        loop_timer_set(&own->timer, error_pause_next_ms(server, &own->pause));
}

static bool page_is_sound(const redis_value *reply)
{
    const redis_value *cursor = redis_value_at(reply, 0), *names = redis_value_at(reply, 1);
    return cursor && cursor->type == REDIS_STRING && names && names->type == REDIS_ARRAY;
}

static void page_failed(asynq_server *server, const asynq_error *error)
{
    server_patterns *own = &server->patterns;
    if (!redis_error_is_passing(error->code))
        log_event_repeated(&server->log, &own->complaint, LOG_QUEUE_SET_UNREADABLE, "%s", error->text);
    loop_timer_set(&own->timer, error_pause_next_ms(server, &own->pause));
}

static void patterns_page_read(void *arg, int status, const asynq_error *error, const redis_value *reply)
{
    asynq_server *server = arg;
    server_patterns *own = &server->patterns;
    asynq_error odd;
    own->in_flight = false;
    if (!status && !page_is_sound(reply)) {
        status = error_set(&odd, ASYNQ_E_MALFORMED, "Redis answered with something else than names");
        error = &odd;
    }
    if (status) {
        page_failed(server, error);
        return;
    }
    const redis_value *names = redis_value_at(reply, 1);
    for (size_t i = 0; i < names->count; i++)
        if (names->elements[i].type == REDIS_STRING)
            name_found(server, names->elements[i].text);
    bytes cursor = redis_value_at(reply, 0)->text;
    bool is_last = bytes_equal(cursor, bytes_of("0"));
    mem_free(own->cursor);
    own->cursor = is_last ? NULL : mem_dup(cursor.data, cursor.length);
    if (is_last)
        reading_ended(server);
    else if (own->cursor)
        loop_timer_set(&own->page, 0); /* what else waits for the loop comes first */
    else
        loop_timer_set(&own->timer, error_pause_next_ms(server, &own->pause));
}

static void arm(asynq_server *server)
{
    key_watch *watch = &server->patterns.watch;
    int slot = key_slot(watch->key);
    const redis_node *node = redis_nodes_at(server->broker.nodes, slot);
    if (node && subscriber_tracks(server, slot))
        key_watch_arm(watch, node->conn);
}

/* Watched before it is read: what changes meanwhile is told. */
static void reading_begin(void *arg)
{
    asynq_server *server = arg;
    server_patterns *own = &server->patterns;
    if (!own->list || own->in_flight || loop_timer_is_set(&own->page) || !server->fetching ||
        !broker_is_ready(&server->broker))
        return;
    own->is_wanted = false;
    arm(server);
    mem_free(own->cursor);
    own->cursor = mem_dup("0", 1);
    own->reading++;
    own->listed = own->odd = own->over = 0;
    if (own->cursor)
        page_ask(server);
    else
        loop_timer_set(&own->timer, error_pause_next_ms(server, &own->pause));
}

void patterns_look(asynq_server *server)
{
    server_patterns *own = &server->patterns;
    if (!own->list || !server->loop)
        return;
    own->is_wanted = true;
    int64_t wait_ms = own->read_at_ms ? own->read_at_ms + rest_ms(own) - loop_steady_ms(server->loop) : 0;
    if (!own->in_flight && !loop_timer_is_set(&own->page))
        loop_timer_set(&own->timer, wait_ms);
}

/* ---- the watch ---- */

static void set_size(void *arg, const redis_value *value)
{
    (void)arg; /* the reading tells more */
    (void)value;
}

static void set_changed(void *arg)
{
    patterns_look(arg);
}

void patterns_lost(asynq_server *server)
{
    key_watch_lost(&server->patterns.watch);
    patterns_look(server);
}

int patterns_start(asynq_server *server)
{
    server_patterns *own = &server->patterns;
    loop_timer_init(server->loop, &own->timer, reading_begin, server);
    loop_timer_init(server->loop, &own->page, page_ask, server);
    own->watch = (key_watch){
        .key = global_key_name(&server->space, GLOBAL_KEY_QUEUES),
        .read = set_read,
        .value = set_size,
        .changed = set_changed,
        .arg = server,
    };
    return ASYNQ_OK;
}

void patterns_stop(asynq_server *server)
{
    loop_timer_cancel(&server->patterns.timer);
    loop_timer_cancel(&server->patterns.page);
    mem_free(server->patterns.cursor);
    server->patterns.cursor = NULL;
}

void patterns_clear(asynq_server *server)
{
    while (server->patterns.list)
        pattern_end(server, server->patterns.list);
}
