package system

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestFastClock: a server and an inspector whose clocks are two minutes fast take nothing that others hold, and end
// nothing that is still to stay: running tasks, an aggregation under way, completed tasks, records of servers.
func TestFastClock(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	ledger := r.Dir + "/ledger"
	options := ServerOptions{LedgerPath: ledger, Aggregates: true, Grace: time.Second, AggregateMs: 12_000, Concurrency: 4}
	slow := StartCServer(t, r.URI(), options)
	e := NewCEnqueuer(t, r)
	e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("kept"), Retention: P(time.Minute)}})
	e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 14_000}.Payload(), Own: Options{ID: P("long")}})
	for _, id := range []string{"a", "b"} {
		e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P(id), Group: P("g")}})
	}
	sets := func() int { return int(r.Int("ZCARD", QueueKey("default", "aggregation_sets"))) }
	Eventually(t, 30*time.Second, "a task that runs, one that is kept, and an aggregation", func() bool {
		return r.Int("LLEN", QueueKey("default", "active")) == 1 && sets() == 1 && r.Int("ZCARD", QueueKey("default", "completed")) == 1
	})

	fast := StartPeer(t, r.URI())
	fast.Must("shift", M{"ns": (2 * time.Minute).Nanoseconds()})
	fast.Must("server.start", M{"concurrency": 4, "ledger": ledger, "aggregates": true, "grace_ms": 1000})
	fast.Must("inspect.servers", nil)
	equal(t, "records after the inspector's look", r.Int("ZCARD", "asynq:servers") >= 1, true)

	// One that has really been lost shows that recovery and the janitor have looked.
	r.Do("HSET", QueueKey("default", "t:lost"), "msg", Encode(t, &base.TaskMessage{Type: "t", ID: "lost", Queue: "default", Retry: 5}), "state", "active")
	r.Do("LPUSH", QueueKey("default", "active"), "lost")
	r.Do("ZADD", QueueKey("default", "lease"), time.Now().Add(-time.Minute).Unix(), "lost")
	r.Do("HSET", QueueKey("default", "t:over"), "msg", "m", "state", "completed")
	r.Do("ZADD", QueueKey("default", "completed"), time.Now().Add(-time.Second).Unix(), "over")
	Eventually(t, 60*time.Second, "the lost task to be recovered and the old one deleted", func() bool {
		return r.Int("EXISTS", QueueKey("default", "t:over")) == 0 &&
			r.Text("HGET", QueueKey("default", "t:lost"), "state") != "active"
	})
	equal(t, "the kept one", r.Int("EXISTS", QueueKey("default", "t:kept")), int64(1))
	Eventually(t, 60*time.Second, "the aggregation and the long task to end", func() bool {
		return sets() == 0 && r.Int("LLEN", QueueKey("default", "active")) == 0
	})
	starts := Starts(slow.Ledger())
	equal(t, "runs of the long task", starts["default/long"], 1)
	for _, note := range slow.Notes() {
		if strings.Contains(note, "went back into the group") || strings.Contains(note, "lease") {
			t.Error(note)
		}
	}
}

// TestClocksAndLateAnswers: the time that an answer takes is no difference of clocks, and hides none.
func TestClocksAndLateAnswers(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	fake := StartFakeRedis(t, r)
	late := fake.On("beat").Late(4 * time.Second)
	s := StartCServer(t, fake.URI(), ServerOptions{})
	answered := func(count int) { // a beat is sent when the one before was answered
		calls := late.Calls()
		Eventually(t, 60*time.Second, "beats", func() bool { return late.Calls() > calls+count })
	}
	complaints := func() (found []string) {
		for _, note := range s.Notes() {
			if strings.Contains(note, "clocks") {
				found = append(found, note)
			}
		}
		return found
	}
	answered(2)
	equal(t, "complaints", len(complaints()), 0)
	s.Must("shift", M{"ns": time.Minute.Nanoseconds()})
	answered(1)
	equal(t, "complaints of a clock that is fast", len(complaints()) > 0, true)
}
