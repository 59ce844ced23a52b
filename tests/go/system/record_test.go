package system

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestLargeRecord: the record of what runs, which has the payloads, goes to Redis in calls between which others have
// their turn: the connection is the one that takes tasks.
func TestLargeRecord(t *testing.T) {
	t.Parallel()
	const tasks, pairs = 30, 2 // of 600 kB; a call is full when it has more than a megabyte
	r := StartRedis(t)
	r.Do("CONFIG", "SET", "slowlog-log-slower-than", 0) // Redis 6.2 takes one at a time
	r.Do("CONFIG", "SET", "slowlog-max-len", 10000)
	StartServer(t, "c", r, ServerOptions{Concurrency: tasks})
	enqueueNamed(t, r, "t", tasks, Wish{SleepMs: 30000, Text: strings.Repeat("x", 600000)}, asynq.MaxRetry(0))
	workers := func() int64 {
		for _, key := range r.Keys() {
			if strings.HasPrefix(key, "asynq:workers:") {
				return r.Int("HLEN", key)
			}
		}
		return 0
	}
	Eventually(t, time.Minute, "all of them in the record", func() bool { return workers() == tasks })
	calls := 0
	for _, entry := range r.Do("SLOWLOG", "GET", -1).([]any) {
		words := entry.([]any)[3].([]any)
		if fmt.Sprint(words[0]) == "HSET" && strings.HasPrefix(fmt.Sprint(words[1]), "asynq:workers:") {
			calls++
			if len(words) > 2+2*pairs {
				t.Errorf("%d words in one call: %.200v", len(words), words)
			}
		}
	}
	if calls < tasks/pairs {
		t.Errorf("%d calls", calls)
	}
	IsWell(t, r)
}
