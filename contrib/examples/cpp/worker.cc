// A worker and a client in C++. usage: worker REDIS_URI
#include <asynq/asynq.hpp>

#include <atomic>
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    try {
        std::atomic<int> greeted{0};
        asynq::server server({.redis = argv[1], .concurrency = 4});
        server.queue("critical", 6).queue("default", 1);
        server.handle("greet", [&greeted](asynq::job &job) {
            if (job.payload().empty())
                throw asynq::skip_retry("nobody to greet");
            job.write_result("hello, " + std::string(job.payload()));
            greeted++;
        });
        server.start();

        asynq::client client({.redis = argv[1]});
        auto enqueued = client.enqueue(asynq::task("greet", "Ada").queue("critical").max_retry(3).timeout(1min));
        for (int i = 0; i < 500 && !greeted; i++)
            std::this_thread::sleep_for(10ms);
        std::printf("task %s: greeted %d\n", enqueued.id.c_str(), greeted.load());
        return greeted == 1 ? 0 : 1;
    } catch (const asynq::error &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
