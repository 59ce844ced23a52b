// A worker and a client in C++: calls instead of C's array literals. usage: worker REDIS_URI
#include <asynq/asynq.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

namespace
{

std::atomic<int> greeted{0};

int greet(asynq_job *job, void *)
{
    size_t length = 0;
    const auto *payload = static_cast<const char *>(asynq_job_payload(job, &length));
    std::string_view name(payload, length);
    if (name.empty())
        return asynq_fail(job, "nobody to greet");
    std::string result = "hello, " + std::string(name);
    greeted++;
    return asynq_write_result(job, result.data(), result.size());
}

struct free_server {
    void operator()(asynq_server *server) const
    {
        asynq_server_free(server);
    }
};
struct free_client {
    void operator()(asynq_client *client) const
    {
        asynq_client_free(client);
    }
};

int fail(const asynq_error &error)
{
    std::fprintf(stderr, "%s\n", error.text);
    return 1;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    asynq_error error{};
    asynq_server_options server_options{.redis = argv[1], .concurrency = 4};
    std::unique_ptr<asynq_server, free_server> server(asynq_server_new(&server_options, &error));
    asynq_route route{.pattern = "greet", .handler = greet};
    if (!server || asynq_server_queue(server.get(), "critical", 6, &error) ||
        asynq_server_queue(server.get(), "default", 1, &error) || asynq_server_handle(server.get(), &route, &error) ||
        asynq_server_start(server.get(), &error))
        return fail(error);

    asynq_client_options client_options{.redis = argv[1]};
    std::unique_ptr<asynq_client, free_client> client(asynq_client_new(&client_options, &error));
    if (!client)
        return fail(error);
    std::string name = "Ada";
    asynq_task task{.type = "greet",
                    .payload = name.data(),
                    .payload_length = name.size(),
                    .options = {.queue = "critical", .max_retry = 3}};
    asynq_enqueued enqueued{};
    if (asynq_enqueue(client.get(), &task, nullptr, &enqueued, &error))
        return fail(error);
    for (int i = 0; i < 500 && !greeted; i++)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::printf("task %s: greeted %d\n", enqueued.id, greeted.load());
    return greeted == 1 ? 0 : 1;
}
