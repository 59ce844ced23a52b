/*
 * See connections.h. libevent 2.1 tells neither that evhttp has accepted a connection nor that it has closed one. So
 * connections are known by their descriptors: a socket that is still the same has the same inode.
 */
#include "metrics/connections.h"

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/open_files.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utlist.h>

enum {
    CONNECTIONS_LOOK_MS = 1000,
    CONNECTIONS_FULL_MS = 10,
    CONNECTIONS_MIN_PAUSE_MS = 50,
    CONNECTIONS_MAX_PAUSE_MS = 1000,
    CONNECTIONS_FILES_SHARE = 8,
    CONNECTIONS_MIN = 16,
    CONNECTIONS_MAX = 1024
};

typedef struct connection {
    int fd;
    uint64_t inode;
    int64_t since_ms; /* of the accept, or of the last answer; steady clock */
    bool is_handled;  /* a request has come, and has no answer yet */
    bool is_cut;
} connection;

struct connections {
    connections_options options;
    struct evconnlistener *listener;
    connection *items; /* room for `max`, and one that is let in while another goes */
    size_t count;
    struct bufferevent *fresh; /* made, and without its socket yet */
    struct event entry;        /* when it has it */
    struct event look;         /* the next look at them, or the end of a pause */
    int64_t pause_ms;          /* after errors of accept() */
    log_limit complaint;
    connections *prev, *next;
};

/* An error of accept() comes with evhttp's argument, so they are found by their listeners. The loop's thread. */
static connections *all_connections;

/* ---- which there are ---- */

/*
 * 0: nothing is open there. The number may be another thread's by now, whose file is then seen to be another one; the
 * thread sanitizer does not know that, and would call fstat() a race.
 */
static uint64_t connections_inode(int fd)
{
    struct statx state;
    return statx(fd, "", AT_EMPTY_PATH, STATX_INO, &state) ? 0 : state.stx_ino;
}

static bool connection_is_open(const connection *item)
{
    return connections_inode(item->fd) == item->inode;
}

static void connections_drop(connections *c, size_t which)
{
    c->items[which] = c->items[--c->count];
}

static void drop_closed(connections *c)
{
    for (size_t i = c->count; i-- > 0;)
        if (!connection_is_open(&c->items[i]))
            connections_drop(c, i);
}

static connection *find_connection(connections *c, int fd)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i].fd == fd)
            return &c->items[i];
    return NULL;
}

/* The socket of the last one is known now. */
static void enter_fresh(connections *c)
{
    struct bufferevent *fresh = c->fresh;
    if (!fresh)
        return;
    int fd = bufferevent_getfd(fresh);
    uint64_t inode = fd >= 0 ? connections_inode(fd) : 0;
    c->fresh = NULL;
    if (inode) {
        connection *item = find_connection(c, fd);
        if (!item && c->count <= c->options.max)
            item = &c->items[c->count++];
        if (item)
            *item = (connection){.fd = fd, .inode = inode, .since_ms = loop_steady_ms(c->options.loop)};
    }
    bufferevent_decref(fresh);
}

/* evhttp reads its end, and closes it. */
static void connection_cut(connection *item)
{
    item->is_cut = true;
    if (connection_is_open(item))
        shutdown(item->fd, SHUT_RDWR);
}

static void cut_late(connections *c)
{
    int64_t now_ms = loop_steady_ms(c->options.loop);
    for (size_t i = 0; i < c->count; i++)
        if (!c->items[i].is_handled && now_ms - c->items[i].since_ms >= c->options.request_within_ms)
            connection_cut(&c->items[i]);
}

/* The one without a request for the longest time; NULL: all are handled, or cut. */
static connection *find_oldest(connections *c)
{
    connection *oldest = NULL;
    for (size_t i = 0; i < c->count; i++)
        if (!c->items[i].is_handled && !c->items[i].is_cut && (!oldest || c->items[i].since_ms < oldest->since_ms))
            oldest = &c->items[i];
    return oldest;
}

/* Some at once, so that a crowd of silent ones does not keep those waiting that have something to ask. */
static void cut_oldest(connections *c)
{
    for (size_t left = 1 + c->count / 8; left; left--) {
        connection *oldest = find_oldest(c);
        if (!oldest)
            return;
        connection_cut(oldest);
    }
}

/* ---- pauses ---- */

static void look_in(connections *c, int64_t ms)
{
    event_add(&c->look, &(struct timeval){(time_t)(ms / MS_PER_SECOND), (suseconds_t)(ms % MS_PER_SECOND * 1000)});
}

static void connections_pause(connections *c, int64_t ms)
{
    evconnlistener_disable(c->listener);
    look_in(c, ms);
}

static void connections_enter(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    enter_fresh(arg);
}

static void connections_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    connections *c = arg;
    enter_fresh(c);
    drop_closed(c);
    cut_late(c);
    if (c->count < c->options.max)
        evconnlistener_enable(c->listener);
    if (c->count)
        look_in(c, c->count < c->options.max ? CONNECTIONS_LOOK_MS : CONNECTIONS_FULL_MS);
}

/* Descriptors for example: whoever waits in line is accepted when there are some again, if only those of silent ones.
 */
static void accept_failed(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    int problem = EVUTIL_SOCKET_ERROR();
    connections *c;
    DL_SEARCH_SCALAR(all_connections, c, listener, listener);
    if (!c)
        return;
    c->pause_ms = backoff_next_ms(c->pause_ms, CONNECTIONS_MIN_PAUSE_MS, CONNECTIONS_MAX_PAUSE_MS);
    cut_oldest(c);
    connections_pause(c, c->pause_ms);
    log_event_repeated(c->options.log, &c->complaint, LOG_ACCEPT_FAILED, "%s", strerror(problem));
}

void connections_add(connections *c, struct bufferevent *fresh)
{
    enter_fresh(c);
    bufferevent_incref(fresh);
    c->fresh = fresh;
    c->pause_ms = 0;
    event_add(&c->entry, &(struct timeval){0});
    if (!c->count)
        look_in(c, CONNECTIONS_LOOK_MS);
    if (c->count + 1 < c->options.max)
        return;
    drop_closed(c);
    if (c->count + 1 >= c->options.max)
        cut_oldest(c);
    connections_pause(c, 0); /* the cut ones are closed in the next turn */
}

/* ---- requests ---- */

void connections_begin(connections *c, int fd)
{
    enter_fresh(c);
    connection *item = find_connection(c, fd);
    if (item)
        item->is_handled = true;
}

void connections_end(connections *c, int fd)
{
    connection *item = find_connection(c, fd);
    if (!item)
        return;
    item->is_handled = false;
    item->since_ms = loop_steady_ms(c->options.loop);
}

/* ---- the whole ---- */

size_t connections_default_max(void)
{
    return (size_t)open_files_share(CONNECTIONS_FILES_SHARE, CONNECTIONS_MIN, CONNECTIONS_MAX);
}

connections *connections_new(const connections_options *options)
{
    connections *c = mem_calloc(1, sizeof *c);
    if (!c || !(c->items = mem_calloc(options->max + 1, sizeof *c->items))) {
        mem_free(c);
        return NULL;
    }
    c->options = *options;
    c->complaint.min_ms = 60 * MS_PER_SECOND;
    event_assign(&c->entry, loop_base(options->loop), -1, 0, connections_enter, c);
    event_assign(&c->look, loop_base(options->loop), -1, 0, connections_look, c);
    DL_APPEND(all_connections, c);
    return c;
}

void connections_listen(connections *c, struct evconnlistener *listener)
{
    c->listener = listener;
    evconnlistener_set_error_cb(listener, accept_failed);
}

void connections_free(connections *c)
{
    if (!c)
        return;
    DL_DELETE(all_connections, c);
    event_del(&c->entry);
    event_del(&c->look);
    if (c->fresh)
        bufferevent_decref(c->fresh);
    mem_free(c->items);
    mem_free(c);
}
