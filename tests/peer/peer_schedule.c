/* Cron specifications. */
#include "peer.h"

/* {"specs": [...], "zones": [...], "after_s": [...]}: of each triple the next time (Unix s), null for never, or a text.
 */
static json_t *cron_next(json_t *arguments)
{
    json_t *specs = json_object_get(arguments, "specs"), *zones = json_object_get(arguments, "zones");
    json_t *after = json_object_get(arguments, "after_s"), *next = json_array();
    for (size_t i = 0; i < json_array_size(specs); i++) {
        asynq_error error;
        asynq_cron *cron = asynq_cron_new(json_string_value(json_array_get(specs, i)),
                                          json_string_value(json_array_get(zones, i)), &error);
        int64_t at_ms = cron ? asynq_cron_next_ms(cron, json_integer_value(json_array_get(after, i)) * 1000) : 0;
        json_array_append_new(next, !cron                 ? json_string(error.text)
                                    : at_ms == ASYNQ_NONE ? json_null()
                                                          : json_integer(at_ms / 1000));
        asynq_cron_free(cron);
    }
    return json_pack("{s:i,s:o}", "status", 0, "next", next);
}

const peer_row peer_schedule_rows[] = {{"cron.next", cron_next}, {NULL, NULL}};
