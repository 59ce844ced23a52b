/*
 * libasynq for C++17 and later: objects that free themselves, texts as std::string_view, lambdas as handlers, failures
 * as exceptions. A thin layer without a library of its own; get() gives what is beneath for the rest of the C calls.
 *
 *     asynq::server server({.redis = "redis://127.0.0.1:6379", .concurrency = 8});
 *     server.queue("critical", 6).queue("default", 1);
 *     server.handle("email:", [](asynq::job &job) {
 *         send(job.payload());                         // an exception that leaves it fails the attempt with its what()
 *         job.write_result("sent");
 *     });
 *     server.run();
 *
 *     asynq::client client;
 *     client.enqueue(asynq::task("email:send", json).queue("critical").max_retry(3).timeout(5min));
 *
 * Exceptions: calls throw asynq::error. What leaves a handler that was given to server::handle() is caught, and fails
 * the attempt. It must not leave any function that is given to a call in C: the library is C, through which nothing may
 * be thrown, so that the process would end by std::terminate().
 *
 * Threads: as the C calls beneath say.
 */
#ifndef ASYNQ_ASYNQ_HPP
#define ASYNQ_ASYNQ_HPP

#include <asynq/asynq.h>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace asynq
{

using milliseconds = std::chrono::milliseconds;
using time_point = std::chrono::system_clock::time_point;

/* A call that failed: what() is the sentence, code() an asynq_status. */
class error : public std::runtime_error
{
  public:
    explicit error(const asynq_error &cause) : std::runtime_error(cause.text), code_(cause.code)
    {
    }
    int code() const noexcept
    {
        return code_;
    }
    bool is_retryable() const noexcept
    {
        return asynq_status_is_retryable(code_);
    }

  private:
    int code_;
};

/* To be thrown by handlers: the attempt fails, and the task is archived at once. */
class skip_retry : public std::runtime_error
{
  public:
    using std::runtime_error::runtime_error;
};

namespace detail
{
inline void check(int status, const asynq_error &cause)
{
    if (status)
        throw error(cause);
}

template <class T> T *check(T *made, const asynq_error &cause)
{
    if (!made)
        throw error(cause);
    return made;
}

inline const char *text_or_null(const std::string &text)
{
    return text.empty() ? nullptr : text.c_str();
}

inline std::int64_t ms_of(time_point at)
{
    return std::chrono::duration_cast<milliseconds>(at.time_since_epoch()).count();
}

template <class T, void (*release)(T *)> struct deleter {
    void operator()(T *object) const noexcept
    {
        release(object);
    }
};
template <class T, void (*release)(T *)> using owner = std::unique_ptr<T, deleter<T, release>>;
} // namespace detail

/* ---- tasks ---- */

/* A task and its options, which it owns. What is not set is Asynq's default; asynq_task_options says which. */
class task
{
  public:
    explicit task(std::string_view type, std::string_view payload = {}) : type_(type), payload_(payload)
    {
    }
    task &queue(std::string_view name)
    {
        queue_ = name;
        return *this;
    }
    task &id(std::string_view id)
    {
        id_ = id;
        return *this;
    }
    task &group(std::string_view name)
    {
        group_ = name;
        return *this;
    }
    task &header(std::string_view key, std::string_view value)
    {
        headers_.emplace_back(key, value);
        return *this;
    }
    /* 0: none. */
    task &max_retry(int retries)
    {
        options_.max_retry = retries > 0 ? retries : ASYNQ_NONE;
        return *this;
    }
    task &timeout(milliseconds limit)
    {
        options_.timeout_ms = limit.count();
        return *this;
    }
    task &deadline(time_point at)
    {
        options_.deadline_ms = detail::ms_of(at);
        return *this;
    }
    task &unique(milliseconds time)
    {
        options_.unique_ms = time.count();
        return *this;
    }
    task &process_at(time_point at)
    {
        options_.process_at_ms = detail::ms_of(at);
        return *this;
    }
    task &process_in(milliseconds time)
    {
        options_.process_in_ms = time.count();
        return *this;
    }
    task &retention(milliseconds time)
    {
        options_.retention_ms = time.count();
        return *this;
    }

    /* Calls `use` with the task as C has it; the task must not change meanwhile. */
    template <class Use> auto with(Use use) const
    {
        std::vector<asynq_header> headers;
        headers.reserve(headers_.size());
        for (const auto &[key, value] : headers_) {
            asynq_header header{};
            header.key = key.c_str();
            header.value = value.c_str();
            headers.push_back(header);
        }
        asynq_task made{};
        made.type = type_.c_str();
        made.payload = payload_.data();
        made.payload_length = payload_.size();
        made.options = options_;
        made.options.queue = detail::text_or_null(queue_);
        made.options.id = detail::text_or_null(id_);
        made.options.group = detail::text_or_null(group_);
        made.options.headers = headers.data();
        made.options.header_count = headers.size();
        return use(made);
    }

  private:
    std::string type_, payload_, queue_, id_, group_;
    std::vector<std::pair<std::string, std::string>> headers_;
    asynq_task_options options_{};
};

/* The result of enqueueing a task: asynq_enqueued says what is in it. */
struct enqueued {
    std::string id;
    asynq_state state;
    std::int64_t next_process_at_ms; /* Unix time; 0 for grouped tasks */
};

/* ---- the client ---- */

/* Options of a client: asynq_client_options says what they are. */
struct client_options {
    std::string redis{}; /* URI; default redis://127.0.0.1:6379 */
    milliseconds timeout{};
    std::string prefix{};
};

/* A client, which enqueues tasks. Can be used by any number of threads at once. */
class client
{
  public:
    explicit client(const client_options &options = {})
    {
        asynq_client_options own{};
        own.redis = detail::text_or_null(options.redis);
        own.timeout_ms = options.timeout.count();
        own.prefix = detail::text_or_null(options.prefix);
        adopt(own);
    }
    /* With all options of C. */
    template <class Options, std::enable_if_t<std::is_same_v<Options, asynq_client_options>, int> = 0>
    explicit client(const Options &options)
    {
        adopt(options);
    }

    /* Waits for the answer. Throws error, with ASYNQ_E_DUPLICATE, ASYNQ_E_CONFLICT and so on: see asynq_enqueue(). */
    enqueued enqueue(const task &given)
    {
        asynq_error cause{};
        asynq_enqueued result{};
        int status = given.with(
            [&](const asynq_task &made) { return asynq_enqueue(client_.get(), &made, nullptr, &result, &cause); });
        detail::check(status, cause);
        return {result.id, result.state, result.next_process_at_ms};
    }

    /* Does not wait; throws if it is refused at once. `done` may be empty. It is called in the client's thread, and
     * must not throw. */
    void enqueue_async(const task &given, std::function<void(const asynq_enqueued &)> done = {})
    {
        using callback = std::function<void(const asynq_enqueued &)>;
        asynq_error cause{};
        auto own = done ? std::make_unique<callback>(std::move(done)) : nullptr;
        asynq_enqueued_cb tell = own ? [](const asynq_enqueued *result, void *arg) noexcept {
            std::unique_ptr<callback> held(static_cast<callback *>(arg));
            (*held)(*result);
        } : static_cast<asynq_enqueued_cb>(nullptr);
        int status = given.with([&](const asynq_task &made) {
            return asynq_enqueue_async(client_.get(), &made, nullptr, tell, own.get(), &cause);
        });
        detail::check(status, cause);
        own.release(); /* the callback's */
    }

    void flush()
    {
        asynq_client_flush(client_.get());
    }
    void ping()
    {
        asynq_error cause{};
        detail::check(asynq_client_ping(client_.get(), &cause), cause);
    }
    asynq_client *get() const noexcept
    {
        return client_.get();
    }

  private:
    void adopt(const asynq_client_options &options)
    {
        asynq_error cause{};
        client_.reset(detail::check(asynq_client_new(&options, &cause), cause));
    }
    detail::owner<asynq_client, asynq_client_free> client_;
};

/* ---- jobs and servers ---- */

/* One attempt at a task, as its handler sees it. It is the library's; texts last as long as the handler runs. */
class job
{
  public:
    explicit job(asynq_job *own) noexcept : job_(own)
    {
    }
    std::string_view id() const
    {
        std::size_t length = 0;
        const char *data = asynq_job_id_bytes(job_, &length);
        return {data, length};
    }
    std::string_view type() const
    {
        std::size_t length = 0;
        const char *data = asynq_job_type_bytes(job_, &length);
        return {data, length};
    }
    std::string_view queue() const
    {
        return asynq_job_queue(job_);
    }
    std::string_view payload() const
    {
        std::size_t length = 0;
        const void *data = asynq_job_payload(job_, &length);
        return {static_cast<const char *>(data), length};
    }
    std::optional<std::string_view> header(const std::string &key) const
    {
        std::size_t length = 0;
        const char *value = asynq_job_header_bytes(job_, key.c_str(), &length);
        return value ? std::optional<std::string_view>({value, length}) : std::nullopt;
    }
    int retry_count() const
    {
        return asynq_job_retry_count(job_);
    }
    int max_retry() const
    {
        return asynq_job_max_retry(job_);
    }
    time_point deadline() const
    {
        return time_point(std::chrono::duration_cast<time_point::duration>(milliseconds(asynq_job_deadline_ms(job_))));
    }
    bool is_cancelled() const
    {
        return asynq_job_is_cancelled(job_);
    }
    asynq_cancel_reason cancel_reason() const
    {
        return asynq_job_cancel_reason(job_);
    }
    /* Sleeps so long, or until the cancel mark is set, which it returns. */
    bool wait_cancelled(milliseconds time)
    {
        return asynq_job_wait_cancelled(job_, time.count());
    }
    void progress(double fraction, const std::string &text)
    {
        asynq_job_progress(job_, fraction, text.c_str());
    }
    void set_code(int code)
    {
        asynq_job_set_code(job_, code);
    }
    /* Throws std::runtime_error, which fails the attempt, if it was cancelled or memory ran out. */
    void write_result(std::string_view result)
    {
        if (asynq_write_result(job_, result.data(), result.size()) != ASYNQ_OUTCOME_DONE)
            throw std::runtime_error(asynq_job_error(job_));
    }
    /* Stores it while the task runs; the end of the attempt does so once more. */
    void flush_result()
    {
        (void)asynq_job_flush_result(job_);
    }

    /* Outcomes to return, as in C. */
    [[nodiscard]] int fail(std::string_view text)
    {
        return asynq_fail(job_, "%.*s", static_cast<int>(text.size()), text.data());
    }
    [[nodiscard]] int skip_retry(std::string_view text)
    {
        return asynq_skip_retry(job_, "%.*s", static_cast<int>(text.size()), text.data());
    }
    [[nodiscard]] int revoke(std::string_view text)
    {
        return asynq_revoke(job_, "%.*s", static_cast<int>(text.size()), text.data());
    }
    [[nodiscard]] int retry_in(milliseconds pause, std::string_view text)
    {
        return asynq_retry_in(job_, pause.count(), "%.*s", static_cast<int>(text.size()), text.data());
    }
    [[nodiscard]] int snooze(milliseconds pause, std::string_view text)
    {
        return asynq_snooze(job_, pause.count(), "%.*s", static_cast<int>(text.size()), text.data());
    }

    asynq_job *get() const noexcept
    {
        return job_;
    }

  private:
    asynq_job *job_;
};

/* Options of a server: asynq_server_options says what they are. */
struct server_options {
    std::string redis{}; /* URI; default redis://127.0.0.1:6379 */
    int concurrency = 0; /* default: number of processors */
    bool strict_priority = false;
    milliseconds shutdown_timeout{};
    std::string prefix{};
    asynq_log_cb log = asynq_log_to_stderr;
    asynq_log_level log_level = ASYNQ_LOG_INFO;
};

/* A server, which runs tasks. Its handlers are functions or lambdas, and may throw. */
class server
{
  public:
    explicit server(const server_options &options = {})
    {
        asynq_server_options own{};
        own.redis = detail::text_or_null(options.redis);
        own.concurrency = options.concurrency;
        own.strict_priority = options.strict_priority;
        own.shutdown_timeout_ms = options.shutdown_timeout.count();
        own.prefix = detail::text_or_null(options.prefix);
        own.log = options.log;
        own.log_level = options.log_level;
        adopt(own);
    }
    /* With all options of C. Functions in there must not throw. */
    template <class Options, std::enable_if_t<std::is_same_v<Options, asynq_server_options>, int> = 0>
    explicit server(const Options &options)
    {
        adopt(options);
    }

    server &queue(const std::string &name, int priority = 1)
    {
        asynq_error cause{};
        detail::check(asynq_server_queue(server_.get(), name.c_str(), priority, &cause), cause);
        return *this;
    }

    /*
     * Before the start: a handler of the types that begin with the pattern, called with a job in one of `concurrency`
     * threads. It returns nothing when the task is done, or an outcome. What it throws fails the attempt with the text
     * of what(); asynq::skip_retry archives the task. It lives as long as the server, and as calls that a shutdown did
     * not wait for.
     */
    template <class Handler> server &handle(const std::string &pattern, Handler handler)
    {
        asynq_route route{};
        route.pattern = pattern.c_str();
        return handle(route, std::move(handler));
    }
    /* The same with the policies of a route of C; its handler, argument and kind are not looked at. */
    template <class Handler> server &handle(asynq_route route, Handler handler)
    {
        asynq_error cause{};
        auto own = std::make_unique<slot>(std::make_shared<function>(outcome_of(std::move(handler))));
        route.handler = call;
        route.arg = own.get();
        route.kind = ASYNQ_HANDLER_THREAD;
        detail::check(asynq_server_handle(server_.get(), &route, &cause), cause);
        slots_.push_back(std::move(own));
        return *this;
    }

    void start()
    {
        asynq_error cause{};
        detail::check(asynq_server_start(server_.get(), &cause), cause);
    }
    /* Until TERM or INT: see asynq_server_run(). */
    void run()
    {
        asynq_error cause{};
        detail::check(asynq_server_run(server_.get(), &cause), cause);
    }
    void stop()
    {
        asynq_server_stop(server_.get());
    }
    void shutdown()
    {
        asynq_server_shutdown(server_.get());
    }
    asynq_server *get() const noexcept
    {
        return server_.get();
    }

  private:
    using function = std::function<int(job &)>;
    using slot = std::shared_ptr<function>;

    template <class Handler> static function outcome_of(Handler handler)
    {
        if constexpr (std::is_void_v<std::invoke_result_t<Handler &, job &>>)
            return [handler = std::move(handler)](job &given) mutable {
                handler(given);
                return static_cast<int>(ASYNQ_OUTCOME_DONE);
            };
        else
            return function(std::move(handler));
    }

    /* What the library calls. Nothing leaves it. */
    static int call(asynq_job *given, void *arg) noexcept
    {
        slot own = *static_cast<slot *>(arg); /* it may outlive the server */
        job one(given);
        try {
            return (*own)(one);
        } catch (const asynq::skip_retry &failure) {
            return one.skip_retry(failure.what());
        } catch (const std::exception &failure) {
            return one.fail(failure.what());
        } catch (...) {
            return one.fail("an exception that is no std::exception");
        }
    }

    void adopt(const asynq_server_options &options)
    {
        asynq_error cause{};
        server_.reset(detail::check(asynq_server_new(&options, &cause), cause));
    }

    std::vector<std::unique_ptr<slot>> slots_;
    detail::owner<asynq_server, asynq_server_free> server_; /* goes first */
};

/* ---- schedulers and inspectors ---- */

/* A scheduler, which enqueues periodic tasks. */
class scheduler
{
  public:
    explicit scheduler(const asynq_scheduler_options &options = {})
    {
        asynq_error cause{};
        scheduler_.reset(detail::check(asynq_scheduler_new(&options, &cause), cause));
    }
    /* Adds an entry, and returns its id; `name` may be empty. */
    std::string add(const std::string &spec, const task &given, const std::string &name = {})
    {
        asynq_error cause{};
        char id[ASYNQ_ENTRY_ID_SIZE] = "";
        int status = given.with([&](const asynq_task &made) {
            asynq_periodic entry{};
            entry.spec = spec.c_str();
            entry.task = made;
            entry.task.options = asynq_task_options{};
            entry.options = &made.options; /* which user interfaces show */
            entry.name = detail::text_or_null(name);
            return asynq_scheduler_register(scheduler_.get(), &entry, id, &cause);
        });
        detail::check(status, cause);
        return id;
    }
    void start()
    {
        asynq_error cause{};
        detail::check(asynq_scheduler_start(scheduler_.get(), &cause), cause);
    }
    asynq_scheduler *get() const noexcept
    {
        return scheduler_.get();
    }

  private:
    detail::owner<asynq_scheduler, asynq_scheduler_free> scheduler_;
};

/* A list or text that a call of an inspector filled: found<asynq_task_list, asynq_task_list_free>. */
template <class List, void (*release)(List *)> class found
{
  public:
    found() = default;
    found(const found &) = delete;
    found &operator=(const found &) = delete;
    found(found &&other) noexcept : list_(std::exchange(other.list_, List{}))
    {
    }
    found &operator=(found &&other) noexcept
    {
        std::swap(list_, other.list_);
        return *this;
    }
    ~found()
    {
        release(&list_);
    }
    /* For the call; what was there is freed. */
    List *put()
    {
        release(&list_);
        return &list_;
    }
    const List *operator->() const noexcept
    {
        return &list_;
    }

  private:
    List list_{};
};
using task_list = found<asynq_task_list, asynq_task_list_free>;
using server_list = found<asynq_server_list, asynq_server_list_free>;

/* An inspector, which lists and manages tasks, queues and servers. Belongs to one thread at a time. */
class inspector
{
  public:
    explicit inspector(const asynq_inspector_options &options = {})
    {
        asynq_error cause{};
        inspector_.reset(detail::check(asynq_inspector_new(&options, &cause), cause));
    }
    std::vector<std::string> queues()
    {
        asynq_error cause{};
        found<asynq_name_list, asynq_name_list_free> names;
        detail::check(asynq_inspector_queues(inspector_.get(), names.put(), &cause), cause);
        return {names->names, names->names + names->count};
    }
    asynq_queue_info queue(const std::string &name)
    {
        asynq_error cause{};
        asynq_queue_info info{};
        detail::check(asynq_inspector_queue(inspector_.get(), name.c_str(), &info, &cause), cause);
        return info;
    }
    /* `tasks` of the list has one. */
    task_list task(const std::string &queue, const std::string &id)
    {
        asynq_error cause{};
        task_list list;
        detail::check(asynq_inspector_task(inspector_.get(), queue.c_str(), id.c_str(), list.put(), &cause), cause);
        return list;
    }
    asynq_inspector *get() const noexcept
    {
        return inspector_.get();
    }

  private:
    detail::owner<asynq_inspector, asynq_inspector_free> inspector_;
};

} // namespace asynq

#endif
