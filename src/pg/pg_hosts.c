/* See pg_hosts.h. */
#include "pg/pg_hosts.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "event/timer.h"
#include "redis/lookup.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HOSTS = 16, WITHIN_MS = 5000 };

typedef struct pg_host {
    pg_hosts *owner;
    char *name, *port; /* port: "" for libpq's own choice */
    bool is_name;      /* and neither a number nor the path of a socket */
    redis_lookup *lookup;
    struct addrinfo *found;
} pg_host;

struct pg_hosts {
    loop *loop;
    pg_host hosts[MAX_HOSTS];
    size_t count;
    bool has_names, has_ports;
    loop_timer limit;
    pg_hosts_cb cb; /* NULL: nobody waits */
    void *arg;
    int problem; /* getaddrinfo()'s, of the last name that has no address */
    buf host_list, address_list, port_list;
};

/* ---- the connection string ---- */

static const char *pg_hosts_value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val && *options->val ? options->val : NULL;
    return NULL;
}

/* The element at `*at` of a list with commas, which moves on; NULL: out of memory. */
static char *next_element(const char **at)
{
    size_t length = strcspn(*at, ",");
    char *text = mem_alloc(length + 1);
    if (text) {
        memcpy(text, *at, length);
        text[length] = '\0';
    }
    *at += length + ((*at)[length] == ',');
    return text;
}

static bool is_name(const char *host)
{
    if (!*host || *host == '/' || *host == '@')
        return false;
    struct addrinfo *number = redis_lookup_number(host, 0);
    if (number)
        freeaddrinfo(number);
    return !number;
}

static size_t pg_hosts_count_elements(const char *list)
{
    size_t count = 1;
    for (; (list = strchr(list, ',')); list++)
        count++;
    return count;
}

/* False: out of memory. One port is that of all hosts. */
static bool take_hosts(pg_hosts *h, const char *hosts, const char *ports)
{
    const char *port = ports ? ports : "";
    bool has_own_ports = pg_hosts_count_elements(port) > 1;
    h->has_ports = ports != NULL;
    for (size_t left = pg_hosts_count_elements(hosts); left; left--) {
        pg_host *one = &h->hosts[h->count++];
        one->owner = h;
        one->name = next_element(&hosts);
        one->port = has_own_ports ? next_element(&port) : mem_strdup(port);
        if (!one->name || !one->port)
            return false;
        one->is_name = is_name(one->name);
        h->has_names |= one->is_name;
    }
    return true;
}

static void pg_hosts_time_is_up(void *hosts);

pg_hosts *pg_hosts_new(loop *l, const char *conninfo)
{
    pg_hosts *h = mem_calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->loop = l;
    loop_timer_init(l, &h->limit, pg_hosts_time_is_up, h);
    buf_init(&h->host_list, 0);
    buf_init(&h->address_list, 0);
    buf_init(&h->port_list, 0);
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *hosts = pg_hosts_value_of(options, "host");
    bool is_ours = hosts && !pg_hosts_value_of(options, "hostaddr") && pg_hosts_count_elements(hosts) <= MAX_HOSTS;
    bool is_read = !is_ours || take_hosts(h, hosts, pg_hosts_value_of(options, "port"));
    PQconninfoFree(options);
    if (is_read)
        return h;
    pg_hosts_free(h);
    return NULL;
}

static void forget_found(pg_host *host)
{
    if (host->found)
        freeaddrinfo(host->found);
    host->found = NULL;
}

void pg_hosts_free(pg_hosts *h)
{
    if (!h)
        return;
    pg_hosts_cancel(h);
    for (size_t i = 0; i < h->count; i++) {
        pg_host *one = &h->hosts[i];
        redis_lookup_abandon(one->lookup);
        forget_found(one);
        mem_free(one->name);
        mem_free(one->port);
    }
    buf_clear(&h->host_list);
    buf_clear(&h->address_list);
    buf_clear(&h->port_list);
    mem_free(h);
}

/* ---- lists for libpq ---- */

static void add_address(pg_hosts *h, const pg_host *host, const char *address)
{
    const char *comma = h->host_list.length ? "," : "";
    buf_append_text(&h->host_list, comma);
    buf_append_text(&h->host_list, host->name);
    buf_append_text(&h->address_list, comma);
    buf_append_text(&h->address_list, address);
    buf_append_text(&h->port_list, comma);
    buf_append_text(&h->port_list, host->port);
}

static void add_host(pg_hosts *h, const pg_host *host)
{
    char text[NI_MAXHOST];
    if (!host->is_name)
        add_address(h, host, "");
    for (const struct addrinfo *one = host->found; one; one = one->ai_next)
        if (!getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST))
            add_address(h, host, text);
}

static void answer(pg_hosts *h, const pg_addresses *addresses, const asynq_error *error)
{
    pg_hosts_cb cb = h->cb;
    h->cb = NULL;
    loop_timer_cancel(&h->limit);
    cb(h->arg, addresses, error);
}

static void answer_with_lists(pg_hosts *h)
{
    asynq_error error;
    h->host_list.length = h->address_list.length = h->port_list.length = 0;
    for (size_t i = 0; i < h->count; i++)
        add_host(h, &h->hosts[i]);
    if (buf_failed(&h->host_list) || buf_failed(&h->address_list) || buf_failed(&h->port_list)) {
        buf_init(&h->host_list, 0);
        buf_init(&h->address_list, 0);
        buf_init(&h->port_list, 0);
        error_set_code(&error, ASYNQ_E_NO_MEMORY);
        answer(h, NULL, &error);
    } else if (h->host_list.length) {
        answer(h, &(pg_addresses){h->host_list.data, h->address_list.data, h->has_ports ? h->port_list.data : NULL},
               NULL);
    } else {
        error_set(&error, ASYNQ_E_UNAVAILABLE, "the host has no address: %s",
                  h->problem ? gai_strerror(h->problem) : "no answer within 5 s");
        answer(h, NULL, &error);
    }
}

/* ---- looking up ---- */

static bool is_looking(const pg_hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->hosts[i].lookup)
            return true;
    return false;
}

static void host_found(void *arg, int problem, struct addrinfo *addresses)
{
    pg_host *host = arg;
    pg_hosts *h = host->owner;
    host->lookup = NULL;
    forget_found(host);
    host->found = addresses;
    if (problem)
        h->problem = problem;
    if (h->cb && !is_looking(h))
        answer_with_lists(h);
}

static void pg_hosts_time_is_up(void *arg)
{
    pg_hosts *h = arg;
    if (h->cb)
        answer_with_lists(h);
}

/* Each time anew, as a name may lead elsewhere by now. */
static void look_up_one(pg_host *host)
{
    asynq_error error;
    if (!host->is_name || host->lookup)
        return;
    forget_found(host);
    host->lookup = redis_lookup_start(host->owner->loop, host->name, 0, host_found, host, &error);
    if (!host->lookup)
        host->owner->problem = EAI_MEMORY;
}

void pg_hosts_look_up(pg_hosts *h, pg_hosts_cb cb, void *arg)
{
    h->cb = cb;
    h->arg = arg;
    h->problem = 0;
    if (!h->has_names) {
        answer(h, &(pg_addresses){0}, NULL);
        return;
    }
    for (size_t i = 0; i < h->count; i++)
        look_up_one(&h->hosts[i]);
    loop_timer_set(&h->limit, is_looking(h) ? WITHIN_MS : 0);
}

void pg_hosts_cancel(pg_hosts *h)
{
    h->cb = NULL;
    loop_timer_cancel(&h->limit);
}
