/* See progress.h. */
#include "server/progress.h"

#include "base/alloc.h"
#include "base/text.h"
#include "server/job.h"
#include "server/job_port.h"

#include <math.h>
#include <string.h>

static void set_text(job_progress *progress, bytes text)
{
    size_t length = text_cut(text.data, text.length, PROGRESS_MAX_TEXT);
    memcpy(progress->text, text.data, length);
    progress->text[length] = '\0';
    text_make_utf8(progress->text, length);
}

/* Who tells it further hears of it once; a server looks by itself, at each heartbeat. */
static void tell_news(asynq_job *job)
{
    if (!atomic_exchange(&job->has_news, true) && !job->queue && job->port->waker)
        loop_waker_wake(job->port->waker);
}

void progress_say(asynq_job *job, double fraction, bytes text)
{
    pthread_mutex_lock(&job->port->lock);
    if (!job->progress) {
        job->progress = mem_calloc(1, sizeof *job->progress);
        if (job->progress)
            job->progress->fraction = -1;
    }
    if (job->progress) { /* without memory for it nobody is told, which harms no task */
        if (!isnan(fraction) && fraction >= 0)
            job->progress->fraction = fraction > 1 ? 1 : fraction;
        if (text.data)
            set_text(job->progress, text);
        tell_news(job);
    }
    pthread_mutex_unlock(&job->port->lock);
}

void asynq_job_progress(asynq_job *job, double fraction, const char *text)
{
    progress_say(job, fraction, text ? bytes_of(text) : (bytes){0});
}

bool progress_is_new(const asynq_job *job)
{
    return job->has_news;
}

bool progress_read(asynq_job *job, job_progress *now)
{
    pthread_mutex_lock(&job->port->lock);
    bool is_said = job->progress != NULL;
    if (is_said)
        *now = *job->progress;
    job->has_news = false;
    pthread_mutex_unlock(&job->port->lock);
    return is_said;
}
