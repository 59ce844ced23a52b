/* Files of time zones: whatever the bytes, an answer, and changes that are changes. */
#include "schedule/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    zone *z;
    if (zone_parse(&z, data, size))
        return 0;
    int64_t at = 0;
    for (int i = 0; i < 50; i++) {
        int64_t to = at + INT64_C(400) * 86400, change = zone_change_within(z, at, to);
        if (change <= at || change > to || zone_offset(z, change - 1) != zone_offset(z, at))
            __builtin_trap();
        if (change < to && zone_offset(z, change) == zone_offset(z, at))
            __builtin_trap();
        at = change;
    }
    zone_free(z);
    return 0;
}
