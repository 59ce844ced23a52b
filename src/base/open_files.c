/* See open_files.h. */
#include "base/open_files.h"

#include <stdbool.h>
#include <sys/resource.h>

int64_t open_files_limit(void)
{
    struct rlimit limit;
    bool is_limited = !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur <= INT64_MAX;
    return is_limited ? (int64_t)limit.rlim_cur : INT64_MAX;
}

int64_t open_files_share(int64_t shares, int64_t min, int64_t max)
{
    int64_t share = open_files_limit() / shares;
    return share < min ? min : share > max ? max : share;
}
