/* Cron specifications from inside; see <asynq/cron.h>. Pure: no clock is read here. */
#ifndef SCHEDULE_CRON_H
#define SCHEDULE_CRON_H

#include "schedule/zone.h"

#include <asynq/cron.h>

typedef enum cron_unit { CRON_MINUTE, CRON_HOUR, CRON_DAY, CRON_MONTH, CRON_WEEKDAY, CRON_UNIT_COUNT } cron_unit;

struct asynq_cron {
    zone *zone;
    char zone_name[128];
    int64_t every_s;                  /* above 0: "@every", and the fields mean nothing */
    int64_t at_s;                     /* above 0: "@at", once; the fields mean nothing */
    uint64_t values[CRON_UNIT_COUNT]; /* a bit for each value that matches */
    bool is_open[CRON_UNIT_COUNT];    /* an item of the field is not restricted */
};

#endif
