package system

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// How soon the tasks of a killed server run again: its session lasts 11 s, two readings of it and a moment follow.
const runsAgainWithin = 15 * time.Second

func startWithLedger(t *testing.T, r *Redis, options ServerOptions) *CServer {
	t.Helper()
	options.LedgerPath = filepath.Join(t.TempDir(), "ledger")
	return StartCServer(t, r.URI(), options)
}

// hold starts a server that has these tasks and works at them for long.
func hold(t *testing.T, r *Redis, tasks int, options ServerOptions) *CServer {
	t.Helper()
	options.Concurrency = tasks
	s := startWithLedger(t, r, options)
	e := NewGoEnqueuer(t, r)
	for i := range tasks {
		e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 30000}.Payload(), Own: Options{ID: P(fmt.Sprintf("held-%d", i)), MaxRetry: P(0)}})
		Eventually(t, 10*time.Second, "the task to run", func() bool { return len(s.Ledger()) == i+1 })
	}
	return s
}

func hostname(t *testing.T) string {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func losses(r *Redis, id string) string {
	return r.Text("HGET", TaskKey("default", id), "lost")
}

// TestKilledServer: what a killed server was running is run again by another one within seconds, the oldest first, and has not
// failed, not even where no retry is allowed.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	victim := hold(t, r, 8, ServerOptions{})
	other := startWithLedger(t, r, ServerOptions{Concurrency: 1})
	time.Sleep(time.Second)
	at := time.Now()
	victim.Kill()
	Eventually(t, 2*runsAgainWithin, "the oldest task to run again", func() bool { return len(other.Ledger()) > 0 })
	took := time.Since(at)
	t.Logf("run again %.1f s after the kill", took.Seconds())
	first := other.Ledger()[0]
	equal(t, "the first to run again", first.ID, "held-0")
	equal(t, "its retries", first.Retry, 0)
	equal(t, "its losses", losses(r, "held-0"), "1")
	equal(t, "pending again", r.Int("LLEN", QueueKey("default", "pending")), int64(7))
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
	ids := r.Client.LRange(Ctx, QueueKey("default", "pending"), 0, -1).Val()
	equal(t, "their order, the next one last", strings.Join(ids, " "), "held-7 held-6 held-5 held-4 held-3 held-2 held-1")
	Eventually(t, 10*time.Second, "the log to say so", func() bool {
		return HasNote(other.Notes(), fmt.Sprint("server gone: ", hostname(t), ":", victim.Pid(), ":"))
	})
	IsWell(t, r)
}

// TestTaskThatKills: a task that ends each of its servers is archived with the limit of losses, and the task beside it is run.
func TestTaskThatKills(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	options := ServerOptions{MaxLosses: 2, Session: time.Second}
	first := hold(t, r, 1, options)
	second := startWithLedger(t, r, options)
	first.Kill()
	Eventually(t, runsAgainWithin, "the task to run again", func() bool { return len(second.Ledger()) == 1 })
	third := startWithLedger(t, r, options)
	NewGoEnqueuer(t, r).Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("harmless")}})
	Eventually(t, runsAgainWithin, "the other task to be done", func() bool { return r.Int("EXISTS", TaskKey("default", "harmless")) == 0 })
	second.Kill()
	Eventually(t, runsAgainWithin, "the task to be archived", func() bool { return r.Int("ZCARD", QueueKey("default", "archived")) == 1 })
	message := r.Message("default", "held-0")
	equal(t, "retried", message.Retried, 0)
	equal(t, "its losses", losses(r, "held-0"), "2")
	if !strings.HasPrefix(message.ErrorMsg, "lost 2 times: its server ") || !strings.Contains(message.ErrorMsg, fmt.Sprint(":", second.Pid(), ":")) {
		t.Errorf("the error is %q", message.ErrorMsg)
	}
	equal(t, "runs of it by the third", Starts(third.Ledger())["default/held-0"], 0)
	IsWell(t, r)
}

// TestLostTasksAreRetried: with lost_tasks as in Asynq each loss is a failed attempt. There are more of them than go at once.
func TestLostTasksAreRetried(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const tasks = 80
	options := ServerOptions{RetriesLost: true, Session: time.Second, RetryMs: P(int64(100))}
	victim := hold(t, r, tasks, options)
	StartCServer(t, r.URI(), options)
	victim.Kill()
	Eventually(t, runsAgainWithin, "the tasks to be archived, as they may not fail", func() bool {
		return r.Int("ZCARD", QueueKey("default", "archived")) == tasks
	})
	equal(t, "the error", r.Message("default", "held-0").ErrorMsg, "asynq: task lease expired")
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), fmt.Sprint(tasks))
	IsWell(t, r)
}

// TestSuspendedServer: a server that stood still for longer than its session settles nothing that another one has taken over.
func TestSuspendedServer(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	options := ServerOptions{Session: 2 * time.Second, Attempts: true}
	slow := hold(t, r, 3, options)
	other := startWithLedger(t, r, ServerOptions{Session: 2 * time.Second, Concurrency: 3})
	slow.Suspend()
	Eventually(t, runsAgainWithin, "the tasks to run again", func() bool { return len(other.Ledger()) == 3 })
	slow.Signal(syscall.SIGCONT)
	var notes []string
	Eventually(t, runsAgainWithin, "the server to know that its session is over", func() bool {
		notes = append(notes, slow.Notes()...)
		return HasNote(notes, "session expired") && HasNote(notes, "cancelled held-0") && HasNote(notes, "cancelled held-2")
	})
	Eventually(t, time.Minute, "the tasks to be done", func() bool { return tasksLeft(r) == 0 })
	equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "3")
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")

	NewGoEnqueuer(t, r).Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("after")}})
	Eventually(t, 10*time.Second, "a new task", func() bool { return tasksLeft(r) == 0 })
	IsWell(t, r)
}

// TestFrozenRedis: Redis stands still for 10 s while tasks end. Nobody takes them for lost.
func TestFrozenRedis(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const tasks = 1000
	path := t.TempDir() + "/ledger"
	var servers []*CServer
	for range 3 {
		servers = append(servers, StartCServer(t, r.URI(), ServerOptions{Concurrency: tasks, LedgerPath: path}))
	}
	e := NewGoEnqueuer(t, r)
	for i := range tasks {
		e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 1000 + 8*i}.Payload(), Own: Options{ID: P(fmt.Sprintf("s-%d", i)), MaxRetry: P(0)}})
	}
	Eventually(t, 30*time.Second, "all to run", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) == 0 })
	r.Stop()
	time.Sleep(10 * time.Second)
	r.Continue()
	Eventually(t, time.Minute, "all tasks to be done", func() bool { return tasksLeft(r) == 0 })
	starts := Starts(ReadLedger(t, path))
	equal(t, "tasks that ran", len(starts), tasks)
	for _, s := range servers {
		if HasNote(s.Notes(), "session expired") { // on a machine so busy that it was more than the 11 s
			t.Log("a server could not renew its session in time, though Redis was there again")
			return
		}
	}
	for id, runs := range starts {
		equal(t, "runs of "+id, runs, 1)
	}
	IsWell(t, r)
}

// TestSessionNumbers: live servers have numbers of their own, and that of one that has ended is given to another.
func TestSessionNumbers(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	numbers := func() (n int64) { return r.Int("ZCARD", "asynq:libasynq:sessions") - 1 } // and the last number
	first := StartCServer(t, r.URI(), ServerOptions{})
	second := startWithLedger(t, r, ServerOptions{})
	Eventually(t, 10*time.Second, "two sessions", func() bool { return numbers() == 2 })
	first.Shutdown()
	second.Shutdown()
	equal(t, "sessions of none", numbers(), int64(0))
	for i := range 896 {
		if i != 700 {
			r.Do("ZADD", "asynq:libasynq:sessions", time.Now().UnixMilli(), fmt.Sprintf("%d 11000 host:1:id", i))
		}
	}
	third := startWithLedger(t, r, ServerOptions{})
	Eventually(t, 10*time.Second, "the number that is free", func() bool {
		return slices.ContainsFunc(r.Strings("ZRANGE", "asynq:libasynq:sessions", 0, -1), func(session string) bool {
			return strings.HasPrefix(session, "700 11000 ") && strings.Contains(session, fmt.Sprint(":", third.Pid(), ":"))
		})
	})
}
