// The Go service of the trace platform: it enqueues with hibiken/asynq, unmodified; trace-worker in C runs the tasks.
// usage: trace-service [-redis ADDRESS | -socket PATH] [-count N]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/hibiken/asynq"
)

type object = map[string]any

// kind is a task type with its queue and a payload for the n-th task.
type kind struct {
	name, queue string
	payload     func(n int) object
}

var kinds = []kind{
	{"cost:calculate", "critical", func(n int) object {
		return object{"model": []string{"small", "medium", "large"}[n%3], "input_tokens": 1000 + n, "output_tokens": 10 * n}
	}},
	{"notify:send", "critical", func(n int) object { return object{"to": fmt.Sprintf("user%d@example.com", n)} }},
	{"eval:run", "default", func(n int) object {
		return object{"cases": []object{{"expected": "a", "answer": "a"}, {"expected": "b", "answer": fmt.Sprint(n)}}}
	}},
	{"otel:export", "default", func(n int) object { return object{"spans": []object{{"name": "call", "id": n}}} }},
	{"webhook:deliver", "default", func(n int) object {
		return object{"url": "https://hooks.example.com/", "answers": []int{200, 200, 503}[n%3]}
	}},
	{"anomaly:detect", "low", func(n int) object { return object{"values": []int{1, 2, 1, 2, 1, n % 100}} }},
	{"cleanup:traces", "low", func(n int) object { return object{"older_than_days": 1 + n%30} }},
}

func enqueue(client *asynq.Client, n int) error {
	kind := kinds[n%len(kinds)]
	payload, err := json.Marshal(kind.payload(n))
	if err != nil {
		return err
	}
	_, err = client.Enqueue(asynq.NewTask(kind.name, payload), asynq.Queue(kind.queue), asynq.MaxRetry(3),
		asynq.Timeout(5*time.Minute), asynq.Retention(time.Hour))
	return err
}

func main() {
	address := flag.String("redis", "127.0.0.1:6379", "host and port of Redis")
	socket := flag.String("socket", "", "unix socket of Redis, instead of -redis")
	count := flag.Int("count", 70, "number of tasks")
	flag.Parse()
	options := asynq.RedisClientOpt{Addr: *address}
	if *socket != "" {
		options = asynq.RedisClientOpt{Network: "unix", Addr: *socket}
	}
	client := asynq.NewClient(options)
	defer client.Close()
	for n := range *count {
		if err := enqueue(client, n); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("enqueued %d tasks\n", *count)
}
