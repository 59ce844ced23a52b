#include "unit.h"

#include "base/alloc.h"
#include "schedule/zone.h"
#include "schedule/zone_rule.h"

#include <stdio.h>
#include <string.h>

static const char berlin[] = "CET-1CEST,M3.5.0,M10.5.0/3";

static zone_rule rule_of(const char *text)
{
    zone_rule rule;
    ck_assert_msg(zone_rule_parse(&rule, text, strlen(text)), "%s", text);
    return rule;
}

START_TEST(rules)
{
    static const struct {
        const char *text;
        int64_t unix_s;
        int32_t offset_s;
    } rows[] = {
        {"UTC0", 0, 0},
        {"<+0545>-5:45", 4000000000, 20700},
        {"<-00>0", 0, 0},
        {berlin, 2216250000 - 1, 3600}, /* 2040-03-25 01:00 UTC */
        {berlin, 2216250000, 7200},
        {berlin, 2234998800 - 1, 7200}, /* 2040-10-28 01:00 UTC */
        {berlin, 2234998800, 3600},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 2216250000 - 1, 0}, /* Ireland: winter is the exception */
        {"IST-1GMT0,M10.5.0,M3.5.0/1", 2216250000, 3600},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 2208988800, 39600},        /* the first of January 2040 */
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 2216250000 - 1, -7200}, /* Nuuk, on the day before in local time */
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 2216250000, -3600},
        {"EST5EDT,0/0,J365/25", 2208988800, -14400}, /* summer all year */
        {"EST5EDT,0/0,J365/25", 2240611199, -14400},
        {"AAA0BBB,J60,J61", 2214180000, 3600}, /* the first of March, also in the leap year 2040: 2 o'clock */
        {"AAA0BBB,J60,J61", 2214180000 - 7201 + 7200, 0},
        {"AAA0BBB,59,60", 2214093600, 3600}, /* its 60th day, the 29th of February */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        zone_rule rule = rule_of(rows[i].text);
        ck_assert_msg(zone_rule_offset(&rule, rows[i].unix_s) == rows[i].offset_s, "%s at %lld: %d", rows[i].text,
                      (long long)rows[i].unix_s, zone_rule_offset(&rule, rows[i].unix_s));
    }
}
END_TEST

START_TEST(no_rules)
{
    static const char *const texts[] = {"",
                                        "CE-1",
                                        "CET",
                                        "CET-",
                                        "CET-1CEST",
                                        "CET-1CEST,M3.5.0",
                                        "CET-1CEST,M3.5.0,M10.5.0/3 ",
                                        "CET-1CEST,M13.5.0,M10.5.0",
                                        "CET-1CEST,M3.6.0,M10.5.0",
                                        "CET-1CEST,M3.5.7,M10.5.0",
                                        "CET-1CEST,J0,J3",
                                        "CET-1CEST,366,J3",
                                        "CET-99CEST,M3.5.0,M10.5.0",
                                        "CET-1CEST,M3.5.0/168,M10.5.0",
                                        "CET-1:60CEST,M3.5.0,M10.5.0",
                                        "<CET-1",
                                        "CET-11111111111111111111"};
    zone_rule rule;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!zone_rule_parse(&rule, texts[i], strlen(texts[i])), "%s", texts[i]);
}
END_TEST

static size_t read_zone(const char *name, unsigned char *data, size_t size)
{
    char path[200];
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t length = fread(data, 1, size, file);
    fclose(file);
    return length;
}

/* Ends anywhere, or with any byte another one: it is refused, or a zone that can be asked. */
START_TEST(damaged_files)
{
    unsigned char data[8192], damaged[8192];
    zone *z;
    size_t length = read_zone("Europe/Dublin", data, sizeof data);
    ck_assert_int_eq(zone_parse(&z, data, length), 0);
    ck_assert_int_eq(zone_offset(z, 2216250000), 3600);
    zone_free(z);
    for (size_t i = 0; i < length; i++) {
        char *copy = mem_dup(data, i); /* so that reading beyond it is seen */
        ck_assert_int_eq(zone_parse(&z, copy, i), ASYNQ_E_INVALID);
        mem_free(copy);
        memcpy(damaged, data, length);
        damaged[i] ^= 0xff;
        if (zone_parse(&z, damaged, length))
            continue;
        (void)zone_change_within(z, 0, 86400LL * 365 * 70);
        zone_free(z);
    }
}
END_TEST

static int forbid(void)
{
    return 0;
}

START_TEST(no_memory)
{
    asynq_error error;
    zone *z;
    mem_allow_hook = forbid;
    int status = zone_load(&z, "Europe/Berlin", &error);
    mem_allow_hook = NULL;
    ck_assert_int_eq(status, ASYNQ_E_NO_MEMORY);
    ck_assert_ptr_null(z);
}
END_TEST

Suite *suite_zone(void)
{
    const TTest *const list[] = {rules, no_rules, damaged_files, no_memory, NULL};
    return suite_of("zone", list);
}
