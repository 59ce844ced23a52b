/* Looks at the queues again and again, for /scale. */
#ifndef DAEMON_SCALER_H
#define DAEMON_SCALER_H

#include "daemon/config.h"
#include "daemon/observer.h"
#include "metrics/endpoint.h"

typedef struct scaler scaler;

/* The configuration is held. NULL: out of memory. */
scaler *scaler_new(loop *l, observer *o, config *c);
/* Goes on with another one. */
void scaler_reconfigure(scaler *s, config *c);
/* The observer must be gone. Accepts NULL. */
void scaler_free(scaler *s);

void scaler_answer(scaler *s, endpoint_request *request);

#endif
