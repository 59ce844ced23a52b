/*
 * The C++ header: each class, and what becomes of exceptions. usage: cpp REDIS_URI; prints the first thing that is
 * wrong. "cpp REDIS_URI throw" lets an exception leave a function that was given to C, which must end the process.
 */
#include <asynq/asynq.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

using namespace std::chrono_literals;

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::printf("line %d: %s\n", __LINE__, #condition);                                                        \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

template <class Condition> static bool eventually(Condition condition)
{
    for (int i = 0; i < 1000 && !condition(); i++)
        std::this_thread::sleep_for(10ms);
    return condition();
}

template <class Call> static int code_of(Call call)
{
    try {
        call();
    } catch (const asynq::error &error) {
        MUST(std::strlen(error.what()) > 0);
        return error.code();
    }
    return 0;
}

static int throws(asynq_job *, void *)
{
    throw std::runtime_error("through C");
}

/* std::terminate(), by the signal ABRT. */
static int throw_through_c(const char *redis)
{
    asynq_route routes[2]{};
    routes[0].pattern = "throw";
    routes[0].handler = throws;
    asynq_server_options options{};
    options.redis = redis;
    options.routes = routes;
    asynq::server server(options);
    server.start();
    asynq::client({.redis = redis}).enqueue(asynq::task("throw"));
    std::this_thread::sleep_for(10s);
    return 0;
}

static std::string last_error(asynq::inspector &inspector, const char *id, asynq_state state)
{
    std::string text;
    MUST(eventually([&] {
        asynq::task_list list = inspector.task("default", id);
        text = list->tasks[0].last_error;
        return list->tasks[0].state == state;
    }));
    return text;
}

static void add_handlers(asynq::server &server, std::atomic<int> &done, std::shared_ptr<int> kept)
{
    server.handle("echo", [&done, kept](asynq::job &job) {
        MUST(job.header("k") == "v" && !job.header("none") && job.queue() == "default" && !job.is_cancelled());
        MUST(job.retry_count() == 0 && job.max_retry() == 3 && job.deadline() > std::chrono::system_clock::now());
        job.write_result(job.payload());
        done++;
    });
    server.handle("throw:std", [](asynq::job &) -> int { throw std::out_of_range("%s is out of range"); });
    server.handle("throw:skip", [](asynq::job &) { throw asynq::skip_retry("never again"); });
    server.handle("throw:int", [](asynq::job &) { throw 42; });
    server.handle("fail", [](asynq::job &job) { return job.retry_in(1h, "not now"); });
    MUST(code_of([&] { server.handle("fail", [](asynq::job &) {}); }) == ASYNQ_E_INVALID);
}

static void use(const char *redis)
{
    std::atomic<int> done{0}, called{0};
    auto kept = std::make_shared<int>(1);
    asynq_inspector_options options{};
    options.redis = redis;
    asynq::inspector inspector(options);
    asynq::client client({.redis = redis, .timeout = 5s});
    client.ping();
    {
        asynq::server server({.redis = redis, .concurrency = 4, .log = nullptr});
        add_handlers(server, done, kept);
        server.start();
        std::string binary("a\0b", 3);
        auto made = client.enqueue(asynq::task("echo", binary).id("echo").header("k", "v").max_retry(3).retention(1h));
        MUST(made.id == "echo" && made.state == ASYNQ_STATE_PENDING);
        for (const char *type : {"throw:std", "throw:skip", "throw:int", "fail"})
            client.enqueue_async(asynq::task(type).id(type),
                                 [&](const asynq_enqueued &result) { called += !result.error.code; });
        client.flush();
        MUST(called == 4);
        last_error(inspector, "echo", ASYNQ_STATE_COMPLETED);
        asynq::task_list echo = inspector.task("default", "echo");
        MUST(echo->tasks[0].result_length == 3 && std::memcmp(echo->tasks[0].result, binary.data(), 3) == 0);
        MUST(last_error(inspector, "throw:std", ASYNQ_STATE_RETRY) == "%s is out of range");
        MUST(last_error(inspector, "throw:skip", ASYNQ_STATE_ARCHIVED) == "never again");
        MUST(last_error(inspector, "throw:int", ASYNQ_STATE_RETRY) == "an exception that is no std::exception");
        MUST(last_error(inspector, "fail", ASYNQ_STATE_RETRY) == "not now");
        MUST(kept.use_count() == 2);
    }
    MUST(done == 1 && kept.use_count() == 1); /* what the handler had is gone with the server */
    MUST(code_of([&] { client.enqueue(asynq::task("echo").id("echo")); }) == ASYNQ_E_CONFLICT);
    MUST(code_of([&] { client.enqueue(asynq::task("")); }) == ASYNQ_E_INVALID);
    MUST(code_of([&] { asynq::client({.redis = "nowhere"}); }) == ASYNQ_E_INVALID);
    MUST(inspector.queues() == std::vector<std::string>{"default"} && inspector.queue("default").completed == 1);
    asynq_scheduler_options at{};
    at.redis = redis;
    asynq::scheduler scheduler(at);
    MUST(scheduler.add("@every 1s", asynq::task("tick").queue("ticks")).size() == 36);
    MUST(code_of([&] { scheduler.add("never", asynq::task("tick")); }) == ASYNQ_E_INVALID);
    scheduler.start();
    MUST(eventually([&] { return inspector.queues().size() == 2 && inspector.queue("ticks").pending > 0; }));
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return throw_through_c(argv[1]);
    use(argv[1]);
    std::puts("C++ is fine");
    return 0;
}
