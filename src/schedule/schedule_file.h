/* A provider that reads a file; its form is told in asynq-schedule(5). */
#ifndef SCHEDULE_SCHEDULE_FILE_H
#define SCHEDULE_SCHEDULE_FILE_H

#include <asynq/scheduler.h>

typedef struct schedule_file schedule_file;

/* NULL: out of memory. */
schedule_file *schedule_file_new(const char *path);
/* Accepts NULL. */
void schedule_file_free(schedule_file *file);

/* An asynq_provider; the argument is the file. A file with a mistake in it counts as a whole as wrong. */
int schedule_file_provide(asynq_periodic_list *list, void *file, asynq_error *error);

/* Adds one entry, written in YAML or JSON with the same keys. `place` begins what `error` says of it. */
ASYNQ_MUST_CHECK int schedule_text_add(asynq_periodic_list *list, const char *place, const char *text,
                                       asynq_error *error);

#endif
