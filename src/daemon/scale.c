/* See scale.h. */
#include "daemon/scale.h"

#include "base/clock.h"

#include <math.h>

enum { WAITING_MS = 2000, FULL_SAMPLES = 3 };
/* Samples times queues, some 10 MB; and what stands at the edges of window and cool-down, or comes late. */
enum { SAMPLE_CELLS = 131072, MIN_SAMPLES = 16, SPARE_SAMPLES = 4 };

#define SCALE(field) offsetof(scale_options, field)
const setting scale_table[] = {
    {.name = "interval",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(interval_ms),
     .min = 1000,
     .max = 3600000,
     .preset = "5s",
     .help = "Time between samples of the queues, which one asynqd of the fleet takes."},
    {.name = "window",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(window_ms),
     .min = 2000,
     .max = 86400000,
     .preset = "1m",
     .help = "Time over which rates are measured."},
    {.name = "drain_time",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(drain_ms),
     .min = 1000,
     .preset = "1m",
     .help = "Time within which the pending tasks should be processed."},
    {.name = "target_utilization",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(target_utilization),
     .min = 1,
     .max = 100,
     .preset = "80",
     .value = "PERCENT",
     .help = "Target utilization of the slots, in percent."},
    {.name = "max_latency",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(latency_ms),
     .preset = "30s",
     .help = "Maximum wait of the oldest task of a queue; beyond it, more instances are recommended than run. 0: no "
             "maximum."},
    {.name = "failure_rate",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(failure_rate),
     .min = 1,
     .max = 100,
     .preset = "50",
     .value = "PERCENT",
     .help = "Share of failed attempts, in percent, above which no more instances are recommended than run."},
    {.name = "min",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(min),
     .max = 100000,
     .preset = "1",
     .help = "Minimum number of instances. With 0 a fleet may sleep; then something else must start it, as no asynqd "
             "answers any more."},
    {.name = "max",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(max),
     .min = 1,
     .max = 100000,
     .preset = "10",
     .help = "Maximum number of instances."},
    {.name = "tolerance",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(tolerance),
     .max = 100,
     .preset = "10",
     .value = "PERCENT",
     .help = "Spare capacity, in percent, that must be left before fewer instances are recommended."},
    {.name = "cooldown",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(cooldown_ms),
     .max = 86400000,
     .preset = "5m",
     .help = "Time for which fewer instances must have sufficed before fewer are recommended."},
    {0},
};

/* ---- how many samples ---- */

size_t scale_max_samples(size_t queues)
{
    size_t count = SAMPLE_CELLS / (queues + 1);
    return count > SCALE_MAX_SAMPLES ? SCALE_MAX_SAMPLES : count < MIN_SAMPLES ? MIN_SAMPLES : count;
}

int64_t scale_interval_ms(const scale_options *options, size_t queues)
{
    int64_t samples = (int64_t)scale_max_samples(queues) - SPARE_SAMPLES;
    int64_t min_ms = (options->window_ms + options->cooldown_ms + samples - 1) / samples;
    return min_ms > options->interval_ms ? min_ms : options->interval_ms;
}

/* ---- rates ---- */

static double not_negative(double value)
{
    return value > 0 ? value : 0;
}

static double seconds_between(const scale_sample *from, const scale_sample *to)
{
    return not_negative((double)(to->at_ms - from->at_ms)) / MS_PER_SECOND;
}

/* The first sample of the window that ends with this one; the one before, if nothing else is in it. */
static size_t window_start(const scale_history *h, size_t last)
{
    size_t first = last;
    while (first && (first == last || h->samples[last].at_ms - h->samples[first - 1].at_ms <= h->options->window_ms))
        first--;
    return first;
}

/* What happened to a queue between two samples. */
typedef struct scale_sums {
    double seconds, busy_s; /* busy: seconds of all its tasks together */
    double processed, failed;
} scale_sums;

/* Step by step, as counters begin anew when a queue is deleted. */
static scale_sums scale_add_up(const scale_history *h, size_t first, size_t last, size_t queue)
{
    scale_sums sums = {0};
    for (size_t i = first; i < last; i++) {
        const scale_queue *then = &h->samples[i].queues[queue], *now = &h->samples[i + 1].queues[queue];
        double seconds = seconds_between(&h->samples[i], &h->samples[i + 1]);
        sums.seconds += seconds;
        sums.busy_s += (double)(then->active + now->active) / 2 * seconds;
        sums.processed += not_negative((double)(now->processed - then->processed));
        sums.failed += not_negative((double)(now->failed - then->failed));
    }
    return sums;
}

/* If nothing has ended, it takes as long at least as what is active has had. Nothing has run: nobody knows, so what a
 * second is. */
static double duration_seconds(const scale_sums *sums, const scale_queue *now)
{
    if (sums->processed > 0)
        return sums->busy_s / sums->processed;
    return now->active > 0 ? sums->busy_s / (double)now->active : 1;
}

static scale_rates scale_measure(const scale_history *h, size_t last, size_t queue)
{
    size_t first = window_start(h, last);
    const scale_queue *then = &h->samples[first].queues[queue], *now = &h->samples[last].queues[queue];
    scale_sums sums = scale_add_up(h, first, last, queue);
    scale_rates rates = {0};
    if (sums.seconds <= 0)
        return rates;
    double growth = (double)(now->pending + now->active - then->pending - then->active);
    rates.arrival = not_negative(sums.processed + growth) / sums.seconds;
    rates.service = sums.processed / sums.seconds;
    rates.failure = sums.processed > 0 ? fmin(sums.failed / sums.processed, 1) : 0;
    rates.run_s = duration_seconds(&sums, now);
    if (now->is_paused)
        return rates;
    /* No more places than there are tasks, however long they take. */
    double active = fmax(sums.busy_s / sums.seconds, (double)now->active);
    double backlog = (double)now->pending * rates.run_s * MS_PER_SECOND / (double)h->options->drain_ms;
    rates.slots = fmin(rates.arrival * rates.run_s + backlog, active + (double)now->pending);
    return rates;
}

/* ---- what an instance runs ---- */

/* Servers take what they can at once: who lets tasks wait for so long is full. */
static bool has_waiting(const scale_history *h, size_t index, int64_t longer_than_ms)
{
    const scale_sample *sample = &h->samples[index];
    for (size_t i = 0; i < h->queues; i++)
        if (!sample->queues[i].is_paused && sample->queues[i].pending && sample->queues[i].latency_ms > longer_than_ms)
            return true;
    return false;
}

int64_t scale_room(const scale_history *h)
{
    if (!h->count)
        return 0;
    size_t last = h->count - 1, first = window_start(h, last);
    int64_t known = last ? h->samples[last - 1].room : 0, busiest = 0;
    bool is_full = last - first >= FULL_SAMPLES - 1;
    for (size_t i = first; i <= last; i++) {
        is_full = is_full && has_waiting(h, i, WAITING_MS);
        busiest = busiest > h->samples[i].busiest ? busiest : h->samples[i].busiest;
    }
    if (is_full && busiest)
        return busiest;
    return known && h->samples[last].busiest > known ? h->samples[last].busiest : known;
}

static int64_t tasks_per_instance(const scale_history *h, const scale_sample *sample)
{
    return sample->room && sample->room < h->concurrency ? sample->room : h->concurrency;
}

/* ---- deciding ---- */

static int64_t limit(const scale_options *options, double instances)
{
    if (instances < (double)options->min)
        return options->min;
    return instances < (double)options->max ? (int64_t)instances : options->max;
}

static double round_up(double instances)
{
    return ceil(instances - 1e-9);
}

/* So many instances are needed for what is active, also in paused queues. Those that are ending need nobody else. */
static double instances_in_use(const scale_history *h, const scale_sample *sample)
{
    double active = -(double)sample->leaving;
    for (size_t i = 0; i < h->queues; i++)
        active += (double)sample->queues[i].active;
    return round_up(not_negative(active) / (double)tasks_per_instance(h, sample));
}

/* As the load has it. Those that run stay, unless fewer would have something to spare. */
static double instances_for_load(const scale_history *h, size_t index)
{
    const scale_sample *sample = &h->samples[index];
    double slots = 0, running = (double)sample->instances;
    for (size_t i = 0; i < h->queues; i++)
        slots += scale_measure(h, index, i).slots;
    double instances = slots * 100 / (double)tasks_per_instance(h, sample) / (double)h->options->target_utilization;
    double spare = (double)(100 - h->options->tolerance) / 100;
    double up = round_up(instances), down = spare > 0 ? round_up(instances / spare) : running;
    return up >= running ? up : fmin(running, down);
}

/* ---- reasons ---- */

static const struct {
    const char *name, *text;
} reasons[] = {
    [SCALE_LOAD] = {"load", "the load"},
    [SCALE_WARMING_UP] = {"warming_up", "the samples do not cover scale.window yet"},
    [SCALE_LATENCY] = {"latency", "tasks wait longer than scale.max_latency"},
    [SCALE_COOLDOWN] = {"cooldown", "fewer instances have not sufficed for scale.cooldown yet"},
    [SCALE_FAILURE_RATE] = {"failure_rate",
                            "more attempts fail than scale.failure_rate; more instances would not help"},
    [SCALE_ACTIVE_TASKS] = {"active_tasks", "active tasks need these instances"},
    [SCALE_MIN] = {"min", "scale.min"},
    [SCALE_MAX] = {"max", "scale.max"},
};

const char *scale_reason_name(scale_reason reason)
{
    return reasons[reason].name;
}

const char *scale_reason_text(scale_reason reason)
{
    return reasons[reason].text;
}

/* ---- deciding ---- */

/* What one sample, with its window, asks for. `reason` may be NULL. */
static double recommend(const scale_history *h, size_t index, scale_reason *reason)
{
    const scale_sample *sample = &h->samples[index];
    double running = (double)sample->instances, wanted = index ? instances_for_load(h, index) : running;
    scale_reason why = SCALE_LOAD;
    /* A fleet is not made smaller before a whole window has been seen of it. */
    if (sample->at_ms - sample->since_ms < h->options->window_ms && wanted <= running) {
        wanted = running;
        why = SCALE_WARMING_UP;
    }
    /* More by so much, as a HorizontalPodAutoscaler passes over differences of up to a tenth. */
    double more = floor(running * 1.1) + 1;
    if (h->options->latency_ms && has_waiting(h, index, h->options->latency_ms) && more > wanted) {
        wanted = more;
        why = SCALE_LATENCY;
    }
    if (reason)
        *reason = why;
    return wanted;
}

/* The largest recommendation of the cool-down. What was before the samples that there are is left out, unless nothing
 * was. */
static double recommend_lately(const scale_history *h, scale_reason *reason)
{
    size_t last = h->count - 1;
    double wanted = recommend(h, last, reason);
    for (size_t i = last; i-- > 0;) {
        const scale_sample *sample = &h->samples[i];
        if (h->samples[last].at_ms - sample->at_ms >= h->options->cooldown_ms ||
            (!i && sample->since_ms != sample->at_ms))
            break;
        double earlier = recommend(h, i, NULL);
        if (earlier > wanted) {
            wanted = earlier;
            *reason = SCALE_COOLDOWN;
        }
    }
    return wanted;
}

static double failing_share(const scale_rates *rates, size_t count)
{
    double service = 0, failing = 0;
    for (size_t i = 0; i < count; i++) {
        service += rates[i].service;
        failing += rates[i].service * rates[i].failure;
    }
    return service > 0 ? failing / service : 0;
}

scale_advice scale_decide(const scale_history *h, scale_rates *rates)
{
    const scale_sample *newest = &h->samples[h->count - 1];
    scale_advice advice = {.tasks_per_instance = tasks_per_instance(h, newest)};
    double wanted = recommend_lately(h, &advice.reason), in_use = instances_in_use(h, newest);
    for (size_t i = 0; i < h->queues; i++)
        rates[i] = scale_measure(h, h->count - 1, i);
    if (failing_share(rates, h->queues) * 100 > (double)h->options->failure_rate &&
        wanted > (double)newest->instances) {
        wanted = (double)newest->instances;
        advice.reason = SCALE_FAILURE_RATE;
    }
    if (wanted < in_use) {
        wanted = in_use;
        advice.reason = SCALE_ACTIVE_TASKS;
    }
    advice.wanted = limit(h->options, wanted);
    if (wanted < (double)h->options->min || wanted > (double)h->options->max)
        advice.reason = wanted < (double)h->options->min ? SCALE_MIN : SCALE_MAX;
    return advice;
}
