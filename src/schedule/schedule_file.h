/* A provider that reads a file; its form is shown in <asynq/scheduler.h>. */
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

#endif
