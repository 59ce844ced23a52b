package system

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// everyScript makes our programs use everything that they have: all kinds of tasks, outcomes, groups, limits, periodic
// entries, roles, and all commands that look at a queue or change it.
func everyScript(t *testing.T, r *Redis, as func(role string)) *CServer {
	t.Helper()
	as("worker")
	s := StartCServer(t, r.URI(), ServerOptions{Queues: map[string]int{"default": 2, "low": 1}, Concurrency: 4,
		RetryMs: P(int64(600_000)), Aggregates: true, Grace: time.Second,
		Routes: []Route{{Pattern: "limited", Scope: "a scope", Max: 1}, {Pattern: "roomy", Capacity: 1, Room: 1}}})
	as("client")
	e := NewCEnqueuer(t, r)
	enqueue := func(id, wish string, own Options) {
		t.Helper()
		own.ID = &id
		kind := "t"
		if id == "limited" || strings.HasPrefix(id, "roomy") {
			kind = id
		}
		if done := e.Enqueue(Task{Type: kind, Payload: &wish, Own: own}); done.Class != "" {
			t.Errorf("%s: %s", id, done.Text)
		}
	}
	for i := range 5 { // there is room for one of them; those behind them are looked at
		enqueue(fmt.Sprint("roomy-", i), `{"sleep_ms":100}`, Options{})
	}
	enqueue("done", "{}", Options{})
	enqueue("kept", `{"result":"r"}`, Options{Retention: P(time.Hour), Unique: P(time.Hour)})
	enqueue("failed", `{"do":"fail"}`, Options{Unique: P(time.Hour)})
	enqueue("skipped", `{"do":"skip"}`, Options{Queue: P("low")})
	enqueue("later", "{}", Options{ProcessIn: P(time.Hour)})
	enqueue("soon", "{}", Options{ProcessIn: P(time.Second)})
	enqueue("limited", "{}", Options{})
	enqueue("in-group", "{}", Options{Group: P("g")})
	enqueue("long", `{"sleep_ms":60000}`, Options{Queue: P("low")})
	Eventually(t, 60*time.Second, "all to be where they belong", func() bool {
		return r.Int("ZCARD", QueueKey("default", "completed")) == 2 && r.Int("ZCARD", QueueKey("default", "retry")) == 1 &&
			r.Int("ZCARD", QueueKey("low", "archived")) == 1 && r.Int("LLEN", QueueKey("low", "active")) == 1 &&
			r.Int("LLEN", QueueKey("default", "pending")) == 0
	})
	as("scheduler")
	scheduler := NewCScheduler(t, r.URI(), false, SchedulerOptions{Heartbeat: time.Second})
	if _, err := scheduler.Register(Entry{Name: "tick", Spec: "@every 1s", Task: Task{Type: "t", Payload: P("{}")}}); err != nil {
		t.Error(err)
	}
	scheduler.Start()
	Eventually(t, 60*time.Second, "a tick", func() bool {
		return len(r.Strings("KEYS", "asynq:scheduler_history:*")) > 0 && r.Int("ZCARD", "asynq:schedulers") > 0
	})
	works := func(args ...string) string {
		t.Helper()
		ran := ctl(t, r, args...)
		if ran.status != 0 {
			t.Errorf("asynqctl %v: status %d: %s", args, ran.status, ran.err)
		}
		return ran.out
	}
	as("reader")
	for _, queue := range []string{"default", "low"} {
		for _, state := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
			works("task", "ls", "-q", queue, "-s", state)
			works("task", "find", "-q", queue, "-s", state, "--type", "t")
		}
		works("export", "-q", queue)
		works("queue", "inspect", queue)
		works("group", "ls", "-q", queue)
	}
	works("task", "inspect", "-q", "default", "later")
	works("cron", "ls")
	works("queue", "ls")
	works("queue", "history", "default")
	works("metrics")
	works("fsck")
	if servers := works("server", "ls"); !strings.Contains(servers, fmt.Sprint(s.Pid())) {
		t.Errorf("the server's record is not there: %s", servers)
	}
	as("operator")
	works("task", "run", "-q", "default", "later")
	works("task", "archive", "-q", "default", "failed")
	works("task", "deleteall", "-q", "low", "-s", "archived", "--type", "t", "--yes")
	works("queue", "pause", "low")
	works("queue", "unpause", "low")
	works("task", "cancel", "long")
	works("pool", "restart", "of-nobody")
	works("fsck", "--repair", "--yes")
	return s
}

// allFine: no call was refused, but for the first beat of each server on a node of a cluster, which asks for keys of several
// slots.
func allFine(t *testing.T, r *Redis, s *CServer, crossing int) {
	t.Helper()
	equal(t, "CROSSSLOT from Redis", r.Errors("CROSSSLOT"), crossing)
	for _, word := range []string{"NOPERM", "MOVED"} {
		equal(t, word+" from Redis", r.Errors(word), 0)
	}
	for _, note := range s.Notes() {
		if strings.Contains(note, "cannot") {
			t.Error(note)
		}
	}
}

// TestKeysInOneSlot: each call of a script names keys of one slot, which a cluster insists on.
func TestKeysInOneSlot(t *testing.T) {
	t.Parallel()
	r := StartCluster(t)
	allFine(t, r, everyScript(t, r, func(string) {}), 1)
}

// TestKeysOfOurOwn: each key that a call names begins with Asynq's prefix, which a rule about keys insists on.
func TestKeysOfOurOwn(t *testing.T) {
	t.Parallel()
	r := StartRedis(t).As("~asynq:*", "&asynq:*", "&__redis__:invalidate", "+@all", "-@dangerous", "+info", "+keys", "+client") // all of CLIENT is dangerous in Redis 6.2
	allFine(t, r, everyScript(t, r, func(string) {}), 0)
}

// TestFleetInOneSlot: parked servers keep and change their roles in a cluster.
func TestFleetInOneSlot(t *testing.T) {
	t.Parallel()
	r := StartCluster(t)
	f := startFleet(t, r, 5, ServerOptions{Concurrency: 2, Queues: map[string]int{"default": 1, "other": 1}})
	f.waitParked()
	for _, s := range f.in("watchers") {
		f.kill(s)
	}
	NewCEnqueuer(t, r).Enqueue(Task{Type: "t", Payload: P("{}")})
	waitEmpty(t, r, 90*time.Second)
	f.waitParked()
	equal(t, "CROSSSLOT", r.Errors("CROSSSLOT"), 5) // the first beat of each server
}

// TestLockOfAnotherType: the key that a task names as its lock holds something else. The task ends like any other.
func TestLockOfAnotherType(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	e := NewCEnqueuer(t, r)
	for _, id := range []string{"gone", "kept"} {
		own := Options{ID: P(id), Unique: P(time.Hour)}
		if id == "kept" {
			own.Retention = P(time.Hour)
		}
		e.Enqueue(Task{Type: "t", Payload: P(`{"text":"` + id + `"}`), Own: own})
	}
	for _, lock := range r.Strings("KEYS", QueueKey("default", "unique:*")) {
		r.Do("DEL", lock)
		r.Do("LPUSH", lock, "no lock")
	}
	s := StartCServer(t, r.URI(), ServerOptions{LedgerPath: r.Dir + "/ledger"})
	Eventually(t, 30*time.Second, "both to be counted", func() bool {
		return r.Text("GET", QueueKey("default", "processed")) == "2"
	})
	equal(t, "completed", r.Int("ZCARD", QueueKey("default", "completed")), int64(1))
	equal(t, "runs", len(Starts(s.Ledger())), 2)
	allFine(t, r, s, 0)
}

// TestMinimalRights: each role does all that it does with the rights that docs/access.md gives to it.
func TestMinimalRights(t *testing.T) {
	t.Parallel()
	hasMinimalRights(t, StartRedis(t))
}

// TestMinimalRightsInCluster: so it is with what it adds for clusters. No command goes to a node that has not its key.
func TestMinimalRightsInCluster(t *testing.T) {
	t.Parallel()
	r := StartSpread(t)
	hasMinimalRights(t, r)
	r.As("~*", "&*", "+@all", "-cluster", "+cluster|info", "+cluster|myid")
	refusedWith(t, r.URI(), -8, "+cluster") // and "|slots" from Redis 7.0 on
}

func hasMinimalRights(t *testing.T, r *Redis) {
	t.Helper()
	allFine(t, r, everyScript(t, r, func(role string) { r.LogInAs(role) }), 0)
	if refused := r.Do("ACL", "LOG"); fmt.Sprint(refused) != "[]" {
		t.Error(refused)
	}
}
