/* See scale.h. */
#include "daemon/scale.h"

#include <math.h>

#define SCALE(field) offsetof(scale_options, field)
const setting scale_table[] = {
    {.name = "interval",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(interval_ms),
     .least = 1000,
     .most = 3600000,
     .preset = "5s",
     .help = "How often the queues are looked at."},
    {.name = "window",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(window_ms),
     .least = 2000,
     .most = 86400000,
     .preset = "1m",
     .help = "The time over which rates are measured."},
    {.name = "drain",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(drain_ms),
     .least = 1000,
     .preset = "1m",
     .help = "Tasks that are pending now should be done within this time."},
    {.name = "utilisation",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(utilisation),
     .least = 1,
     .most = 100,
     .preset = "80",
     .value = "PERCENT",
     .help = "How busy workers should be."},
    {.name = "latency",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(latency_ms),
     .preset = "30s",
     .help = "When the oldest task of a queue has waited for so long, at least one more worker is wanted. 0: never."},
    {.name = "failure_rate",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(failure_rate),
     .least = 1,
     .most = 100,
     .preset = "50",
     .value = "PERCENT",
     .help = "When more of the attempts fail, no more workers are wanted."},
    {.name = "least",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(least),
     .most = 100000,
     .preset = "1",
     .help = "The fewest workers; 0 lets a fleet sleep."},
    {.name = "most",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(most),
     .least = 1,
     .most = 100000,
     .preset = "10",
     .help = "The most workers."},
    {.name = "hysteresis",
     .is_reloaded = true,
     .kind = SETTING_NUMBER,
     .offset = SCALE(hysteresis),
     .most = 100,
     .preset = "10",
     .value = "PERCENT",
     .help = "Smaller changes are not worth it."},
    {.name = "cool_down",
     .is_reloaded = true,
     .kind = SETTING_DURATION,
     .offset = SCALE(cool_down_ms),
     .preset = "5m",
     .help = "Fewer workers are wanted only when the number has not changed for so long."},
    {0},
};

/* ---- samples ---- */

static const scale_sample *sample_before(const scale_state *state, size_t back)
{
    return &state->samples[(state->next + SCALE_MOST_SAMPLES - 1 - back) % SCALE_MOST_SAMPLES];
}

const scale_sample *scale_newest(const scale_state *state)
{
    return state->count ? sample_before(state, 0) : NULL;
}

/* How many samples, from the newest on, lie in the window; at least two if there are two. */
static size_t count_in_window(const scale_state *state, int64_t window_ms)
{
    size_t count = 1;
    while (count < state->count &&
           (count < 2 || sample_before(state, 0)->at_ms - sample_before(state, count)->at_ms <= window_ms))
        count++;
    return count;
}

/* ---- rates ---- */

static double not_negative(double value)
{
    return value > 0 ? value : 0;
}

static scale_rates measure(const scale_state *state, size_t samples, size_t queue, int64_t drain_ms)
{
    const scale_sample *newest = sample_before(state, 0), *oldest = sample_before(state, samples - 1);
    const scale_queue *now = &newest->queues[queue], *then = &oldest->queues[queue];
    double seconds = (double)(newest->at_ms - oldest->at_ms) / 1000, active = 0;
    scale_rates rates = {0};
    for (size_t i = 0; i < samples; i++)
        active += (double)sample_before(state, i)->queues[queue].active / (double)samples;
    if (seconds <= 0)
        return rates;
    double processed = not_negative((double)(now->processed - then->processed));
    double growth = (double)(now->pending + now->active - then->pending - then->active);
    rates.arrival = not_negative(processed + growth) / seconds;
    rates.service = processed / seconds;
    rates.failure = processed > 0 ? not_negative((double)(now->failed - then->failed)) / processed : 0;
    if (rates.failure > 1)
        rates.failure = 1;
    /* Nothing has ended in the window: it takes at least as long. Nothing has run: nobody knows, so what a second is.
     */
    if (processed > 0)
        rates.run_s = active / rates.service;
    else
        rates.run_s = active > 0 ? seconds : 1;
    rates.slots = rates.arrival * rates.run_s + (double)now->pending * rates.run_s / ((double)drain_ms / 1000);
    return rates;
}

/* ---- deciding ---- */

static int64_t apply_rules(scale_state *state, const scale_options *options, int64_t raw, int64_t latency_ms,
                           double failure)
{
    const scale_sample *newest = sample_before(state, 0);
    int64_t now = state->wanted, wanted = raw;
    state->reason = "the load";
    if (options->latency_ms && latency_ms > options->latency_ms && wanted <= now) {
        wanted = now + 1;
        state->reason = "tasks wait too long";
    }
    if (failure * 100 > (double)options->failure_rate && wanted > now) {
        wanted = now;
        state->reason = "too many attempts fail";
    }
    if (wanted < options->least || wanted > options->most) {
        wanted = wanted < options->least ? options->least : options->most;
        state->reason = wanted == options->least ? "the least" : "the most";
    }
    bool is_in_range = now >= options->least && now <= options->most;
    double change = now ? fabs((double)(wanted - now)) / (double)now * 100 : 100;
    if (is_in_range && wanted != now && change < (double)options->hysteresis) {
        wanted = now;
        state->reason = "the change would be small";
    }
    if (is_in_range && wanted < now && newest->at_ms - state->changed_at_ms < options->cool_down_ms) {
        wanted = now;
        state->reason = "fewer would do, but the last change was a moment ago";
    }
    return wanted;
}

static void decide(scale_state *state, const scale_options *options, size_t queues, int64_t concurrency)
{
    const scale_sample *newest = sample_before(state, 0);
    size_t samples = count_in_window(state, options->window_ms);
    double slots = 0, service = 0, failing = 0;
    int64_t latency_ms = 0;
    for (size_t i = 0; i < queues; i++) {
        state->rates[i] = measure(state, samples, i, options->drain_ms);
        slots += state->rates[i].slots;
        service += state->rates[i].service;
        failing += state->rates[i].service * state->rates[i].failure;
        if (newest->queues[i].latency_ms > latency_ms)
            latency_ms = newest->queues[i].latency_ms;
    }
    double share = (double)concurrency * (double)options->utilisation / 100;
    int64_t raw = (int64_t)ceil(slots / share - 1e-9);
    int64_t wanted = apply_rules(state, options, raw, latency_ms, service > 0 ? failing / service : 0);
    if (wanted != state->wanted)
        state->changed_at_ms = newest->at_ms;
    state->wanted = wanted;
}

void scale_add(scale_state *state, const scale_options *options, const scale_sample *sample, size_t queues,
               int64_t concurrency)
{
    bool is_first = !state->count;
    state->samples[state->next] = *sample;
    state->next = (state->next + 1) % SCALE_MOST_SAMPLES;
    if (state->count < SCALE_MOST_SAMPLES)
        state->count++;
    if (is_first) { /* a new asynqd must not shrink a fleet that it does not know yet */
        int64_t workers = sample->workers > options->least ? sample->workers : options->least;
        state->wanted = workers < options->most ? workers : options->most;
        state->changed_at_ms = sample->at_ms;
        state->reason = "nothing is known yet";
        return;
    }
    decide(state, options, queues, concurrency);
}
