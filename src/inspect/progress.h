/* What handlers of active tasks said of how far they are, as it stands in the records of their servers. */
#ifndef INSPECT_PROGRESS_H
#define INSPECT_PROGRESS_H

#include "inspect/inspect.h"
#include "wire/server_info.h"

/* 0 to 1; below 0: it does not say, or no number of that kind. */
double progress_fraction(const worker_info *worker);

/* For the active ones of a list; the list is freed after a failure. One command for each server. */
ASYNQ_MUST_CHECK int progress_fill_in(asynq_inspector *inspector, asynq_task_list *list, asynq_error *error);

#endif
