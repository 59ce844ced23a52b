/* See proc.h. */
#include "metrics/proc.h"

#include "base/open_files.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The name of the program may have blanks and parentheses, so numbers begin behind the last one. */
static const char *numbers_of(char *line)
{
    char *end = strrchr(line, ')');
    return end ? end + 1 : NULL;
}

/* When the machine was started; Unix. 0: not known. */
static double booted_at_s(void)
{
    char line[256];
    long long at = 0;
    FILE *in = fopen("/proc/stat", "re");
    while (in && fgets(line, sizeof line, in) && sscanf(line, "btime %lld", &at) != 1)
        continue;
    if (in)
        fclose(in);
    return (double)at;
}

bool proc_read(pid_t pid, proc_usage *usage)
{
    char path[64], line[1024];
    unsigned long long user, system, began, size;
    long long pages;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "re");
    const char *numbers = in && fgets(line, sizeof line, in) ? numbers_of(line) : NULL;
    if (in)
        fclose(in);
    /* From the third field on: state, ten that we do not need, user, system, six, began, size, pages. */
    if (!numbers ||
        sscanf(numbers, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %*s %*s %*s %*s %*s %*s %llu %llu %lld",
               &user, &system, &began, &size, &pages) != 5)
        return false;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    *usage = (proc_usage){.cpu_s = (double)(user + system) / ticks,
                          .began_s = (double)began / ticks,
                          .resident_bytes = (int64_t)pages * sysconf(_SC_PAGESIZE),
                          .virtual_bytes = (int64_t)size};
    return true;
}

/* Without the one that looks. */
static int64_t count_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = 0;
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1;
}

proc_files proc_read_files(void)
{
    return (proc_files){count_open(), open_files_limit()};
}

double proc_started_at_s(const proc_usage *usage)
{
    double booted = booted_at_s();
    return booted > 0 ? booted + usage->began_s : 0;
}
