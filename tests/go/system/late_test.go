package system

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// What a peer sent on a connection that it gave up must not run after the peer has looked again on the next one: neither
// when it still lies in the peer's kernel, nor when it is beyond its reach.
func lateBytes(t *testing.T, test func(t *testing.T, r *Redis, late *LateProxy, how Held)) {
	for name, how := range map[string]Held{"held by the sender": HeldBySender, "under way": HeldUnderWay} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			test(t, r, StartLateProxy(t, r), how)
		})
	}
}

// ranOnce wants so many tasks in a ledger, each started once.
func ranOnce(t *testing.T, ledger string, tasks int) {
	t.Helper()
	runs, total := Starts(ReadLedger(t, ledger)), 0
	for _, count := range runs {
		total += count
	}
	if len(runs) != tasks || total != tasks {
		t.Errorf("%d tasks were run %d times; want %d once each", len(runs), total, tasks)
	}
}

// noAnswer is how long a peer may take to give up a connection on which nothing comes back, on a slow machine.
const noAnswer = 40 * time.Second

// TestLateEnqueue: the task is enqueued by the repeat, is done and gone when the first call arrives: it must not run again.
func TestLateEnqueue(t *testing.T) {
	t.Parallel()
	lateBytes(t, func(t *testing.T, r *Redis, late *LateProxy, how Held) {
		path := filepath.Join(r.Dir, "ledger")
		StartCServer(t, r.URI(), ServerOptions{LedgerPath: path})
		peer := StartPeer(t, late.URI())
		peer.Must("client.options", M{"timeout_ms": 120_000})
		peer.Must("ping", nil)
		late.Hold("enqueue", how)
		answer := peer.Must("load", M{"prefix": "load", "payload": "{}", "count": 500, "threads": 4, "async": true})
		equal(t, "failed enqueues", Number(answer, "failed"), 0)
		waitEmpty(t, r, 20*time.Second)
		late.WaitGivenUp(noAnswer)
		late.Deliver()
		StartPeer(t, r.URI()).Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("last")}}.ForC())
		waitEmpty(t, r, 20*time.Second)
		ranOnce(t, path, 501)
	})
}

// TestLateLease: a lease arrives after its read-back found nothing. It must take no task: nobody would run it. Tasks are
// not retried, so that one whose lease ran out unnoticed would be lost.
func TestLateLease(t *testing.T) {
	t.Parallel()
	lateBytes(t, func(t *testing.T, r *Redis, late *LateProxy, how Held) {
		s := StartCServer(t, late.URI(), ServerOptions{LedgerPath: filepath.Join(r.Dir, "ledger")})
		e := NewGoEnqueuer(t, r)
		once := Task{Type: "t", Payload: P("{}"), Own: Options{MaxRetry: P(0)}}
		e.Enqueue(once)
		waitEmpty(t, r, 20*time.Second)
		late.Hold("lease", how)
		e.Enqueue(once)
		late.WaitGivenUp(noAnswer)
		waitEmpty(t, r, 20*time.Second)
		if late.Seen("lease-read-back") == 0 {
			t.Error("the server has not looked for what its lease may have taken")
		}
		late.Freeze() // so that the late lease comes before any other
		for range 3 {
			e.Enqueue(once)
		}
		late.Deliver()
		late.Thaw()
		waitEmpty(t, r, 20*time.Second)
		equal(t, "lines", len(s.Ledger()), 2*5)
		equal(t, "archived", r.Int("ZCARD", QueueKey("default", "archived")), 0)
	})
}

// TestLateSettle: an outcome arrives when the same id runs once more. It must not end that run.
func TestLateSettle(t *testing.T) {
	t.Parallel()
	lateBytes(t, func(t *testing.T, r *Redis, late *LateProxy, how Held) {
		s := StartCServer(t, late.URI(), ServerOptions{LedgerPath: filepath.Join(r.Dir, "ledger")})
		e := NewGoEnqueuer(t, r)
		late.Hold("settle", how)
		e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("again")}})
		late.WaitGivenUp(noAnswer)
		waitEmpty(t, r, 20*time.Second)
		e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 3000}.Payload(), Own: Options{ID: P("again")}})
		Eventually(t, 20*time.Second, "the second run", func() bool { return len(s.Ledger()) == 3 })
		late.Deliver()
		if len(s.Ledger()) == 3 && r.Int("LLEN", QueueKey("default", "active")) != 1 {
			t.Error("the late outcome ended another run")
		}
		waitEmpty(t, r, 20*time.Second)
		equal(t, "lines", len(s.Ledger()), 4)
		equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "2")
	})
}

// TestLateTick: a tick arrives when later ones are over: each tick makes one task.
func TestLateTick(t *testing.T) {
	t.Parallel()
	for kind, script := range map[string]string{"c-elected": "fire-tick", "c-independent": "enqueue"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			lateBytes(t, func(t *testing.T, r *Redis, late *LateProxy, how Held) { lateTick(t, r, late, how, kind, script) })
		})
	}
}

func lateTick(t *testing.T, r *Redis, late *LateProxy, how Held, kind, script string) {
	s := NewCScheduler(t, late.URI(), kind == "c-independent", SchedulerOptions{Heartbeat: time.Second})
	for _, spec := range []string{"@every 1s", "* * * * *"} {
		if _, err := s.Register(Entry{Spec: spec, CatchUp: 1, LimitMs: 120_000, Task: Task{Type: spec, Payload: P("{}")}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 20*time.Second, "ticks", func() bool { return late.Seen(script) > 1 })
	late.Hold(script, how)
	late.WaitGivenUp(noAnswer)
	before := late.Seen(script)
	Eventually(t, 40*time.Second, "ticks on the next connection", func() bool { return late.Seen(script) > before+2 })
	late.Deliver()
	before = late.Seen(script)
	Eventually(t, 20*time.Second, "ticks after the late one", func() bool { return late.Seen(script) > before+1 })
	s.Shutdown()
	if kind == "c-elected" {
		checkTicks(t, kind, tickLedger(t, r, "default")["@every 1s"], 1)
		return
	}
	heard := map[string]int{} // an independent scheduler gives a tick up when it cannot know whether it was heard
	for _, note := range s.Notes() {
		if note.Hook == "post" && note.Error == "" {
			heard[note.ID]++
		}
	}
	pending := r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1)
	if len(pending) != len(heard) {
		t.Errorf("%d tasks are enqueued, %d were told", len(pending), len(heard))
	}
}

// TestLateAggregation: the taking of a group, or the end of an aggregation, arrives when a later one is over. Each task
// is in one aggregated task, and none waits until the time of a lost set is over.
func TestLateAggregation(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"take-group", "finish-set"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			lateBytes(t, func(t *testing.T, r *Redis, late *LateProxy, how Held) { lateAggregation(t, r, late, how, script) })
		})
	}
}

func lateAggregation(t *testing.T, r *Redis, late *LateProxy, how Held, script string) {
	const size = 5
	StartCServer(t, late.URI(), ServerOptions{Aggregates: true, Grace: time.Minute, MaxSize: size, LedgerPath: filepath.Join(r.Dir, "ledger")})
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	total := 0
	fill := func() {
		for range size {
			if _, err := client.Enqueue(asynq.NewTask("t", []byte(fmt.Sprint(total))), asynq.Group("group 0")); err != nil {
				t.Fatal(err)
			}
			total++
		}
	}
	aggregated := func(sets int) {
		t.Helper()
		Eventually(t, 20*time.Second, fmt.Sprint(sets, " aggregated tasks"), func() bool {
			return r.Int("ZCARD", QueueKey("default", "completed")) == int64(sets) && tasksLeft(r) == sets
		})
	}
	fill()
	aggregated(1)
	late.Hold(script, how)
	fill()
	late.WaitGivenUp(noAnswer)
	aggregated(2)
	late.Freeze()
	fill()
	late.Deliver()
	late.Thaw()
	aggregated(3)
	checkSums(t, r, total, 1, size)
}

// TestRedisAsleep: Redis is stopped for longer than anybody waits, with commands in its receive buffers and connections
// in its queue, and wakes up. Each task runs once.
func TestRedisAsleep(t *testing.T) {
	t.Parallel()
	port := FreePort(t)
	r := StartRedis(t, "--port", fmt.Sprint(port), "--bind", "127.0.0.1")
	uri := fmt.Sprintf("redis://127.0.0.1:%d", port)
	path := filepath.Join(r.Dir, "ledger")
	StartCServer(t, uri, ServerOptions{Concurrency: 20, LedgerPath: path})
	const loads = 4
	answers := make(chan M, loads)
	payload := fmt.Sprintf(`{"sleep_ms":5,"text":"%01000d"}`, 0)
	for i := range loads {
		peer := StartPeer(t, uri)
		peer.Must("client.options", M{"timeout_ms": 120_000})
		go func() {
			answers <- peer.Do("load", M{"prefix": fmt.Sprint("load-", i), "payload": payload, "count": 1500, "threads": 8, "async": i%2 == 0})
		}()
	}
	Eventually(t, 20*time.Second, "work", func() bool { return len(ReadLedger(t, path)) > 300 })
	r.Stop()
	time.Sleep(18 * time.Second)
	r.Continue()
	for range loads {
		equal(t, "failed enqueues", Number(<-answers, "failed"), 0)
	}
	waitEmpty(t, r, 60*time.Second)
	ranOnce(t, path, loads*1500)
}
