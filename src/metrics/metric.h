/*
 * Metrics of this process. A table says what there is; values are kept by labels. Thread: any.
 */
#ifndef METRICS_METRIC_H
#define METRICS_METRIC_H

#include "base/buf.h"

#include <stdint.h>

typedef enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM } metric_type;

enum { METRIC_MAX_LABELS = 4, METRIC_MAX_BUCKETS = 16, METRIC_MAX_SERIES = 10000 /* of a family */ };

typedef struct metric_family {
    const char *name, *help;
    metric_type type;
    const char *labels[METRIC_MAX_LABELS]; /* names, up to NULL */
    const double *buckets;                 /* of a histogram: upper bounds in order, up to 0 */
} metric_family;

typedef struct metrics metrics;

/* The table is borrowed; families are named by their places in it. NULL: out of memory. */
metrics *metrics_new(const metric_family *families, size_t count);
/* Accepts NULL. */
void metrics_free(metrics *m);

/* `values` are those of the labels. Of series beyond 10,000 in a family, and without memory, nothing is kept. */
void metrics_add(metrics *m, size_t family, const char *const *values, double amount);
void metrics_set(metrics *m, size_t family, const char *const *values, double value);
void metrics_observe(metrics *m, size_t family, const char *const *values, double value);
/* Forgets all series of a family; for what is measured anew at each scrape. */
void metrics_clear(metrics *m, size_t family);
/* Forgets the series that are gone by the values of their labels; `is_gone` must not call back. */
void metrics_forget(metrics *m, size_t family, bool (*is_gone)(const char *const *values, void *arg), void *arg);

/*
 * Appends all of it in Prometheus's text format. Of 10,000 histograms that takes a second, in which others go on
 * counting.
 */
void metrics_append(metrics *m, buf *out);

#endif
