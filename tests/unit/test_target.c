#include "unit.h"

#include "http/target.h"

#include <string.h>

START_TEST(private_addresses)
{
    static const char *const private[] = {
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    };
    static const char *const public[] = {
        "1.1.1.1",         "9.255.255.255",  "11.0.0.1",    "93.184.216.34",     "100.63.255.255",       "100.128.0.1",
        "126.255.255.255", "128.0.0.1",      "169.253.0.1", "172.15.255.255",    "172.32.0.1",           "192.167.1.1",
        "223.255.255.255", "::ffff:1.1.1.1", "2600::1",     "2a00:1450:4001::1", "2001:4860:4860::8888",
    };
    struct sockaddr_storage address;
    for (size_t i = 0; i < sizeof private / sizeof *private; i++) {
        ck_assert(target_read_address(private[i], &address));
        ck_assert_msg(target_is_private((struct sockaddr *)&address), "%s is taken for public", private[i]);
    }
    for (size_t i = 0; i < sizeof public / sizeof *public; i++) {
        ck_assert(target_read_address(public[i], &address));
        ck_assert_msg(!target_is_private((struct sockaddr *)&address), "%s is taken for private", public[i]);
    }
    struct sockaddr local = {.sa_family = AF_UNIX};
    ck_assert(target_is_private(&local));
    ck_assert(!target_read_address("1.2.3", &address) && !target_read_address("host", &address));
}
END_TEST

Suite *suite_target(void)
{
    const TTest *const list[] = {private_addresses, NULL};
    return suite_of("targets", list);
}
