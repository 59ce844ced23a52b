/* How many files this process may have open, and what of that is for whom. Thread: any. */
#ifndef BASE_OPEN_FILES_H
#define BASE_OPEN_FILES_H

#include <stdint.h>

/* INT64_MAX: there is no limit. */
int64_t open_files_limit(void);

/* One of so many `shares` of the limit, but not less than `min` and not more than `max`. */
int64_t open_files_share(int64_t shares, int64_t min, int64_t max);

#endif
