/* See http_multi.h. */
#include "http/http_multi.h"

#include "base/alloc.h"
#include "base/open_files.h"
#include "event/watch.h"

/* A socket of libcurl's. */
typedef struct http_socket {
    http_multi *owner;
    loop_watch watch;
} http_socket;

static void tell_ended(void *arg)
{
    http_multi *m = arg;
    CURLMsg *message;
    int left;
    m->will_look = false;
    m->events.turn(m->events.arg);
    while ((message = curl_multi_info_read(m->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            m->events.ended(m->events.arg, message->easy_handle, message->data.result);
}

/* Not from inside of libcurl, which may have called us. */
void http_multi_look_later(http_multi *m)
{
    if (m->will_look)
        return;
    m->will_look = true;
    loop_defer(m->loop, &m->look, tell_ended, m);
}

static void http_multi_act(http_multi *m, curl_socket_t fd, int what)
{
    int running;
    curl_multi_socket_action(m->multi, fd, what, &running);
    http_multi_look_later(m);
}

static void socket_ready(void *arg, bool can_read, bool can_write)
{
    http_socket *own = arg;
    http_multi_act(own->owner, own->watch.fd, (can_read ? CURL_CSELECT_IN : 0) | (can_write ? CURL_CSELECT_OUT : 0));
}

static void timer_fired(void *arg)
{
    http_multi_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    http_multi *m = arg;
    http_socket *own = known;
    if (what == CURL_POLL_REMOVE) {
        if (own)
            loop_watch_clear(&own->watch);
        mem_free(own);
        return 0;
    }
    if (!own) {
        own = mem_calloc(1, sizeof *own);
        if (!own)
            return -1;
        own->owner = m;
        loop_watch_init(m->loop, &own->watch, fd, socket_ready, own);
        curl_multi_assign(m->multi, fd, own);
    }
    loop_watch_set(&own->watch, what & CURL_POLL_IN, what & CURL_POLL_OUT);
    return 0;
}

static int http_multi_set_timer(CURLM *multi, long delay_ms, void *arg)
{
    (void)multi;
    http_multi *m = arg;
    if (delay_ms < 0)
        loop_timer_cancel(&m->timer);
    else
        loop_timer_set(&m->timer, delay_ms);
    return 0;
}

/* ---- transfers ---- */

bool http_multi_add(http_multi *m, CURL *easy)
{
    return curl_multi_add_handle(m->multi, easy) == CURLM_OK;
}

void http_multi_remove(http_multi *m, CURL *easy)
{
    curl_multi_remove_handle(m->multi, easy);
}

CURL *http_multi_take_easy(http_multi *m)
{
    return m->spare_count ? m->spare[--m->spare_count] : curl_easy_init();
}

void http_multi_give_back_easy(http_multi *m, CURL *easy)
{
    if (m->spare_count == HTTP_SPARE_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    m->spare[m->spare_count++] = easy;
}

/* ---- the whole ---- */

/* Connections that nobody uses are not to take the descriptors that others lack. */
static long http_multi_kept(void)
{
    enum { KEPT_MIN = 4, KEPT_SHARE = 8, KEPT_MAX = 1024 };
    return (long)open_files_share(KEPT_SHARE, KEPT_MIN, KEPT_MAX);
}

bool http_multi_init(http_multi *m, loop *l, const http_multi_events *events)
{
    *m = (http_multi){.loop = l, .events = *events};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(m->multi = curl_multi_init()))
        return false;
    loop_timer_init(l, &m->timer, timer_fired, m);
    curl_multi_setopt(m->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(m->multi, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->multi, CURLMOPT_TIMERFUNCTION, http_multi_set_timer);
    curl_multi_setopt(m->multi, CURLMOPT_TIMERDATA, m);
    curl_multi_setopt(m->multi, CURLMOPT_MAXCONNECTS, http_multi_kept());
    return true;
}

void http_multi_clear(http_multi *m)
{
    while (m->spare_count)
        curl_easy_cleanup(m->spare[--m->spare_count]);
    curl_multi_cleanup(m->multi);
    loop_timer_cancel(&m->timer);
}
