/*
 * What a time zone does after the last change that its file lists: a text at the file's end, in the form that POSIX has
 * for TZ, with the hours of RFC 9636 (-167 to 167): "CET-1CEST,M3.5.0,M10.5.0/3".
 */
#ifndef SCHEDULE_ZONE_RULE_H
#define SCHEDULE_ZONE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A moment of each year, in local time. */
typedef struct zone_date {
    char form; /* 'M': a weekday of a month; 'J': a day of a year of 365 days, from 1 on; 'n': a day from 0 on */
    int month, week, day; /* of 'M': 1 to 12, 1 to 5 (the last), 0 (Sunday) to 6; else the day alone */
    int32_t time_s;       /* after midnight; may be below 0 or beyond the day */
} zone_date;

typedef struct zone_rule {
    int32_t standard_s, summer_s; /* east of UTC */
    bool has_summer;
    zone_date start, end; /* of summer time */
} zone_rule;

/* False: the text is no such rule. */
bool zone_rule_parse(zone_rule *rule, const char *text, size_t length);

/* Seconds east of UTC. */
int32_t zone_rule_offset(const zone_rule *rule, int64_t unix_s);

/* The first second after `from` in which another offset begins; `to` if it is not before that. */
int64_t zone_rule_change(const zone_rule *rule, int64_t from, int64_t to);

#endif
