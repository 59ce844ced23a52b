/* See http_request.h. */
#include "metrics/http_request.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>

static const struct {
    enum evhttp_cmd_type type;
    const char *name; /* of routes */
} methods[] = {
    {EVHTTP_REQ_GET, "GET"},         {EVHTTP_REQ_HEAD, "GET"}, {EVHTTP_REQ_POST, "POST"},
    {EVHTTP_REQ_DELETE, "DELETE"},   {EVHTTP_REQ_PUT, "PUT"},  {EVHTTP_REQ_PATCH, "PATCH"},
    {EVHTTP_REQ_OPTIONS, "OPTIONS"},
};

const char *http_request_method(const struct evhttp_request *http)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].type == evhttp_request_get_command(http))
            return methods[i].name;
    return "?";
}

const char *http_request_why_ambiguous(struct evhttp_request *http)
{
    const struct evkeyval *header;
    const char *length = NULL, *coding = NULL;
    TAILQ_FOREACH(header, evhttp_request_get_input_headers(http), next)
    {
        bool is_length = strcasecmp(header->key, "Content-Length") == 0;
        if (!*header->key || strpbrk(header->key, " \t"))
            return "there is a space in the name of a header";
        if (strcasecmp(header->key, "Transfer-Encoding") == 0)
            coding = coding ? "twice" : header->value;
        if (is_length && (!*header->value || header->value[strspn(header->value, "0123456789")]))
            return "Content-Length is no number";
        if (is_length && length && strcmp(length, header->value) != 0)
            return "there are two different Content-Length";
        if (is_length)
            length = header->value;
    }
    if (coding && length)
        return "there are both Transfer-Encoding and Content-Length";
    return coding && strcasecmp(coding, "chunked") != 0 ? "this Transfer-Encoding is not known" : NULL;
}
