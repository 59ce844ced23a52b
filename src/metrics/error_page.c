/* See error_page.h. evhttp writes a page into the connection's buffer in one go, before any of it is sent. */
#include "metrics/error_page.h"

#include "base/buf.h"
#include "base/quantity.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum { ERROR_PAGE_MAX = 4096, ERROR_STATUS_AT = sizeof "HTTP/1.1 " - 1 };

typedef struct error_text {
    int status;
    const char *line, *text;
} error_text;

/* In evhttp's order of likelihood; the last is for all others. A method that it does not know has status 0. */
static const error_text error_texts[] = {
    {400, "400 Bad Request", "the request cannot be read as HTTP"},
    {413, "413 Content Too Large", NULL},
    {417, "417 Expectation Failed", "this Expect is not known"},
    {501, "501 Not Implemented", "there is no such method"},
    {0, "501 Not Implemented", "there is no such method"},
    {-1, "503 Service Unavailable", "the request cannot be answered now"},
};

/* A buffer's callback has room for the connection only. */
static error_pages *all_pages;

static error_pages *find_pages(const struct bufferevent *connection)
{
    error_pages *pages;
    DL_FOREACH(all_pages, pages)
        if (loop_base(pages->ends.loop) == bufferevent_get_base((struct bufferevent *)connection))
            break;
    return pages;
}

static const error_text *find_error(int status)
{
    const error_text *row = error_texts;
    while (row->status >= 0 && row->status != status)
        row++;
    return row;
}

static void append_error_body(const error_pages *pages, const error_text *row, buf *out)
{
    if (row->text) {
        buf_append_format(out, "{\"error\": \"%s\"}\n", row->text);
        return;
    }
    buf_append_text(out, "{\"error\": \"the body is larger than endpoints.max_body_size, ");
    size_append(out, pages->max_body);
    buf_append_text(out, ", or its chunks cannot be read\"}\n");
}

static void replace_page(error_pages *pages, struct evbuffer *out, int status)
{
    const error_text *row = find_error(status);
    buf body;
    buf_init(&body, 0);
    append_error_body(pages, row, &body);
    pages->is_ours = true;
    evbuffer_drain(out, evbuffer_get_length(out));
    evbuffer_add_printf(out,
                        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                        "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                        row->line, body.length);
    evbuffer_add(out, body.data, body.length);
    pages->is_ours = false;
    buf_clear(&body);
}

static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
    static const char end[] = "</BODY></HTML>\n", begin[] = "HTTP/1.";
    struct bufferevent *connection = arg;
    error_pages *pages = find_pages(connection);
    char text[ERROR_PAGE_MAX + 1] = "";
    size_t length = evbuffer_get_length(out);
    if (!pages || pages->is_ours || !info->n_added || length > ERROR_PAGE_MAX || length < sizeof end + ERROR_STATUS_AT)
        return;
    evbuffer_unfreeze(out, 1); /* its owner freezes it again when it sends */
    bool is_page = evbuffer_copyout(out, text, length) == (ev_ssize_t)length &&
                   memcmp(text, begin, sizeof begin - 1) == 0 &&
                   memcmp(text + length - (sizeof end - 1), end, sizeof end - 1) == 0;
    if (!is_page)
        return;
    replace_page(pages, out, atoi(text + ERROR_STATUS_AT));
    linger_add(&pages->ends, bufferevent_getfd(connection));
}

void error_pages_init(error_pages *pages, loop *owner, int64_t max_body)
{
    *pages = (error_pages){.max_body = max_body};
    linger_init(&pages->ends, owner);
    DL_APPEND(all_pages, pages);
}

void error_pages_clear(error_pages *pages)
{
    linger_clear(&pages->ends);
    DL_DELETE(all_pages, pages);
}

void error_pages_watch(struct bufferevent *connection)
{
    evbuffer_add_cb(bufferevent_get_output(connection), on_output, connection);
}
