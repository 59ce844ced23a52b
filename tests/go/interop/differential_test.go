package interop

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// pick returns one of the values, or nil as often as each of them.
func pick[T any](random *rand.Rand, values ...T) *T {
	i := random.Intn(len(values) + 1)
	if i == len(values) {
		return nil
	}
	return &values[i]
}

// randomTask makes a task with any mix of options. Times are absolute, and durations whole seconds, so that both
// libraries mean the same: Go cuts fractions off, we round up.
func randomTask(random *rand.Rand, i int) Task {
	now := time.Now()
	own := Options{
		ID:        P(fmt.Sprint("task-", i)),
		Queue:     pick(random, "low", "a:b", "q{x}", "spaced name", "日本"),
		Group:     pick(random, "g", "a:b"),
		MaxRetry:  pick(random, -1, 0, 1, 25, 2147483647),
		Timeout:   pick(random, time.Second, 90*time.Second, 200*time.Hour),
		Unique:    pick(random, time.Minute, 61*time.Second, time.Hour),
		Retention: pick(random, time.Second, 90*time.Second, 24*time.Hour),
		Deadline:  pick(random, now.Add(time.Hour).Truncate(time.Second), time.Unix(1, 0)),
		ProcessAt: pick(random, now.Add(-time.Hour), now.Add(48*time.Hour).Truncate(time.Second).Add(700*time.Millisecond), time.Unix(1, 0)),
	}
	if random.Intn(3) == 0 {
		own.Headers = map[string]string{"k": "", "trace-id": "äöü", "b": "2"}
		for key := range own.Headers {
			if random.Intn(2) == 0 {
				delete(own.Headers, key)
			}
		}
	}
	task := Task{Type: "t"}
	if other := pick(random, "email:send", "日本:語", "a b\"c\\"); other != nil {
		task.Type = *other
	}
	task.Payload = pick(random, "", `{"a":[1,2]}`, "line\nfeed\x00zero", "p")
	task.Own = own
	if random.Intn(4) == 0 {
		task.Call = &Options{Queue: pick(random, "low", "call"), MaxRetry: pick(random, 7), Timeout: pick(random, time.Minute),
			ProcessIn: pick(random, -time.Second)}
	}
	return task
}

// TestDifferentialClient enqueues the same tasks with both clients and compares what is in Redis, byte for byte, and
// what the calls report. Only `pending_since` may differ.
func TestDifferentialClient(t *testing.T) {
	t.Parallel()
	inGo, inC := NewGoEnqueuer(t, StartRedis(t)), NewCEnqueuer(t, StartRedis(t))
	random := rand.New(rand.NewSource(1))
	for i := range 500 {
		task := randomTask(random, i)
		a, b := inGo.Enqueue(task), inC.Enqueue(task)
		if !sameReport(a, b) {
			t.Fatalf("task %d %+v\n  Go reports %+v\n  C reports  %+v", i, task.ForC(), a, b)
		}
		if i%50 == 49 {
			inGoRedis, inCRedis := withoutTimes(t, inGo.Redis(), "pending_since"), withoutTimes(t, inC.Redis(), "pending_since")
			if i > 50 { // Go publishes a queue once in its life, ours now and then
				delete(inGoRedis, "asynq:queues")
				delete(inCRedis, "asynq:queues")
			}
			sameState(t, inGoRedis, inCRedis)
			if t.Failed() {
				t.FailNow()
			}
			inGo.Redis().Do("FLUSHALL")
			inC.Redis().Do("FLUSHALL")
		}
	}
}

func sameReport(a, b Enqueued) bool {
	near := a.NextProcessAt.Sub(b.NextProcessAt).Abs() < 2*time.Second
	if a.Class != b.Class {
		return false
	}
	if a.Class != "" {
		return true
	}
	a.NextProcessAt, b.NextProcessAt = time.Time{}, time.Time{}
	return near && a == b
}

// TestDifferentialServer lets both servers end the same tasks in every way and compares what is in Redis. Times in
// whole seconds may differ by a moment, so they are compared as distances.
func TestDifferentialServer(t *testing.T) {
	wishes := []Wish{
		{}, {Result: "r"}, {Do: "fail"}, {Do: "fail", Text: "日本 \"quoted\""}, {Do: "fail", Result: "part"}, {Do: "skip"},
		{Do: "skip", Result: "x"}, {Do: "revoke"}, {Do: "revoke", Result: "x"}, {Do: "both"}, {Do: "fail", Text: "later"},
	}
	states := map[string]map[string]string{}
	for _, kind := range []string{"go", "c"} {
		r := StartRedis(t)
		e := NewGoEnqueuer(t, r)
		i := 0
		for _, w := range wishes {
			for _, retry := range []int{0, 3} {
				for _, retention := range []time.Duration{0, time.Hour} {
					for _, unique := range []time.Duration{0, 100 * time.Hour} {
						own := Options{ID: P(fmt.Sprint("task-", i)), MaxRetry: &retry, Headers: map[string]string{"h": "1"}}
						if retention > 0 {
							own.Retention = &retention
						}
						task := wish(w, own)
						if unique > 0 {
							task.Own.Unique = &unique
							task.Type = fmt.Sprint("t", i)
						}
						enqueueOK(t, e, task)
						i++
					}
				}
			}
		}
		s := StartServer(t, kind, r, ServerOptions{RetryMs: P(int64(3600_000)), NotFailures: []string{"later"}})
		Eventually(t, 20*time.Second, "all tasks to end", func() bool {
			return r.Int("LLEN", QueueKey("default", "pending")) == 0 && r.Int("LLEN", QueueKey("default", "active")) == 0
		})
		s.Shutdown()
		states[kind] = withoutTimes(t, r)
	}
	if len(states["go"]) < 60 {
		t.Fatalf("only %d keys", len(states["go"]))
	}
	sameState(t, states["go"], states["c"])
}
