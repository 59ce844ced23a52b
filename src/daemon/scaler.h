/*
 * /scale. Each asynqd of a fleet tries to be the one that looks at the queues, again and again; what that one saw is in
 * Redis (scale_store.h), and the answer is made of it alone when somebody asks (scale.h). So all answer the same.
 */
#ifndef DAEMON_SCALER_H
#define DAEMON_SCALER_H

#include "daemon/config.h"
#include "daemon/observer.h"
#include "metrics/endpoint.h"

typedef struct scaler scaler;

/* The configuration is held. NULL: out of memory. */
scaler *scaler_new(loop *l, observer *o, log_sink *log, config *c);
/* Goes on with another one. */
void scaler_reconfigure(scaler *s, config *c);
/* The observer must be gone. Accepts NULL. */
void scaler_free(scaler *s);

/* Answers later. */
void scaler_answer(scaler *s, endpoint_request *request);

#endif
