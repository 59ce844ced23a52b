/* What libevent has to say goes into asynqd's log, in its format and no more often than other complaints. */
#ifndef EVENT_EVENT_LOG_H
#define EVENT_EVENT_LOG_H

#include "base/log.h"

/* For the whole process. The log is borrowed until event_log_end(). */
void event_log_begin(log_sink *log);
void event_log_end(void);

#endif
