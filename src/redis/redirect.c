/* See redirect.h. */
#include "redis/redirect.h"

#include "wire/keys.h"

#include <stdio.h>
#include <string.h>

enum { REDIRECT_MAX_PORT = 65535 };

static const struct {
    const char *word;
    redirect_kind kind;
} redirect_words[] = {
    {"MOVED", REDIRECT_MOVED}, {"ASK", REDIRECT_ASK}, {"TRYAGAIN", REDIRECT_LATER}, {"CLUSTERDOWN", REDIRECT_LATER}};

/* Of a script that met a key which has gone; see broker_call(). */
static const char *const gone_keys[] = {"attempted to access a non local key", "during rehashing of the slot"};

static redirect_kind redirect_find_kind(bytes text)
{
    for (size_t i = 0; i < sizeof redirect_words / sizeof *redirect_words; i++) {
        size_t length = strlen(redirect_words[i].word);
        if (text.length >= length && memcmp(text.data, redirect_words[i].word, length) == 0 &&
            (text.length == length || text.data[length] == ' '))
            return redirect_words[i].kind;
    }
    return REDIRECT_NONE;
}

/* "host:port", where the host of an IPv6 address has colons, too. */
static void redirect_read_place(redis_redirect *redirect, const char *place)
{
    const char *colon = strrchr(place, ':');
    int port = 0;
    size_t length = colon ? (size_t)(colon - place) : 0;
    if (!colon || sscanf(colon + 1, "%6d", &port) != 1 || port < 1 || port > REDIRECT_MAX_PORT)
        return;
    if (length >= sizeof redirect->host)
        return;
    memcpy(redirect->host, place, length);
    redirect->port = port;
}

redis_redirect redis_redirect_of(const redis_value *reply)
{
    redis_redirect redirect = {.slot = -1};
    char place[NI_MAXHOST + 8] = "";
    int slot = -1;
    if (reply->type != REDIS_ERROR)
        return redirect;
    redirect.kind = redirect_find_kind(reply->text);
    for (size_t i = 0; redirect.kind == REDIRECT_NONE && i < sizeof gone_keys / sizeof *gone_keys; i++)
        if (memmem(reply->text.data, reply->text.length, gone_keys[i], strlen(gone_keys[i])))
            redirect.kind = REDIRECT_LATER;
    if (redirect.kind != REDIRECT_MOVED && redirect.kind != REDIRECT_ASK)
        return redirect;
    if (sscanf(reply->text.data, "%*s %7d %1032s", &slot, place) >= 1 && slot >= 0 && slot < KEY_SLOTS)
        redirect.slot = slot;
    redirect_read_place(&redirect, place);
    return redirect;
}
