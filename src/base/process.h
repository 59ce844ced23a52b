/* Whose process this is: a child of fork() has neither the threads nor the connections of an object that it inherits.
 */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <asynq/error.h>
#include <sys/types.h>

/*
 * `owner` is the process that started the object, 0: nobody did. Returns 0, or ASYNQ_E_STATE in another process. To be
 * asked before any lock is taken, which a thread of the parent may have held when the process forked. `what` names the
 * object, as "server".
 */
int process_check(pid_t owner, const char *what, asynq_error *error);

#endif
