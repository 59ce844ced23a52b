#include "unit.h"

#include "daemon/scale.h"

#include <math.h>
#include <string.h>

enum { STEP_MS = 5000, QUEUES = 2, CONCURRENCY = 10, LAST = 200 };

static scale_options options;
static scale_sample samples[LAST];
static scale_queue queues[LAST][QUEUES];
static scale_rates rates[QUEUES];
static scale_history history;
static const char *reason;

/* Two queues, instances with a concurrency of 10, looked at every 5 s; 80 % busy is what an instance should be. */
static void begin(void)
{
    arena memory;
    arena_init(&memory, 0);
    setting_preset(scale_table, &options, &memory);
    memset(queues, 0, sizeof queues);
    history = (scale_history){&options, CONCURRENCY, QUEUES, samples, 0};
}

/* How it is 5 s later. The last LAST samples are kept. */
static scale_queue *add(int64_t instances, int64_t busiest)
{
    scale_sample newest = {.at_ms = 1700000000000, .instances = instances, .busiest = busiest};
    if (history.count == LAST) {
        memmove(samples, samples + 1, (LAST - 1) * sizeof *samples);
        memmove(queues, queues + 1, (LAST - 1) * sizeof *queues);
        for (size_t i = 0; i < LAST - 1; i++)
            samples[i].queues = queues[i];
        history.count--;
    }
    size_t at = history.count++;
    newest.queues = queues[at];
    newest.since_ms = at ? samples[0].since_ms : newest.at_ms;
    if (at) {
        newest.at_ms = samples[at - 1].at_ms + STEP_MS;
        memcpy(queues[at], queues[at - 1], sizeof queues[at]);
    }
    samples[at] = newest;
    samples[at].room = scale_room(&history);
    return queues[at];
}

static int64_t decide(void)
{
    scale_advice advice = scale_decide(&history, rates);
    reason = scale_reason_name(advice.reason);
    return advice.wanted;
}

/* What happens in 5 s to the first queue. */
typedef struct step {
    int64_t instances, processed, failed, pending, active, latency_ms;
    bool is_paused;
    int64_t busiest; /* 0: all have the same */
    int64_t leaving;
} step;

static int64_t next(step s)
{
    scale_queue *queue =
        add(s.instances, s.busiest || !s.instances ? s.busiest : (s.active + s.instances - 1) / s.instances);
    queue->processed += s.processed;
    queue->failed += s.failed;
    queue->pending = s.pending;
    queue->active = s.active;
    queue->latency_ms = s.latency_ms;
    queue->is_paused = s.is_paused;
    samples[history.count - 1].leaving = s.leaving;
    samples[history.count - 1].room = scale_room(&history);
    return decide();
}

static int64_t steady(int minutes, step s)
{
    int64_t wanted = 0;
    for (int i = 0; i < 12 * minutes; i++)
        wanted = next(s);
    return wanted;
}

START_TEST(measured_rates)
{
    begin();
    steady(2, (step){.instances = 1, .processed = 100, .active = 6}); /* 20 per s, 6 at a time: 0.3 s each */
    ck_assert_double_eq_tol(rates[0].arrival, 20, 0.2);
    ck_assert_double_eq_tol(rates[0].service, 20, 0.2);
    ck_assert_double_eq_tol(rates[0].run_s, 0.3, 0.01);
    ck_assert_double_eq_tol(rates[0].slots, 6, 0.1);
    ck_assert_double_eq(rates[1].slots, 0);
    queues[history.count - 1][0].processed = 0; /* the queue is deleted, and begins anew */
    next((step){.instances = 1, .processed = 5, .active = 1});
    ck_assert_double_eq_tol(rates[0].service, 18, 3);
}
END_TEST

/* What has been so for 10 minutes, and what is wanted then. */
typedef struct situation {
    const char *name;
    step s;
    int64_t wanted;
    const char *reason;
    int64_t room; /* of each instance, by its pools; 0: its concurrency */
    int64_t min, max;
    int64_t concurrency; /* 0: 10 */
} situation;

static const situation situations[] = {
    {"nothing", {.instances = 3}, 1, "min", .min = 1, .max = 10},
    {"nothing, and a fleet may sleep", {.instances = 3}, 0, "load", .min = 0, .max = 10},
    {"an instance is busy", {.instances = 1, .processed = 100, .active = 8}, 1, "load", .min = 1, .max = 10},
    {"too busy", {.instances = 1, .processed = 100, .active = 9}, 2, "load", .min = 1, .max = 10},
    {"five are needed", {.instances = 1, .processed = 500, .active = 40}, 5, "load", .min = 1, .max = 10},
    {"more than may be", {.instances = 9, .processed = 5000, .active = 400}, 10, "max", .min = 1, .max = 10},
    {"fewer than must be", {.instances = 9, .processed = 100, .active = 8}, 4, "min", .min = 4, .max = 10},
    /* 5 in a paused queue raised 1 to 10 in 75 s. */
    {"a paused queue",
     {.instances = 1, .pending = 5000, .latency_ms = 600000, .is_paused = true},
     1,
     "min",
     .min = 1,
     .max = 10},
    {"a paused queue, still active",
     {.instances = 5, .pending = 5000, .active = 31, .latency_ms = 600000, .is_paused = true},
     4,
     "active_tasks",
     .min = 1,
     .max = 10},
    /* 100 were active for an hour, and busy instances were killed. */
    {"long tasks", {.instances = 10, .active = 100}, 10, "active_tasks", .min = 1, .max = 20},
    {"long tasks of instances that are ending",
     {.instances = 10, .active = 150, .busiest = 10, .leaving = 100},
     5,
     "active_tasks",
     .min = 1,
     .max = 20},
    {"long tasks, and a few others", {.instances = 10, .processed = 1, .active = 100}, 13, "load", .min = 1, .max = 20},
    {"long tasks wait",
     {.instances = 10, .pending = 100, .active = 100, .latency_ms = 20000},
     13,
     "load",
     .min = 1,
     .max = 20},
    /* +1 of 20 was less than the tolerance. */
    {"they wait in a large fleet",
     {.instances = 20, .processed = 100, .pending = 1, .active = 60, .latency_ms = 600000, .busiest = 10},
     23,
     "latency",
     .min = 1,
     .max = 100},
    {"they wait in a huge fleet",
     {.instances = 1000, .processed = 100, .pending = 1, .active = 60, .latency_ms = 600000, .busiest = 10},
     1101,
     "latency",
     .min = 1,
     .max = 5000},
    {"they wait in a small fleet",
     {.instances = 2, .processed = 100, .pending = 1, .active = 6, .latency_ms = 31000, .busiest = 10},
     3,
     "latency",
     .min = 1,
     .max = 10},
    {"nobody runs", {.instances = 0, .pending = 1, .latency_ms = 31000}, 1, "load", .min = 0, .max = 10},
    {"more would not help",
     {.instances = 2, .processed = 100, .failed = 60, .pending = 5000, .active = 20, .latency_ms = 90000},
     2,
     "failure_rate",
     .min = 1,
     .max = 10},
    {"they fail, and few are needed",
     {.instances = 5, .processed = 10, .failed = 6, .active = 1},
     1,
     "load",
     .min = 1,
     .max = 10},
    /* Pools of 4 in instances with a concurrency of 500. */
    {"pools are full",
     {.instances = 2, .processed = 40, .pending = 500, .active = 8, .latency_ms = 20000},
     6,
     "load",
     .room = 4,
     .min = 1,
     .max = 20,
     .concurrency = 500},
    {"pools are not full",
     {.instances = 2, .processed = 40, .pending = 0, .active = 8},
     1,
     "load",
     .min = 1,
     .max = 20,
     .concurrency = 500},
};

START_TEST(table_of_situations)
{
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++) {
        const situation *one = &situations[i];
        begin();
        options.min = one->min;
        options.max = one->max;
        if (one->concurrency)
            history.concurrency = one->concurrency;
        int64_t wanted = steady(10, one->s);
        ck_assert_msg(wanted == one->wanted && strcmp(reason, one->reason) == 0, "%s: %d, as %s", one->name,
                      (int)wanted, reason);
        if (one->room)
            ck_assert_int_eq(samples[history.count - 1].room, one->room);
    }
}
END_TEST

START_TEST(what_a_instance_runs)
{
    begin();
    history.concurrency = 500;
    steady(2, (step){.instances = 3, .processed = 5, .active = 12});
    ck_assert_int_eq(samples[history.count - 1].room, 0); /* nobody waits: it may be more than 4 */
    steady(2, (step){.instances = 3, .processed = 5, .pending = 20, .active = 12, .latency_ms = 5000});
    ck_assert_int_eq(samples[history.count - 1].room, 4);
    steady(30, (step){.instances = 3, .active = 12}); /* and that stays known while they run for half an hour */
    ck_assert_int_eq(decide(), 3);
    next((step){.instances = 3, .processed = 5, .active = 24}); /* it is more after all: the pools have grown */
    ck_assert_int_eq(samples[history.count - 1].room, 8);
    steady(2, (step){.instances = 3, .processed = 5, .pending = 20, .active = 6, .latency_ms = 5000});
    ck_assert_int_eq(samples[history.count - 1].room, 2);
}
END_TEST

START_TEST(unknown_is_not_nothing)
{
    begin();
    ck_assert_int_eq(next((step){.instances = 7}), 7); /* a fleet that works before anybody knows why */
    ck_assert_str_eq(reason, "warming_up");
    ck_assert_int_eq(steady(5, (step){.instances = 7}), 7);
    ck_assert_int_eq(steady(2, (step){.instances = 7}), 1);
    begin();
    next((step){.instances = 1}); /* ten begin together, and one is the first to look */
    for (int instances = 1; instances <= 10; instances++)
        ck_assert_int_eq(next((step){.instances = instances}), instances);
    ck_assert_int_eq(steady(4, (step){.instances = 10}), 10);
    begin();
    for (int i = 0; i < 60; i++)
        next((step){.instances = 1});
    ck_assert_int_le(next((step){.instances = 1, .pending = 100, .active = 10}), 3); /* short, for all that is known */
    ck_assert_int_eq(next((step){.instances = 1, .processed = 110}), 2);
}
END_TEST

START_TEST(small_changes_are_left)
{
    begin();
    options.max = 100;
    options.cooldown_ms = 0;
    ck_assert_int_eq(steady(2, (step){.instances = 29, .processed = 1000, .active = 240}), 30);
    for (int active = 240; active >= 220; active -= 2)
        ck_assert_int_eq(steady(2, (step){.instances = 30, .processed = 1000, .active = active}), 30);
    ck_assert_int_lt(steady(2, (step){.instances = 30, .processed = 1000, .active = 200}), 30);
    ck_assert_int_eq(steady(2, (step){.instances = 30, .processed = 1000, .active = 250}), 32);
    options.tolerance = 100; /* never fewer */
    ck_assert_int_eq(steady(2, (step){.instances = 30, .processed = 1, .active = 1}), 30);
}
END_TEST

START_TEST(backlog_counts)
{
    begin();
    options.max = 100;
    step busy = {.instances = 1, .processed = 50, .active = 5}; /* 10 per s, 0.5 s each */
    ck_assert_int_eq(steady(2, busy), 1);
    busy.pending = 1200; /* 30 per s came in the last minute: 15 places; 1,200 in a minute: 10 */
    ck_assert_int_eq(next(busy), 4);
    begin();
    options.max = 100;
    steady(2, (step){.instances = 1, .active = 10});
    /* Each runs for ten minutes; seven that wait need seven places, not seventy. */
    ck_assert_int_eq(next((step){.instances = 1, .processed = 1, .pending = 7, .active = 10}), 3);
}
END_TEST

/* ---- a fleet over time ---- */

/*
 * Kubernetes: a metric is asked for every 15 s, and a HorizontalPodAutoscaler makes replicas of it: differences of up
 * to a tenth are passed over, fewer only when that was so for the stabilization window, at most twice as many or four
 * more at once. A instance serves 30 s after it was asked for. Instances that are taken away end at once.
 */
enum { START_STEPS = 6, ASK_STEPS = 3, MAX_STEPS = 1440 };

typedef struct fleet {
    int64_t stabilization_ms;
    int64_t replicas, running;
    int64_t asked_at[64]; /* step in which the replica at this place was asked for */
    double pending, active;
    double waits_s;
    int64_t wanted[MAX_STEPS];
    int direction, turns, killed_busy;
    int64_t max_replicas;
} fleet;

static int64_t by_the_autoscaler(fleet *f, int now)
{
    int64_t wanted = f->wanted[now];
    double ratio = (double)wanted / (double)f->replicas;
    int64_t desired = fabs(1 - ratio) > 0.1 ? wanted : f->replicas;
    for (int i = now; i >= 0 && (now - i) * STEP_MS < f->stabilization_ms; i -= ASK_STEPS)
        desired = f->wanted[i] > desired && desired < f->replicas
                      ? (f->wanted[i] < f->replicas ? f->wanted[i] : f->replicas)
                      : desired;
    int64_t fastest = f->replicas * 2 > f->replicas + 4 ? f->replicas * 2 : f->replicas + 4;
    desired = desired > fastest ? fastest : desired;
    return desired < 1 ? 1 : desired;
}

static void scale_to(fleet *f, int64_t desired, int now)
{
    int direction = desired > f->replicas ? 1 : desired < f->replicas ? -1 : f->direction;
    f->turns += direction != f->direction;
    f->direction = direction;
    for (int64_t i = f->replicas; i < desired; i++)
        f->asked_at[i] = now;
    if (desired < f->running && f->active > (double)(desired * CONCURRENCY))
        f->killed_busy++;
    f->replicas = desired;
    f->max_replicas = desired > f->max_replicas ? desired : f->max_replicas;
}

/* 5 s of work: `arriving` tasks per second, each of which takes run_s. */
static void work(fleet *f, int now, double arriving, double run_s)
{
    scale_queue *queue;
    f->running = 0;
    for (int64_t i = 0; i < f->replicas; i++)
        f->running += now - f->asked_at[i] >= START_STEPS;
    queue = add(f->running, 0);
    double places = (double)(f->running * CONCURRENCY), came = arriving * STEP_MS / 1000;
    double can = places * STEP_MS / 1000 / run_s, done = fmin(can, f->pending + came);
    f->pending += came - done;
    f->active = fmin(places, done * run_s * 1000 / STEP_MS);
    f->waits_s = f->pending > 0.5 ? f->waits_s + STEP_MS / 1000.0 : 0;
    queue->processed += (int64_t)round(done);
    queue->pending = (int64_t)f->pending;
    queue->active = (int64_t)round(f->active);
    queue->latency_ms = f->pending >= 1 ? (int64_t)(1000 * fmin(f->waits_s, f->pending / fmax(done / 5, 0.1))) : 0;
    samples[history.count - 1].busiest = f->running ? (int64_t)ceil(f->active / (double)f->running) : 0;
    samples[history.count - 1].room = scale_room(&history);
}

typedef double (*load_shape)(int now);

/* Numbers that look like chance, and are the same in each run. */
static double chance(int now)
{
    unsigned x = (unsigned)now * 2654435761U;
    x ^= x >> 16;
    x *= 0x45d9f3bU;
    x ^= x >> 16;
    return (double)(x % 1000) / 1000;
}

static double level(int now)
{
    (void)now;
    return 60;
}

static double noisy(int now)
{
    return 60 * (0.75 + 0.5 * chance(now));
}

static double jump(int now)
{
    return now < 240 ? 10 : now < 720 ? 100 : 10;
}

static double wave(int now)
{
    return 60 + 50 * sin((double)now / 720 * 2 * 3.14159265); /* an hour from top to top */
}

static double bursts(int now)
{
    return now % 360 == 0 ? 200 : 5; /* 1,000 at once every half an hour */
}

static fleet simulate(load_shape shape, double run_s, int64_t stabilization_ms, int64_t replicas)
{
    fleet f = {.stabilization_ms = stabilization_ms, .replicas = replicas};
    begin();
    options.max = 40;
    for (int64_t i = 0; i < replicas; i++)
        f.asked_at[i] = -START_STEPS;
    for (int now = 0; now < MAX_STEPS; now++) {
        work(&f, now, shape(now), run_s);
        f.wanted[now] = decide();
        if (now % ASK_STEPS == 0)
            scale_to(&f, by_the_autoscaler(&f, now), now);
    }
    return f;
}

static const struct {
    const char *name;
    load_shape shape;
    int64_t max_instances; /* needed for its highest load, and for what waited meanwhile */
    int turns;             /* from more to fewer or back, in two hours */
} loads[] = {
    {"level", level, 13, 2}, {"noisy", noisy, 13, 2},  {"jump", jump, 20, 3},
    {"wave", wave, 16, 6},   {"bursts", bursts, 6, 8},
};

/* Two hours: no flapping, no run-away, nobody is killed at work, and nothing waits in the end. */
START_TEST(fleets_over_time)
{
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        for (int64_t stabilization_ms = 0; stabilization_ms <= 300000; stabilization_ms += 300000)
            for (int64_t replicas = 1; replicas <= 20; replicas += 19) {
                fleet f = simulate(loads[i].shape, 1, stabilization_ms, replicas);
                int64_t max = replicas > loads[i].max_instances ? replicas : loads[i].max_instances;
                ck_assert_msg(f.turns <= loads[i].turns && f.max_replicas <= max && !f.killed_busy && f.pending < 50,
                              "%s from %d, %d s: %d turns, %d instances, %d times killed at work, %d tasks wait",
                              loads[i].name, (int)replicas, (int)stabilization_ms / 1000, f.turns, (int)f.max_replicas,
                              f.killed_busy, (int)f.pending);
            }
}
END_TEST

/* Tasks wait because of something that no instance repairs, and new ones take their time: one step is asked for at a
 * time.
 */
START_TEST(no_runaway_while_instances_start)
{
    begin();
    options.max = 100;
    steady(5, (step){.instances = 2, .processed = 10, .active = 2});
    for (int i = 0; i < 60; i++)
        ck_assert_int_eq(
            next(
                (step){.instances = 2, .processed = 10, .pending = 1, .active = 2, .latency_ms = 40000, .busiest = 10}),
            3);
    ck_assert_int_eq(
        next((step){.instances = 3, .processed = 10, .pending = 1, .active = 2, .latency_ms = 40000, .busiest = 10}),
        4);
}
END_TEST

/* Whatever the number of queues, the samples that are kept reach back over window and cool-down. */
START_TEST(samples_reach_back)
{
    static const size_t counts[] = {1, 100, 1700, 1800, 5000, 20000, 100000};
    begin();
    ck_assert_int_eq(scale_interval_ms(&options, 1), options.interval_ms);
    ck_assert_int_eq(scale_interval_ms(&options, 1000), options.interval_ms);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t span_ms = ((int64_t)scale_max_samples(counts[i]) - 1) * scale_interval_ms(&options, counts[i]);
        ck_assert_int_ge(span_ms, options.window_ms + options.cooldown_ms);
    }
    options.cooldown_ms = 86400000;
    ck_assert_int_ge(511 * scale_interval_ms(&options, 1), options.window_ms + options.cooldown_ms);
    options.interval_ms = 3600000;
    ck_assert_int_eq(scale_interval_ms(&options, 1), 3600000);
}
END_TEST

Suite *suite_scale(void)
{
    const TTest *const list[] = {measured_rates,         table_of_situations,
                                 what_a_instance_runs,   unknown_is_not_nothing,
                                 small_changes_are_left, backlog_counts,
                                 fleets_over_time,       no_runaway_while_instances_start,
                                 samples_reach_back,     NULL};
    return suite_of("scaling", list);
}
