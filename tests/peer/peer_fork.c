/* Children of forks: what calls do in a process that has a copy of an object, and not the thread behind it. */
#include "peer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name;
    peer_in_child run;
} actors[] = {
    {"client", peer_client_in_child},
    {"server", peer_server_in_child},
    {"scheduler", peer_scheduler_in_child},
    {"inspector", peer_inspector_in_child},
};

static peer_in_child actor_of(json_t *arguments)
{
    const char *name = json_string_value(json_object_get(arguments, "actor"));
    for (size_t i = 0; i < sizeof actors / sizeof *actors; i++)
        if (name && strcmp(name, actors[i].name) == 0)
            return actors[i].run;
    return NULL;
}

/* ---- what goes on in other threads of the parent at the moment of a fork ---- */

static atomic_bool is_busy;

static void *keep_busy(void *arg)
{
    (void)arg;
    while (is_busy)
        peer_client_call();
    return NULL;
}

/* ---- children ---- */

enum { CHILD_LIMIT_MS = 5000 };

/* GCC 12's address sanitizer does not take the locks of its own allocator at a fork: now and then a child hangs there.
 */
#ifdef __SANITIZE_ADDRESS__
enum { MAX_HUNG_BY_RUNTIME = 2 };
#else
enum { MAX_HUNG_BY_RUNTIME = 0 };
#endif

/* The child's exit status, or -1: it hung, and was ended. */
static int wait_for(pid_t child)
{
    int status;
    for (int waited_ms = 0; waited_ms < CHILD_LIMIT_MS; waited_ms++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return -1;
}

/* {"actor", "count", "threads"}: forks so often while threads enqueue; each child calls the actor's object. */
static json_t *forks(json_t *arguments)
{
    enum { MAX_THREADS = 8, MAX_HUNG = 4 };
    pthread_t threads[MAX_THREADS];
    int64_t count = json_integer_value(json_object_get(arguments, "count")), hung = 0, wrong = 0;
    int64_t wanted = json_integer_value(json_object_get(arguments, "threads"));
    peer_in_child run = actor_of(arguments);
    is_busy = true;
    for (int64_t i = 0; i < wanted && i < MAX_THREADS; i++)
        pthread_create(&threads[i], NULL, keep_busy, NULL);
    for (int64_t i = 0; i < count && hung < MAX_HUNG; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(run ? run() : 99);
        int status = wait_for(child);
        hung += status < 0;
        wrong += status > 0;
    }
    is_busy = false;
    for (int64_t i = 0; i < wanted && i < MAX_THREADS; i++)
        pthread_join(threads[i], NULL);
    bool is_runtime = hung <= MAX_HUNG_BY_RUNTIME;
    return json_pack("{s:i,s:I,s:I}", "status", 0, "hung", is_runtime ? 0 : (json_int_t)hung, "wrong",
                     (json_int_t)wrong);
}

const peer_row peer_fork_rows[] = {{"forks", forks}, {NULL, NULL}};
