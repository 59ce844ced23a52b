/* See target.h. */
#include "http/target.h"

#include "base/error.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const private_names[] = {
    [TARGET_PRIVATE_AUTO] = "auto", [TARGET_PRIVATE_ALLOW] = "allow", [TARGET_PRIVATE_DENY] = "deny", NULL};

const setting target_table[] = {
    {.name = "private_addresses",
     .kind = SETTING_CHOICE,
     .offset = offsetof(target_options, private_addresses),
     .choices = private_names,
     .preset = "auto",
     .help = "Allow requests to addresses that are not public: private, loopback, link-local and reserved ones. auto: "
             "only if the host is written in `url`, not if it comes from a task, a redirect or, for a public name, "
             "from DNS. The address of the connection is checked. Behind a proxy it is not known: names are checked, "
             "and those without a dot, localhost, *.localhost, *.local, *.internal and *.home.arpa count as private."},
    {.name = "allow",
     .kind = SETTING_LIST,
     .offset = offsetof(target_options, allow),
     .value = "[HOST|*.DOMAIN|NETWORK, ...]",
     .example = "[\"*.example.com\", 10.1.0.0/16]",
     .help = "The only targets, if there are any. Networks that are named here are allowed even if they are private."},
    {.name = "deny",
     .kind = SETTING_LIST,
     .offset = offsetof(target_options, deny),
     .value = "[HOST|*.DOMAIN|NETWORK, ...]",
     .help = "Targets that are always refused."},
    {0},
};

/* ---- addresses ---- */

/* As 16 bytes, IPv4 mapped into IPv6. False: another family. */
static bool as_bytes(const struct sockaddr *address, unsigned char bytes[16])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (address->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        return true;
    }
    memcpy(bytes, mapped, sizeof mapped);
    memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    return address->sa_family == AF_INET;
}

static bool target_is_in(const unsigned char bytes[16], const target_network *network)
{
    int whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(bytes, network->address, (size_t)whole) != 0)
        return false;
    return !rest || (bytes[whole] >> (8 - rest)) == (network->address[whole] >> (8 - rest));
}

bool target_read_address(const char *text, struct sockaddr_storage *address)
{
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        address->ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        address->ss_family = AF_INET6;
    return address->ss_family != 0;
}

static bool read_network(const char *text, target_network *network)
{
    char address_text[64];
    struct sockaddr_storage address;
    int64_t bits;
    const char *slash = strchr(text, '/');
    snprintf(address_text, sizeof address_text, "%.*s", (int)(slash ? (size_t)(slash - text) : strlen(text)), text);
    if (!target_read_address(address_text, &address) || !as_bytes((struct sockaddr *)&address, network->address))
        return false;
    int max = address.ss_family == AF_INET ? 32 : 128;
    bits = max;
    if (slash && (!text_read_number(slash + 1, &bits) || bits > max))
        return false;
    network->bits = (int)bits + 128 - max;
    return true;
}

/*
 * IANA's registries of special-purpose addresses: what is not globally reachable, and what embeds another address,
 * which could be one of those.
 */
static const char *const private_networks[] = {
    "0.0.0.0/8",      "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",   "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",  "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4",  "240.0.0.0/4",    "::/96",          "64:ff9b::/96",   "64:ff9b:1::/48",
    "100::/64",       "2001::/23",    "2001:db8::/32",  "2002::/16",      "3fff::/20",      "5f00::/16",
    "fc00::/7",       "fe80::/10",    "fec0::/10",      "ff00::/8",
};

enum { PRIVATE_COUNT = sizeof private_networks / sizeof *private_networks };

/* Read once, as each request asks. */
static target_network private_ranges[PRIVATE_COUNT];

static void read_private_ranges(void)
{
    for (size_t i = 0; i < PRIVATE_COUNT; i++)
        if (!read_network(private_networks[i], &private_ranges[i]))
            abort(); /* the table above is wrong */
}

bool target_is_private(const struct sockaddr *address)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned char bytes[16];
    if (!as_bytes(address, bytes))
        return true; /* neither IPv4 nor IPv6: not the Internet */
    pthread_once(&once, read_private_ranges);
    for (size_t i = 0; i < PRIVATE_COUNT; i++)
        if (target_is_in(bytes, &private_ranges[i]))
            return true;
    return false;
}

/* ---- rules ---- */

static bool is_host_pattern(const char *text)
{
    if (strncmp(text, "*.", 2) == 0)
        text += 2;
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-_");
    return length && !text[length];
}

static int add_rule(settings *file, settings_node *node, const char *list, const char *text, target_rules *rules,
                    asynq_error *error)
{
    char *host = arena_dup(settings_memory(file), text, strlen(text));
    if (!host)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    if (read_network(text, &rules->networks[rules->network_count])) {
        rules->network_count++;
        return ASYNQ_OK;
    }
    for (char *at = host; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    if (!is_host_pattern(host))
        return settings_complain(file, node, error,
                                 "%s: \"%s\" is neither a host, nor *.DOMAIN, nor a network such as 10.0.0.0/8", list,
                                 text);
    rules->hosts[rules->host_count++] = host;
    return ASYNQ_OK;
}

static int prepare_rules(settings *file, settings_node *node, const char *name, const setting_list *list,
                         target_rules *rules, asynq_error *error)
{
    int status = ASYNQ_OK;
    rules->hosts = arena_alloc(settings_memory(file), (list->count + 1) * sizeof *rules->hosts);
    rules->networks = arena_alloc(settings_memory(file), (list->count + 1) * sizeof *rules->networks);
    if (!rules->hosts || !rules->networks)
        return error_set_code(error, ASYNQ_E_NO_MEMORY);
    for (size_t i = 0; !status && i < list->count; i++)
        status = add_rule(file, node, name, list->items[i], rules, error);
    return status;
}

int target_prepare(settings *file, settings_node *node, target_options *options, asynq_error *error)
{
    int status = prepare_rules(file, node, "allow", &options->allow, &options->allowed, error);
    return status ? status : prepare_rules(file, node, "deny", &options->deny, &options->denied, error);
}

/* ---- asking ---- */

static bool matches_host(const target_rules *rules, const char *host)
{
    char name[256];
    size_t length = strlen(host);
    while (length && host[length - 1] == '.')
        length--; /* "host." is "host" */
    snprintf(name, sizeof name, "%.*s", (int)length, host);
    for (size_t i = 0; i < rules->host_count; i++) {
        const char *pattern = rules->hosts[i];
        size_t end = strlen(pattern) - 1; /* of "*.domain", without the star */
        size_t own = strlen(name);
        if (*pattern == '*' ? own > end && strcasecmp(name + own - end, pattern + 1) == 0
                            : strcasecmp(name, pattern) == 0)
            return true;
    }
    return false;
}

static bool matches_address(const target_rules *rules, const struct sockaddr *address)
{
    unsigned char bytes[16];
    if (!address || !as_bytes(address, bytes))
        return false;
    for (size_t i = 0; i < rules->network_count; i++)
        if (target_is_in(bytes, &rules->networks[i]))
            return true;
    return false;
}

static bool target_refuse(buf *problem, const char *host, const struct sockaddr *address, const char *why)
{
    char text[64] = "";
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, text, sizeof text);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, text, sizeof text);
    buf_append_format(problem, "%s%s%s%s %s", host, *text ? " (" : "", text, *text ? ")" : "", why);
    return false;
}

/* A name that means something on this machine or in this network only. */
static bool target_is_local_name(const char *host)
{
    static const char *const endings[] = {".localhost", ".local", ".internal", ".home.arpa"};
    char name[256];
    size_t length = strlen(host);
    snprintf(name, sizeof name, "%s", host);
    if (length && length < sizeof name && name[length - 1] == '.')
        name[--length] = '\0'; /* the root of DNS, in full */
    if (!strchr(name, '.'))
        return true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t own = strlen(endings[i]);
        if (length > own && strcasecmp(name + length - own, endings[i]) == 0)
            return true;
    }
    return false;
}

bool target_is_allowed(const target_options *options, const char *host, const struct sockaddr *address, bool is_written,
                       buf *problem)
{
    struct sockaddr_storage literal;
    if (!address && target_read_address(host, &literal))
        address = (struct sockaddr *)&literal;
    if (matches_host(&options->denied, host) || matches_address(&options->denied, address))
        return target_refuse(problem, host, address, "is denied by the configuration");
    bool is_named = matches_address(&options->allowed, address), is_host_named = matches_host(&options->allowed, host);
    if (options->allow.count && !is_named && !is_host_named)
        return target_refuse(problem, host, address, "is not among the allowed targets");
    bool may_be_private = options->private_addresses == TARGET_PRIVATE_ALLOW ||
                          (options->private_addresses == TARGET_PRIVATE_AUTO && is_written);
    if (address && !is_named && !may_be_private && target_is_private(address))
        return target_refuse(problem, host, address, "is no public address; see private_addresses in asynqd.conf(5)");
    if (!address && !is_host_named && !may_be_private && target_is_local_name(host))
        return target_refuse(problem, host, address, "is no public name; see private_addresses in asynqd.conf(5)");
    return true;
}
