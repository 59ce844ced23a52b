/* Options of a task as texts, which user interfaces show for periodic entries (spec 11.4). */
#ifndef SCHEDULE_OPTION_TEXT_H
#define SCHEDULE_OPTION_TEXT_H

#include "base/arena.h"
#include "base/bytes.h"

#include <asynq/client.h>

/* Texts of the options that are set, in a fixed order. Returns their number; `texts` is NULL if memory ran out. */
size_t option_texts(const asynq_task_options *options, arena *into, bytes **texts);

#endif
