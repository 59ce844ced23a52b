/* The session of this server (broker/session.h), under whose number it takes tasks: session.c. Thread: loop. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "base/log.h"
#include "broker/session.h"
#include "event/timer.h"

#include <stdbool.h>

struct asynq_server;

/* Of the server. Times are of the steady clock. */
typedef struct server_session {
    session_record record;
    bool is_known;         /* there is a number: handed out with a session, or drawn without one */
    bool is_asked;         /* a session is being opened, or renewed */
    int64_t asked_at_ms;   /* when that was sent */
    int64_t renewed_at_ms; /* when the last renewal was sent that was answered */
    int64_t ends_at_ms;    /* INT64_MAX: there is no session, and none that ends */
    loop_timer timer;
    int64_t timer_at_ms;
    log_limit complaint;
} server_session;

int session_start(struct asynq_server *server);
void session_ready(struct asynq_server *server);
void session_turn(struct asynq_server *server);
void session_stop(struct asynq_server *server);

/* Tasks may be taken. */
bool session_is_open(const struct asynq_server *server);
/* A lease with this tag was taken under the number of the session, which is not over at this time. */
bool session_covers(const struct asynq_server *server, uint32_t tag, int64_t now_ms);

/* The session as a heartbeat is to renew it; NULL: not now. Then whether it did. */
const session_record *session_beat(struct asynq_server *server);
void session_beaten(struct asynq_server *server, int64_t sent_at_ms, bool has_renewed);

/* The server ends and holds no task. */
void session_end(struct asynq_server *server);

#endif
