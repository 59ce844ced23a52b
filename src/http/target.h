/*
 * Where HTTP calls may go. URLs can come from tasks, and then from anybody who can enqueue one; so each connection is
 * checked by the address that it really goes to, after DNS and after redirects.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/settings.h"

#include <sys/socket.h>

typedef enum target_private {
    TARGET_PRIVATE_AUTO, /* only if the host is written in the configuration */
    TARGET_PRIVATE_ALLOW,
    TARGET_PRIVATE_DENY
} target_private;

typedef struct target_network {
    unsigned char address[16]; /* IPv4 as ::ffff:a.b.c.d */
    int bits;
} target_network;

/* One side of the lists, by what its items are. */
typedef struct target_rules {
    const char **hosts; /* "api.example.com", "*.example.com"; in lower case */
    size_t host_count;
    target_network *networks;
    size_t network_count;
} target_rules;

typedef struct target_options {
    setting_list allow, deny;
    int private_addresses; /* target_private */

    /* Made by target_prepare(). */
    target_rules allowed, denied;
} target_options;

extern const setting target_table[];

int target_prepare(settings *file, settings_node *node, target_options *options, asynq_error *error);

/*
 * Whether a call may go to this host at this address. `address` NULL: a proxy looks for it. `is_written`: the host is
 * written in the configuration. False: `problem` says why not.
 */
bool target_is_allowed(const target_options *options, const char *host, const struct sockaddr *address, bool is_written,
                       buf *problem);

/* Reads "127.0.0.1" or "::1". False: it is none. */
bool target_read_address(const char *text, struct sockaddr_storage *address);
/* Not an address of the public Internet: private, loopback, link-local, multicast, reserved. */
bool target_is_private(const struct sockaddr *address);

#endif
