// Package system looks at clients and servers from outside while things break: a ledger written by the handlers proves
// that nothing is lost and nothing is run twice without a cause.
package system

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func tasksLeft(r *Redis) int { return len(r.Strings("KEYS", "asynq:{*}:t:*")) }

func waitEmpty(t *testing.T, r *Redis, limit time.Duration) {
	t.Helper()
	Eventually(t, limit, "all tasks to be done", func() bool { return tasksLeft(r) == 0 })
	equal(t, "active", r.Int("LLEN", QueueKey("default", "active")), 0)
	equal(t, "leases", r.Int("ZCARD", QueueKey("default", "lease")), 0)
	IsWell(t, r)
}

// TestLostReplies: connections die after Redis has executed a command and before the reply, at every kind of command,
// under load. Each of 10,000 tasks runs once, and none waits for a lease to run out.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	proxy := StartProxy(t, r, ScriptNames(t))
	path := filepath.Join(r.Dir, "ledger")
	for range 2 {
		StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 10, LedgerPath: path})
	}
	peer := StartPeer(t, proxy.URI())
	peer.Must("client.options", M{"timeout_ms": 30000})
	peer.Must("ping", nil)
	proxy.LoseOneIn(20)
	begin := time.Now()
	rounds := 0
	for ; rounds < 10 || (len(notLost(proxy)) > 0 && rounds < 60); rounds++ {
		answer := peer.Must("load", M{"prefix": fmt.Sprint("load-", rounds), "payload": "{}", "count": 1000, "threads": 8,
			"async": rounds%2 == 0})
		equal(t, "failed enqueues", Number(answer, "failed"), 0)
		Eventually(t, 10*time.Second, "the queue to run empty, so that it is watched", func() bool {
			return r.Int("LLEN", QueueKey("default", "pending")) == 0
		})
	}
	tasks := rounds * 1000
	Eventually(t, 25*time.Second, "all tasks to run", func() bool { return len(Starts(ReadLedger(t, path))) == tasks })
	proxy.LoseOneIn(0)
	waitEmpty(t, r, 10*time.Second)
	if took := time.Since(begin); took > 55*time.Second {
		t.Errorf("took %v: something waited for a lease", took)
	}
	runs := 0
	for id, count := range Starts(ReadLedger(t, path)) {
		equal(t, "runs of "+id, count, 1)
		runs += count
	}
	equal(t, "runs", runs, tasks)
	t.Logf("%d tasks; replies lost: %v", tasks, proxy.Counts())
	if missing := notLost(proxy); len(missing) > 0 {
		t.Errorf("no reply was lost of %v", missing)
	}
}

// TestLostRepliesOfABacklog: with a backlog and slots for it, two leases and two chunks of outcomes are under way at any
// time, and are lost together.
func TestLostRepliesOfABacklog(t *testing.T) {
	t.Parallel()
	const tasks = 6000
	r := StartRedis(t)
	proxy := StartProxy(t, r, ScriptNames(t))
	peer := StartPeer(t, r.URI())
	equal(t, "failed enqueues", Number(peer.Must("load", M{"prefix": "t", "payload": "{}", "count": tasks, "threads": 8,
		"async": true}), "failed"), 0)
	proxy.LoseOneIn(8)
	s := StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 300, LedgerPath: filepath.Join(r.Dir, "ledger")})
	Eventually(t, 25*time.Second, "all tasks to run", func() bool { return len(Starts(s.Ledger())) == tasks })
	proxy.LoseOneIn(0)
	waitEmpty(t, r, 10*time.Second)
	for id, count := range Starts(s.Ledger()) {
		equal(t, "runs of "+id, count, 1)
	}
	lost := proxy.Counts()
	t.Log("replies lost:", lost)
	for _, kind := range []string{"lease", "settle"} {
		if lost[kind] == 0 {
			t.Errorf("no reply of %s was lost", kind)
		}
	}
}

// notLost lists the kinds of command of which no reply was lost yet. CLIENT, LLEN and ZRANGE arm watches.
func notLost(proxy *Proxy) (missing []string) {
	lost := proxy.Counts()
	for _, kind := range []string{"enqueue", "lease", "lease-read-back", "settle", "renew", "forward", "CLIENT", "LLEN",
		"ZRANGE"} {
		if lost[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	return missing
}

// TestFinishedWorkIsNotRepeated is S-27: the handler succeeds, writing its outcome fails once.
func TestFinishedWorkIsNotRepeated(t *testing.T) {
	t.Parallel()
	t.Run("S-27", func(t *testing.T) {
		r := StartRedis(t)
		proxy := StartProxy(t, r, ScriptNames(t))
		s := StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 5, LedgerPath: filepath.Join(r.Dir, "ledger")})
		e := NewGoEnqueuer(t, r)
		for range 5 {
			e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 1000}.Payload()})
		}
		Eventually(t, 5*time.Second, "the tasks to run", func() bool { return len(s.Ledger()) == 5 })
		proxy.LoseOneIn(1) // every reply is lost from now on
		Eventually(t, 5*time.Second, "the tasks to end", func() bool { return len(s.Ledger()) == 10 })
		time.Sleep(500 * time.Millisecond)
		proxy.LoseOneIn(0)
		waitEmpty(t, r, 10*time.Second)
		equal(t, "lines", len(s.Ledger()), 10)
		equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "5")
	})
}

// TestKilledWorker: kill -9 of a worker under load, of either kind; a worker of either kind runs its tasks again. S-30
// holds for each: the record is gone within ten seconds, and what ran is retried 30 to 90 s after its lease ended, if it is Go
// that recovers it. Ours does so much earlier, and counts no failure.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][2]string{{"c", "c"}, {"c", "go"}, {"go", "c"}} {
		t.Run(fmt.Sprintf("S-30 %s killed, %s takes over", kinds[0], kinds[1]), func(t *testing.T) {
			t.Parallel()
			killedWorker(t, kinds[0], kinds[1])
		})
	}
}

func killedWorker(t *testing.T, killed, survivor string) {
	r := StartRedis(t)
	path := filepath.Join(r.Dir, "ledger")
	victim := startVictim(t, killed, r, path)
	peer := StartPeer(t, r.URI())
	payload := *Wish{SleepMs: 20}.Payload()
	peer.Must("load", M{"prefix": "load", "payload": payload, "count": 2000, "threads": 4})
	Eventually(t, 10*time.Second, "the victim to work", func() bool { return len(ReadLedger(t, path)) > 200 })
	victim()
	inFlight := r.Strings("LRANGE", QueueKey("default", "active"), 0, -1)
	if len(inFlight) == 0 {
		t.Fatal("the victim held no task")
	}
	killedAt := time.Now()
	StartServer(t, survivor, r, ServerOptions{Concurrency: 10, LedgerPath: path, RetryMs: P(int64(0))})
	Eventually(t, 12*time.Second, "the victim's record to go", func() bool {
		return len(r.Strings("KEYS", "asynq:servers:{*")) <= 1 && len(r.Strings("KEYS", "asynq:workers:{*")) <= 1
	})
	within, failures := 150*time.Second, fmt.Sprint(len(inFlight))
	if survivor == "c" {
		within, failures = 45*time.Second, ""
	}
	waitEmpty(t, r, within)
	t.Logf("all done %v after the kill; %d tasks were in flight", time.Since(killedAt).Round(time.Second), len(inFlight))

	had := map[string]bool{}
	for _, id := range inFlight {
		had["default/"+id] = true
	}
	starts := Starts(ReadLedger(t, path))
	equal(t, "tasks run", len(starts), 2000)
	for id, count := range starts {
		if count > 1 && !had[id] {
			t.Errorf("%s ran %d times without a cause", id, count)
		}
		if count > 2 {
			t.Errorf("%s ran %d times", id, count)
		}
	}
	equal(t, "failures counted", r.Text("GET", QueueKey("default", "failed")), failures)
}

// TestCrashingHandler is our counterpart of S-19: a handler that crashes takes its process with it; other workers go on,
// and the task runs again once its lease has ended.
func TestCrashingHandler(t *testing.T) {
	t.Parallel()
	t.Run("S-19", func(t *testing.T) {
		r := StartRedis(t)
		path := filepath.Join(r.Dir, "ledger")
		// It crashes in the first attempt, so that the loss has to count as one.
		victim := StartCServer(t, r.URI(), ServerOptions{Concurrency: 1, LedgerPath: path})
		e := NewGoEnqueuer(t, r)
		e.Enqueue(Task{Type: "t", Payload: Wish{Do: "crash", Times: P(1)}.Payload()})
		Eventually(t, 5*time.Second, "the crash", func() bool { return len(ReadLedger(t, path)) == 1 })
		victim.Kill() // collects the dead process
		for range 10 {
			e.Enqueue(Task{Type: "t", Payload: P("{}")})
		}
		StartServer(t, "c", r, ServerOptions{Concurrency: 1, LedgerPath: path, RetryMs: P(int64(0)), RetriesLost: true})
		Eventually(t, 5*time.Second, "the other tasks", func() bool { return tasksLeft(r) == 1 })
		waitEmpty(t, r, 90*time.Second)
		equal(t, "starts", len(Starts(ReadLedger(t, path))), 11)
	})
}

// startVictim starts a worker in a process of its own and returns what kills it.
func startVictim(t *testing.T, kind string, r *Redis, path string) func() {
	if kind == "c" {
		s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 10, LedgerPath: path})
		return s.Kill
	}
	return StartGoWorker(t, r.Socket, "default", path, 10)
}

// TestFullRedis: when Redis refuses writes for lack of memory, enqueueing says so and workers go on draining it.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	peer.Must("load", M{"prefix": "load", "payload": `{"result":"r"}`, "count": 500, "threads": 1})
	r.Do("CONFIG", "SET", "maxmemory", "1mb")
	answer := peer.Do("enqueue", Task{Type: "load"}.ForC())
	equal(t, "status", Status(answer), -15)
	s := StartServer(t, "c", r, ServerOptions{Concurrency: 10})
	waitEmpty(t, r, 20*time.Second)
	equal(t, "runs", len(Starts(s.Ledger())), 500)
	r.Do("CONFIG", "SET", "maxmemory", "0")
	equal(t, "status", Status(peer.Do("enqueue", Task{Type: "load", Payload: P("{}")}.ForC())), 0)
	waitEmpty(t, r, 10*time.Second)
}

// TestActiveWithoutLease: tasks whose lease vanished are found and run again, each once more at most; none stays.
func TestActiveWithoutLease(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	path := filepath.Join(r.Dir, "ledger")
	StartServer(t, "c", r, ServerOptions{Concurrency: 20, LedgerPath: path, RetryMs: P(int64(0))})
	peer := StartPeer(t, r.URI())
	peer.Must("load", M{"prefix": "load", "payload": *Wish{SleepMs: 300}.Payload(), "count": 400, "threads": 2})
	time.Sleep(time.Second)
	r.Do("DEL", QueueKey("default", "lease"))
	waitEmpty(t, r, 120*time.Second)
	for id, count := range Starts(ReadLedger(t, path)) {
		if count > 2 {
			t.Errorf("%s ran %d times", id, count)
		}
	}
	equal(t, "tasks run", len(Starts(ReadLedger(t, path))), 400)
}

// TestRedisRestart: Redis is killed and comes back empty; client and server go on without being restarted.
func TestRedisRestart(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartServer(t, "c", r, ServerOptions{})
	peer := StartPeer(t, r.URI())
	for round := range 3 {
		answer := peer.Must("load", M{"prefix": fmt.Sprint("round-", round), "payload": "{}", "count": 100, "threads": 4})
		equal(t, "failed", Number(answer, "failed"), 0)
		waitEmpty(t, r, 10*time.Second)
		r.Kill()
		time.Sleep(300 * time.Millisecond)
		r.Start()
	}
	peer.Must("load", M{"prefix": "last", "payload": "{}", "count": 100, "threads": 4})
	waitEmpty(t, r, 10*time.Second)
	equal(t, "runs", len(Starts(s.Ledger())), 400)
}

// TestReadBackIsTriedAgain: the reply to a lease is lost, and when the server asks what it took, Redis refuses for a while.
// The tasks are not given up for that.
func TestReadBackIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	proxy := StartProxy(t, r, ScriptNames(t))
	server := StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 5, LedgerPath: filepath.Join(r.Dir, "ledger")})
	notes := notesOf(server)
	waitTracked(t, r)
	proxy.LoseOneIn(1)
	peer := StartPeer(t, r.URI())
	peer.Must("load", M{"prefix": "n", "payload": "{}", "count": 3, "threads": 1})
	Eventually(t, 20*time.Second, "the lease", func() bool { return r.Int("LLEN", QueueKey("default", "active")) > 0 })
	taken := r.Int("LLEN", QueueKey("default", "active"))
	r.Do("ACL", "SETUSER", "default", "-zrangebyscore")
	proxy.LoseOneIn(0)
	Eventually(t, 20*time.Second, "Redis to refuse", func() bool { return containsPrefix(notes(), `log queue call failed: queue "default": cannot `) })
	r.Do("ACL", "SETUSER", "default", "+zrangebyscore")
	Eventually(t, 25*time.Second, fmt.Sprintf("all tasks, of which %d were taken", taken), func() bool { return tasksLeft(r) == 0 })
	equal(t, "starts", len(Starts(server.Ledger())), 3)
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
	IsWell(t, r)
}

// TestTwiceInOneLease: an id that stands twice in `pending` is leased twice by one call. The task runs once.
func TestTwiceInOneLease(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	peer.Must("load", M{"prefix": "n", "payload": `{"sleep_ms":500}`, "count": 3, "threads": 1})
	for _, id := range r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1) {
		r.Do("LPUSH", QueueKey("default", "pending"), id)
	}
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 10, LedgerPath: filepath.Join(r.Dir, "ledger")})
	waitDone := func() bool { return r.Text("GET", QueueKey("default", "processed")) == "3" }
	Eventually(t, 20*time.Second, "the tasks to be done", waitDone)
	for id, count := range Starts(server.Ledger()) {
		equal(t, "starts of "+id, count, 1)
	}
	equal(t, "tasks left", tasksLeft(r), 0)
	for _, note := range server.Notes() {
		t.Errorf("it says %q", note)
	}
}
