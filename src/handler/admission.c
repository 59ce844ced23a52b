/* See admission.h. */
#include "handler/admission.h"

enum { ADMISSION_LOOK_MS = 50, ADMISSION_AHEAD_MS = 30, ADMISSION_AHEAD_MAX = 1000 };

static void admission_tell(const admission *a)
{
    asynq_capacity_set_max(a->capacity, (int)(a->places ? a->places + a->ahead : 0));
}

static void admission_look_later(admission *a)
{
    a->looked_at_ms = loop_steady_ms(a->loop);
    loop_timer_set(&a->look, ADMISSION_LOOK_MS);
}

static void admission_set_pace(admission *a, double pace)
{
    double ahead = pace * ADMISSION_AHEAD_MS;
    a->pace = pace;
    a->ahead = ahead < ADMISSION_AHEAD_MAX ? (size_t)ahead : ADMISSION_AHEAD_MAX;
    admission_tell(a);
}

/* An idle one forgets its pace: the next tasks may be of another kind. */
static void admission_look(void *arg)
{
    admission *a = arg;
    int64_t ms = loop_steady_ms(a->loop) - a->looked_at_ms;
    double sample = (double)a->begun / (double)(ms > 0 ? ms : 1);
    a->begun = 0;
    admission_set_pace(a, (a->pace + sample) / 2);
    if (a->looked(a->arg))
        admission_look_later(a);
    else
        admission_set_pace(a, 0);
}

int admission_init(admission *a, loop *l, size_t places, bool (*looked)(void *arg), void *arg)
{
    *a = (admission){.loop = l, .places = places, .looked = looked, .arg = arg};
    a->capacity = asynq_capacity_new((int)places);
    loop_timer_init(l, &a->look, admission_look, a);
    return a->capacity ? ASYNQ_OK : ASYNQ_E_NO_MEMORY;
}

void admission_clear(admission *a)
{
    if (a->loop)
        loop_timer_cancel(&a->look);
    asynq_capacity_free(a->capacity);
    a->capacity = NULL;
}

void admission_set_places(admission *a, size_t places)
{
    a->places = places;
    admission_tell(a);
}

void admission_begin(admission *a)
{
    a->begun++;
    if (!loop_timer_is_set(&a->look))
        admission_look_later(a);
}
