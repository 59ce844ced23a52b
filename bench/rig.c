/* What the roles share; see rig.h. */
#include "rig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

rig_settings rig = {
    .role = "work",
    .redis = "redis://127.0.0.1:6379",
    .queues = "default:1",
    .handler = "async",
    .mode = "batch",
    .payload = 200,
    .concurrency = 10,
    .callers = 16,
    .servers = 1,
    .deed = "n",
};

typedef struct setting {
    const char *name;
    const char **text;
    int64_t *number;
} setting;

static const setting settings[] = {
    {"role", &rig.role, NULL},
    {"redis", &rig.redis, NULL},
    {"queues", &rig.queues, NULL},
    {"handler", &rig.handler, NULL},
    {"mode", &rig.mode, NULL},
    {"deed", &rig.deed, NULL},
    {"tasks", NULL, &rig.tasks},
    {"held", NULL, &rig.held},
    {"first", NULL, &rig.first},
    {"payload", NULL, &rig.payload},
    {"concurrency", NULL, &rig.concurrency},
    {"callers", NULL, &rig.callers},
    {"servers", NULL, &rig.servers},
    {"random_ms", NULL, &rig.random_ms},
    {"fail_percent", NULL, &rig.fail_percent},
    {"unique_s", NULL, &rig.unique_s},
    {"due_ms", NULL, &rig.due_ms},
    {"due_each", NULL, &rig.due_each},
    {"retry_ms", NULL, &rig.retry_ms},
    {"park_threshold", NULL, &rig.park_threshold},
};

int64_t rig_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t rig_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

void rig_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

const char *rig_hear(void)
{
    static char line[64];
    if (!fgets(line, sizeof line, stdin))
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

_Noreturn void rig_die(const char *what, const char *why)
{
    fprintf(stderr, "asynq-rig: %s: %s\n", what, why);
    exit(1);
}

static void set(char *argument)
{
    char *value = strchr(argument, '=');
    if (!value)
        rig_die(argument, "no \"=\"");
    *value++ = '\0';
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(settings[i].name, argument))
            continue;
        if (settings[i].text)
            *settings[i].text = value;
        else
            *settings[i].number = strtoll(value, NULL, 10);
        return;
    }
    rig_die(argument, "no such setting");
}

void rig_read_settings(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        set(argv[i]);
    if (rig.payload < RIG_PAYLOAD_MIN)
        rig_die("payload", "at least 13 bytes are needed");
}

int rig_read_queues(asynq_queue queues[RIG_QUEUES_MAX + 1])
{
    char *list = strdup(rig.queues), *rest = list;
    int count = 0;
    for (char *name; count < RIG_QUEUES_MAX && (name = strsep(&rest, ",")); count++) {
        char *priority = strchr(name, ':');
        if (priority)
            *priority++ = '\0';
        queues[count] = (asynq_queue){name, priority ? atoi(priority) : 1};
    }
    queues[count] = (asynq_queue){0};
    return count;
}
