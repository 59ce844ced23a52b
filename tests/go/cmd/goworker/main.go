// Goworker runs Go's server with the tests' handlers until it is killed. usage: goworker ADDRESS QUEUE LEDGER CONCURRENCY
// ADDRESS: a socket of Redis, redis-sentinel://... as Asynq reads it, redis-cluster://HOST:PORT[,HOST:PORT...]
package main

import (
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/libasynq-tests/harness"
)

type quiet struct{}

func (quiet) Note(string, ...any) {}

func connection(address string) (asynq.RedisConnOpt, error) {
	if seeds, isCluster := strings.CutPrefix(address, "redis-cluster://"); isCluster {
		return asynq.RedisClusterClientOpt{Addrs: strings.Split(seeds, ",")}, nil
	}
	if strings.Contains(address, "://") {
		return asynq.ParseRedisURI(address)
	}
	return asynq.RedisClientOpt{Network: "unix", Addr: address}, nil
}

func main() {
	concurrency, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	where, err := connection(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := asynq.NewServer(where, asynq.Config{Concurrency: concurrency, LogLevel: asynq.FatalLevel, Queues: map[string]int{os.Args[2]: 1},
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second }})
	if err := server.Run(harness.GoHandler(os.Args[3], quiet{})); err != nil {
		log.Fatal(err)
	}
}
