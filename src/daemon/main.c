/* asynqd: a task server to deploy. See asynqd(8). */
#include "base/terminal.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/inherited.h"
#include "pg/schema.h"
#include "process/plugin.h"

#include <asynq/version.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Exit statuses, documented in asynqd(8). */
enum { EXIT_CONFIG = 2 };

#define DEFAULT_FILE ASYNQ_SYSCONFDIR "/asynqd/asynqd.yaml"

typedef struct command_line {
    config_sources sources;
    bool check, print, migrate;
    int status; /* below 0: run */
} command_line;

static void print_usage(FILE *out)
{
    fputs("asynqd " ASYNQ_VERSION ": runs tasks of Asynq queues\n"
          "\n"
          "usage: asynqd [--config FILE] [--OPTION=VALUE ...]\n"
          "       asynqd migrate [--config FILE] [--OPTION=VALUE ...]\n"
          "\n"
          "  --config FILE, -c    the configuration; default: $ASYNQD_CONFIG or, if it exists,\n"
          "                       " DEFAULT_FILE "\n"
          "  --check-config       report every mistake in it, and exit\n"
          "  --print-config       print the effective configuration with origins, and exit\n"
          "  --sample-config      print a file with every option, and exit\n"
          "  --version            print the version, and exit\n"
          "  --help, -h           print this help, and exit\n"
          "  migrate              create or update the tables in PostgreSQL, and exit\n"
          "\n"
          "Flags take precedence over variables, and those over the file. Lists are written a,b; pairs a=1,b=2.\n"
          "\n",
          out);
    config_print_flags(out);
    fputs("\nSee asynqd(8) and asynqd.conf(5).\n", out);
}

static void print_version(FILE *out)
{
    fputs("asynqd " ASYNQ_VERSION "\n", out);
}

typedef struct action {
    const char *flag;
    void (*print)(FILE *out);
} action;

static const action actions[] = {
    {"--help", print_usage},
    {"-h", print_usage},
    {"--version", print_version},
    {"--sample-config", config_print_sample},
    {"--manual-options", config_print_manual}, /* for the build: the part of asynqd.conf(5) that is made */
};

/* Takes out what concerns the program itself; the rest are options. */
static void main_parse(command_line *line, int argc, char **argv)
{
    line->status = -1;
    line->sources.flags = argv + 1;
    for (int i = 1; i < argc && line->status < 0; i++) {
        const char *word = argv[i];
        bool is_config = strcmp(word, "--config") == 0 || strcmp(word, "-c") == 0;
        for (size_t k = 0; k < sizeof actions / sizeof *actions; k++)
            if (strcmp(word, actions[k].flag) == 0) {
                actions[k].print(stdout);
                line->status = fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
            }
        if (is_config && i + 1 < argc)
            line->sources.file = argv[++i];
        else if (is_config)
            fputs("asynqd: --config needs a file\n", stderr), line->status = EXIT_CONFIG;
        else if (strncmp(word, "--config=", 9) == 0)
            line->sources.file = word + 9;
        else if (strcmp(word, "--check-config") == 0)
            line->check = true;
        else if (strcmp(word, "--print-config") == 0)
            line->print = true;
        else if (i == 1 && strcmp(word, "migrate") == 0)
            line->migrate = true;
        else
            line->sources.flags[line->sources.flag_count++] = argv[i];
    }
}

static void main_find_file(config_sources *sources)
{
    const char *variable = getenv("ASYNQD_CONFIG");
    if (!sources->file && variable && *variable)
        sources->file = variable;
    if (!sources->file && access(DEFAULT_FILE, F_OK) == 0)
        sources->file = DEFAULT_FILE;
}

static void tell_line(void *arg, const char *line, size_t length)
{
    (void)arg;
    (void)terminal_line(stderr, "asynqd: ", "%.*s", (int)length, line);
}

/* Each line with the program's name in front. */
static void main_tell(const char *lines)
{
    text_each_line(lines, lines ? strlen(lines) : 0, tell_line, NULL);
}

static int main_migrate(const config *c)
{
    asynq_error error;
    if (!c->postgres.uri) {
        fputs("asynqd: postgres.uri says where the tables shall be; it is not given\n", stderr);
        return EXIT_CONFIG;
    }
    int status = pg_schema_migrate(c->postgres.uri, c->postgres.password, c->postgres.schema, stdout, &error);
    if (status)
        main_tell(error.text);
    return status ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * Large payloads go back to the system when they are freed. Left to itself glibc raises its threshold to the largest
 * block that was ever freed, keeps smaller ones in its heaps, and with it a gigabyte that nobody uses.
 */
static void return_large_blocks(void)
{
    enum { LARGE = 256 << 10 };
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, LARGE);
}

/* Else the next files that are opened, a Redis connection perhaps, would be standard error. */
static bool open_standard_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    if (!open_standard_streams())
        return EXIT_FAILURE;
    return_large_blocks();
    if (argc == 4 && strcmp(argv[1], PLUGIN_HOST_FLAG) == 0)
        return plugin_host_run(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], PLUGIN_CHECK_FLAG) == 0)
        return plugin_check_run(argv[2]);
    inherited_reset_signals();
    command_line line = {.sources.environment = environ};
    bool is_valid;
    main_parse(&line, argc, argv);
    if (line.status >= 0)
        return line.status;
    bool is_to_run = !line.check && !line.print && !line.migrate;
    if (is_to_run)
        inherited_postpone_signals();
    main_find_file(&line.sources);
    config *c = config_load(&line.sources, &is_valid);
    if (!c) {
        fputs("asynqd: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    main_tell(option_set_warnings(c->source));
    main_tell(option_set_complaints(c->source));
    if (line.check && is_valid) {
        main_tell(option_set_doubts(c->source));
        is_valid = !option_set_doubts(c->source);
    }
    if (is_valid && is_to_run)
        return daemon_run(c, &line.sources);
    if (is_valid && line.check)
        (void)terminal_line(stdout, "", "the configuration is fine: %s, %zu routes, %zu queues",
                            line.sources.file ? line.sources.file : "no file", c->routes.count, c->queues.count);
    if (line.print)
        config_print(c, stdout);
    int status = is_valid ? EXIT_SUCCESS : EXIT_CONFIG;
    if (is_valid && line.migrate)
        status = main_migrate(c);
    config_free(c);
    return status;
}
