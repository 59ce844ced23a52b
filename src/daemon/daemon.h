/*
 * asynqd as a whole: the parts, in the order in which they are started; ending.h has the way back.
 *
 *   private Redis, signals, PostgreSQL, work (handlers, server, schedule file), jobs, end-points
 *
 * The main thread runs one loop, which carries all that is not the library's and not PostgreSQL's.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "daemon/config.h"

typedef struct asynqd asynqd;

/*
 * Runs until it is told to end. Takes over the configuration; it is read again from its sources at the signal HUP.
 * Returns the exit status of the program.
 */
int daemon_run(config *c, const config_sources *sources);

#endif
