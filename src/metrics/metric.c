/* See metric.h. */
#include "metrics/metric.h"

#include "base/exposition.h"
#include "base/hash.h"
#include "base/text.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_KEY = 2048 };

typedef struct series {
    UT_hash_handle hh; /* in the order of their making */
    char *key;         /* the labels as they are written */
    char *values;      /* theirs, one behind the other, each with its NUL */
    double value;      /* of a histogram the sum */
    uint64_t count;
    uint64_t buckets[METRIC_MAX_BUCKETS]; /* not cumulative */
} series;

struct metrics {
    const metric_family *families;
    size_t count;
    pthread_mutex_t lock;
    series *series[]; /* by family */
};

metrics *metrics_new(const metric_family *families, size_t count)
{
    metrics *m = mem_calloc(1, sizeof *m + count * sizeof *m->series);
    if (!m)
        return NULL;
    m->families = families;
    m->count = count;
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

static void series_free(series *one)
{
    if (!one)
        return;
    mem_free(one->key);
    mem_free(one->values);
    mem_free(one);
}

static void series_remove(series **list, series *one)
{
    HASH_DEL(*list, one);
    series_free(one);
}

static void clear_family(metrics *m, size_t family)
{
    series *one, *next;
    HASH_ITER(hh, m->series[family], one, next)
        series_remove(&m->series[family], one);
}

void metrics_free(metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        clear_family(m, i);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}

void metrics_clear(metrics *m, size_t family)
{
    pthread_mutex_lock(&m->lock);
    clear_family(m, family);
    pthread_mutex_unlock(&m->lock);
}

/* ---- finding a series ---- */

static void append_labels(buf *out, const metric_family *family, const char *const *values)
{
    for (size_t i = 0; i < METRIC_MAX_LABELS && family->labels[i]; i++) {
        buf_append_text(out, i ? "," : "");
        exposition_append_label(out, family->labels[i], values[i]);
    }
    if (out->data)
        text_make_utf8(out->data, out->length);
}

static series *series_new(const metric_family *family, const char *key, const char *const *values)
{
    buf all;
    series *one = mem_calloc(1, sizeof *one);
    buf_init(&all, MAX_KEY);
    buf_append(&all, "", 1);
    all.length = 0; /* there may be no labels, but it is not NULL */
    for (size_t i = 0; i < METRIC_MAX_LABELS && family->labels[i]; i++)
        buf_append(&all, values[i], strlen(values[i]) + 1);
    if (one) {
        one->key = mem_strdup(key);
        one->values = buf_take(&all);
    }
    buf_clear(&all);
    if (one && one->key && one->values)
        return one;
    series_free(one);
    return NULL;
}

/* Made if need be; NULL: it cannot be. Under the lock. */
static series *find_series(metrics *m, size_t family, const char *const *values)
{
    buf key;
    series *one = NULL;
    buf_init(&key, MAX_KEY);
    append_labels(&key, &m->families[family], values);
    const char *text = key.data ? key.data : "";
    if (!buf_failed(&key))
        HASH_FIND(hh, m->series[family], text, strlen(text), one);
    if (!one && !buf_failed(&key) && HASH_COUNT(m->series[family]) < METRIC_MAX_SERIES &&
        (one = series_new(&m->families[family], text, values))) {
        HASH_ADD_KEYPTR(hh, m->series[family], one->key, strlen(one->key), one);
        if (!HASH_HAS(one)) {
            series_free(one);
            one = NULL;
        }
    }
    buf_clear(&key);
    return one;
}

void metrics_forget(metrics *m, size_t family, bool (*is_gone)(const char *const *values, void *arg), void *arg)
{
    series *one, *next;
    pthread_mutex_lock(&m->lock);
    HASH_ITER(hh, m->series[family], one, next) {
        const char *values[METRIC_MAX_LABELS] = {0}, *at = one->values;
        for (size_t i = 0; i < METRIC_MAX_LABELS && m->families[family].labels[i]; at += strlen(at) + 1)
            values[i++] = at;
        if (is_gone(values, arg))
            series_remove(&m->series[family], one);
    }
    pthread_mutex_unlock(&m->lock);
}

void metrics_add(metrics *m, size_t family, const char *const *values, double amount)
{
    pthread_mutex_lock(&m->lock);
    series *one = find_series(m, family, values);
    if (one)
        one->value += amount;
    pthread_mutex_unlock(&m->lock);
}

void metrics_set(metrics *m, size_t family, const char *const *values, double value)
{
    pthread_mutex_lock(&m->lock);
    series *one = find_series(m, family, values);
    if (one)
        one->value = value;
    pthread_mutex_unlock(&m->lock);
}

void metrics_observe(metrics *m, size_t family, const char *const *values, double value)
{
    const double *bounds = m->families[family].buckets;
    size_t bucket = 0;
    while (bounds[bucket] > 0 && value > bounds[bucket])
        bucket++;
    pthread_mutex_lock(&m->lock);
    series *one = find_series(m, family, values);
    if (one) {
        one->value += value;
        one->count++;
        one->buckets[bucket]++;
    }
    pthread_mutex_unlock(&m->lock);
}

/* ---- writing ---- */

/* Series as they were at a moment, so that they can be written without the lock. */
typedef struct snapshot {
    series *items; /* their keys are places in `keys` */
    size_t count;
    buf keys;
} snapshot;

static void snapshot_add(snapshot *taken, const series *one)
{
    series *copy = &taken->items[taken->count++];
    *copy = *one;
    copy->key = (char *)(uintptr_t)taken->keys.length; /* the buffer moves while it grows */
    buf_append(&taken->keys, one->key, strlen(one->key) + 1);
}

/* False: out of memory. Under the lock. */
static bool snapshot_take(snapshot *taken, const series *list)
{
    *taken = (snapshot){.items = mem_calloc(HASH_COUNT(list) + 1, sizeof *taken->items)};
    buf_init(&taken->keys, 0);
    for (const series *one = taken->items ? list : NULL; one; one = one->hh.next)
        snapshot_add(taken, one);
    for (size_t i = 0; i < taken->count && taken->keys.data; i++)
        taken->items[i].key = taken->keys.data + (uintptr_t)taken->items[i].key;
    return taken->items && !buf_failed(&taken->keys);
}

static void snapshot_clear(snapshot *taken)
{
    mem_free(taken->items);
    buf_clear(&taken->keys);
}

static void append_histogram(buf *out, const metric_family *family, const series *one)
{
    uint64_t sum = 0;
    const char *joint = *one->key ? "," : "";
    for (size_t i = 0; family->buckets[i] > 0; i++) {
        sum += one->buckets[i];
        buf_append_format(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", family->name, one->key, joint, family->buckets[i],
                          (unsigned long long)sum);
    }
    buf_append_format(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family->name, one->key, joint,
                      (unsigned long long)one->count);
    const char *open = *one->key ? "{" : "", *shut = *one->key ? "}" : "";
    buf_append_format(out, "%s_sum%s%s%s %.9g\n", family->name, open, one->key, shut, one->value);
    buf_append_format(out, "%s_count%s%s%s %llu\n", family->name, open, one->key, shut, (unsigned long long)one->count);
}

static void append_family(buf *out, const metric_family *family, const snapshot *taken)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    if (taken->count)
        exposition_append_family(out, family->name, types[family->type], family->help);
    for (size_t i = 0; i < taken->count; i++) {
        const series *one = &taken->items[i];
        if (family->type == METRIC_HISTOGRAM)
            append_histogram(out, family, one);
        else
            buf_append_format(out, *one->key ? "%s{%s} %.15g\n" : "%s%s %.15g\n", family->name, one->key, one->value);
    }
}

void metrics_append(metrics *m, buf *out)
{
    for (size_t i = 0; i < m->count; i++) {
        snapshot taken;
        pthread_mutex_lock(&m->lock);
        bool is_taken = snapshot_take(&taken, m->series[i]);
        pthread_mutex_unlock(&m->lock);
        if (is_taken)
            append_family(out, &m->families[i], &taken);
        else
            buf_fail(out);
        snapshot_clear(&taken);
    }
}
