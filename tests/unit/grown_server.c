/*
 * The server as a later version of the library may have it: with more fields at the end of asynq_server_stats. It takes
 * the place of the library's own in the program of the unit tests, which knows the fields of today.
 */
#define last_beat_ms last_beat_ms, added[4]
#include <asynq/server.h>
#undef last_beat_ms

#include "server/server.c"
