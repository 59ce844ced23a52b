/* An asynq_plugin: cc -shared -fPIC plugin.c -o plugin.so $(pkg-config --cflags libasynq) */
#include <asynq/asynq.h>
#include <asynq/plugin.h>

static int evaluate(asynq_job *job, void *arg)
{
    (void)arg;
    size_t length;
    const void *payload = asynq_job_payload(job, &length);
    return asynq_write_result(job, payload, length);
}

static const asynq_route routes[] = {{.pattern = "eval:", .handler = evaluate}, {0}};

ASYNQ_PLUGIN(.name = "eval", .routes = routes)
