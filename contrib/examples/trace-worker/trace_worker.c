/* The worker of a trace platform. usage: trace-worker [--redis URI] [--concurrency N] [--verbose] */
#include "trace_handlers.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static const struct option flags[] = {{"redis", required_argument, NULL, 'r'},
                                          {"concurrency", required_argument, NULL, 'c'},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    asynq_server_options options = {
        .concurrency = 10,
        .queues = trace_queues,
        .routes = trace_routes,
        .retry_delay_ms = trace_retry_delay_ms,
    };
    for (int flag; (flag = getopt_long(argc, argv, "r:c:vh", flags, NULL)) != -1;) {
        if (flag == 'r')
            options.redis = optarg;
        else if (flag == 'c')
            options.concurrency = atoi(optarg);
        else if (flag == 'v')
            options.log_level = ASYNQ_LOG_DEBUG;
        else {
            fprintf(stderr, "usage: trace-worker [--redis URI] [--concurrency N] [--verbose]\n");
            return flag == 'h' ? 0 : 2;
        }
    }
    return asynq_serve(&options);
}
