// Goworker runs Go's server with the tests' handlers until it is killed. usage: goworker SOCKET LEDGER CONCURRENCY
package main

import (
	"log"
	"os"
	"strconv"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/libasynq-tests/harness"
)

type quiet struct{}

func (quiet) Note(string, ...any) {}

func main() {
	concurrency, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	server := asynq.NewServer(asynq.RedisClientOpt{Network: "unix", Addr: os.Args[1]},
		asynq.Config{Concurrency: concurrency, LogLevel: asynq.FatalLevel})
	if err := server.Run(harness.GoHandler(os.Args[2], quiet{})); err != nil {
		log.Fatal(err)
	}
}
