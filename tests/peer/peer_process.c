/* The peer as a process: what the machine grants it, and what it has used. */
#include "peer.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * {"allowed": bool}. Threads are forbidden by the size of their stacks, which no machine has; so this works for root
 * too, for whom there is no limit of processes.
 */
static json_t *threads(json_t *arguments)
{
    static const size_t stack_sizes[] = {(size_t)1 << 46, (size_t)1 << 20};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int problem =
        pthread_attr_setstacksize(&attributes, stack_sizes[json_is_true(json_object_get(arguments, "allowed"))]);
    if (!problem)
        problem = pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    return peer_status(problem, &(asynq_error){.text = "stack sizes cannot be set"});
}

/* {"switches": how often threads have waited for something} */
static json_t *usage(json_t *arguments)
{
    (void)arguments;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    json_t *answer = peer_status(0, NULL);
    json_object_set_new(answer, "switches", json_integer(used.ru_nvcsw));
    return answer;
}

json_t *peer_fork(int children, bool (*in_child)(void))
{
    int answered = 0;
    for (int i = 0; i < children; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            _exit(in_child() ? 0 : 1);
        }
        int how = 1;
        if (child > 0 && waitpid(child, &how, 0) == child && how == 0)
            answered++;
    }
    json_t *answer = peer_status(0, NULL);
    json_object_set_new(answer, "answered", json_integer(answered));
    return answer;
}

const peer_row peer_process_rows[] = {{"process.threads", threads}, {"process.usage", usage}, {NULL, NULL}};
