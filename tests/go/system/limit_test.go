package system

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// mostAtOnce is the largest number of handlers that ran at the same time. Those without an end ended at `killed`.
func mostAtOnce(lines []Line, killed time.Time) int {
	type change struct {
		at   int64
		step int
	}
	var changes []change
	open := map[string]int{}
	for _, line := range lines {
		key, step := line.Queue+"/"+line.ID, 1
		if line.What == "end" {
			step = -1
		}
		open[key] += step
		changes = append(changes, change{line.AtUs, step})
	}
	for _, left := range open {
		for ; left > 0; left-- {
			changes = append(changes, change{killed.UnixMicro(), -1})
		}
	}
	sort.Slice(changes, func(i, j int) bool {
		return changes[i].at < changes[j].at || changes[i].at == changes[j].at && changes[i].step < changes[j].step
	})
	highest, now := 0, 0
	for _, change := range changes {
		now += change.step
		highest = max(highest, now)
	}
	return highest
}

func enqueueMany(t *testing.T, r *Redis, taskType string, n int, wish Wish, options ...asynq.Option) {
	t.Helper()
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	for range n {
		if _, err := client.Enqueue(asynq.NewTask(taskType, []byte(*wish.Payload())), options...); err != nil {
			t.Fatal(err)
		}
	}
}

func limited(highest int) []Route {
	return []Route{{Pattern: "limited", Scope: "printers", Max: highest}}
}

// TestSharedLimit: four servers of ours and four of Go share three tokens, which they pass to one another; one of ours is
// killed while it holds one, which comes back. Never four at once, and none fails.
func TestSharedLimit(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	theirs := filepath.Join(r.Dir, "ledger of Go")
	ms := int64(300)
	semaphore := NewGoSemaphore(r, "printers", 3)
	defer semaphore.Close()
	options := ServerOptions{Concurrency: 4, Routes: limited(3), RetryMs: &ms, NotFailures: []string{"no token"},
		Semaphore: semaphore}
	var ours []*CServer
	for i := range 4 {
		options.LedgerPath, options.Queues = theirs, map[string]int{"default": 1}
		StartServer(t, "go", r, options)
		options.LedgerPath, options.Queues = fmt.Sprintf("%s/ledger %d", r.Dir, i), map[string]int{"default": 1, "ours": 1}
		ours = append(ours, StartCServer(t, r.URI(), options))
	}
	enqueueMany(t, r, "limited", 300, Wish{SleepMs: 50, Stubborn: true}, asynq.MaxRetry(1000))
	// So long that the server that runs it cannot have ended it before it is killed.
	enqueueMany(t, r, "limited", 1, Wish{SleepMs: 10_000, Stubborn: true}, asynq.Queue("ours"), asynq.TaskID("long"))
	var holder *CServer
	Eventually(t, 2*time.Minute, "a server to hold a token for long", func() bool {
		for _, server := range ours {
			if Starts(server.Ledger())["ours/long"] > 0 {
				holder = server
			}
		}
		return holder != nil
	})
	holder.Kill()
	killed := time.Now()
	Eventually(t, 5*time.Minute, "all tasks to be done", func() bool {
		time.Sleep(100 * time.Millisecond)
		return tasksLeft(r) == 0
	})
	lines := ReadLedger(t, theirs)
	for _, server := range ours {
		lines = append(lines, server.Ledger()...)
	}
	if highest := mostAtOnce(lines, killed); highest < 2 || highest > 3 {
		t.Errorf("%d at once", highest)
	}
	equal(t, "starts of the long task", Starts(lines)["ours/long"], 2)
	again := 0
	for _, starts := range Starts(lines) {
		again += starts - 1
	}
	if again > 3 {
		t.Errorf("%d tasks ran again; the server that died had at most 3", again)
	}
	equal(t, "holders", r.Int("ZCARD", "asynq:sema:printers"), 0)
	if failed, _ := strconv.Atoi(r.Text("GET", QueueKey("default", "failed"))); failed > 60 {
		t.Errorf("%d failed, more than the server that died can have had in its hands", failed)
	}
	IsWell(t, r)
}

// TestLimit: a limit of one server alone. Tasks over it neither fail nor hold up others, also when there are many more
// than wait in the server.
func TestLimit(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name  string
		route Route
	}{
		{"thread", Route{Pattern: "limited", Scope: "a b{c}", Max: 2}},
		{"nested", Route{Pattern: "limited", Scope: "s", Max: 2, Nested: true}},
		{"async", Route{Pattern: "limited", Scope: "s", Max: 2, Async: true}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			ledger := filepath.Join(r.Dir, "ledger")
			s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 3, LedgerPath: ledger, Routes: []Route{kind.route}})
			enqueueMany(t, r, "limited", 200, Wish{SleepMs: 20}, asynq.MaxRetry(0))
			enqueueMany(t, r, "t", 20, Wish{SleepMs: 1})
			others := func() (done int) {
				for _, line := range s.Ledger() {
					if line.What == "end" && strings.HasPrefix(line.Queue, "default") {
						done++
					}
				}
				return done
			}
			Eventually(t, 90*time.Second, "all tasks to be done", func() bool { return tasksLeft(r) == 0 })
			equal(t, "runs", others(), 220)
			for id, starts := range Starts(s.Ledger()) {
				equal(t, "starts of "+id, starts, 1)
			}
			equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
			equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "220")
			Eventually(t, 20*time.Second, "tokens to be given back", func() bool {
				return r.Int("EXISTS", "asynq:sema:"+kind.route.Scope) == 0
			})
			IsWell(t, r)
		})
	}
}

// TestLimitWaits: tasks wait while somebody else holds all tokens; among the retries, with a text that says why. Other
// types run meanwhile. When a token is free they go on.
func TestLimitWaits(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 1, LedgerPath: filepath.Join(r.Dir, "ledger"), Routes: limited(1)})
	r.Do("ZADD", "asynq:sema:printers", time.Now().Unix()+3600, "somebody")
	enqueueMany(t, r, "limited", 5, Wish{}, asynq.MaxRetry(0))
	enqueueMany(t, r, "t", 5, Wish{})
	Eventually(t, 20*time.Second, "the others to run", func() bool { return len(Starts(s.Ledger())) == 5 })
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	var tasks []*asynq.TaskInfo
	Eventually(t, 30*time.Second, "a task that waits", func() bool {
		tasks, _ = inspector.ListRetryTasks("default")
		return len(tasks) > 0
	})
	equal(t, "text", tasks[0].LastErr, `waits for one of 1 tokens of the semaphore "printers"`)
	equal(t, "retries", tasks[0].Retried, 0)
	r.Do("ZREM", "asynq:sema:printers", "somebody")
	Eventually(t, 90*time.Second, "the tasks to run", func() bool { return tasksLeft(r) == 0 })
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
	IsWell(t, r)
}

// TestLimitAtTheEnd: a server that shuts down gives back what waits, and its tokens.
func TestLimitAtTheEnd(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 4, ShutdownMs: 60_000,
		LedgerPath: filepath.Join(r.Dir, "ledger"), Routes: limited(2)})
	enqueueMany(t, r, "limited", 4, Wish{SleepMs: 6000, Stubborn: true})
	Eventually(t, 20*time.Second, "two tasks to run", func() bool { return len(Starts(s.Ledger())) == 2 })
	s.Shutdown()
	equal(t, "ended", len(s.Ledger()), 4)
	equal(t, "waiting", r.Int("LLEN", QueueKey("default", "pending"))+r.Int("ZCARD", QueueKey("default", "retry")), 2)
	equal(t, "active", r.Int("LLEN", QueueKey("default", "active")), 0)
	equal(t, "holders", r.Int("EXISTS", "asynq:sema:printers"), 0)
	IsWell(t, r)
}

// TestLimitLongTask: a token is held as long as the task runs, much longer than a server that dies would hold it.
func TestLimitLongTask(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	ledger := filepath.Join(r.Dir, "ledger")
	for range 2 {
		StartCServer(t, r.URI(), ServerOptions{Concurrency: 2, LedgerPath: ledger, Routes: limited(1)})
	}
	enqueueMany(t, r, "limited", 2, Wish{SleepMs: 40_000, Stubborn: true})
	Eventually(t, 3*time.Minute, "both to be done", func() bool { time.Sleep(100 * time.Millisecond); return tasksLeft(r) == 0 })
	if highest := mostAtOnce(ReadLedger(t, ledger), time.Now()); highest != 1 {
		t.Errorf("%d at once", highest)
	}
	IsWell(t, r)
}

// TestLimitLostReplies: connections die after Redis has executed a command. No token is lost for long, none is too many.
func TestLimitLostReplies(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	ledger := filepath.Join(r.Dir, "ledger")
	proxy := StartProxy(t, r, ScriptNames(t))
	StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 8, LedgerPath: ledger, Routes: limited(2)})
	StartCServer(t, r.URI(), ServerOptions{Concurrency: 8, LedgerPath: ledger, Routes: limited(2)})
	proxy.LoseOneIn(20)
	enqueueMany(t, r, "limited", 1000, Wish{SleepMs: 5})
	Eventually(t, 3*time.Minute, "all tasks to be done", func() bool { time.Sleep(100 * time.Millisecond); return tasksLeft(r) == 0 })
	proxy.LoseOneIn(0)
	if proxy.Counts()["semaphore"] == 0 {
		t.Error("no reply was lost")
	}
	if highest := mostAtOnce(ReadLedger(t, ledger), time.Now()); highest > 2 {
		t.Errorf("%d at once", highest)
	}
	t.Log(fmt.Sprint("lost: ", proxy.Counts()))
	IsWell(t, r)
}

// TestLimitPace measures, with LIMIT_PACE=1, how long tasks under a limit of three take, with servers of ours and with
// Go's, whose handlers ask the semaphore, fail without a token, and are tried again as soon as Asynq can: a second later.
func TestLimitPace(t *testing.T) {
	if os.Getenv("LIMIT_PACE") == "" {
		t.Skip("a measurement, for LIMIT_PACE=1")
	}
	for _, load := range []struct{ servers, ms, tasks int }{{1, 20, 60}, {3, 20, 60}, {3, 300, 30}} {
		for _, kind := range []string{"c", "go"} {
			r := StartRedis(t)
			semaphore := NewGoSemaphore(r, "printers", 3)
			ms := int64(0)
			enqueueMany(t, r, "limited", load.tasks, Wish{SleepMs: load.ms}, asynq.MaxRetry(1000))
			begin := time.Now()
			for range load.servers {
				StartServer(t, kind, r, ServerOptions{Concurrency: 8, Routes: limited(3), RetryMs: &ms,
					NotFailures: []string{"no token"}, Semaphore: semaphore})
			}
			Eventually(t, 8*time.Minute, "all tasks to be done", func() bool {
				time.Sleep(20 * time.Millisecond)
				return tasksLeft(r) == 0
			})
			ideal := time.Duration(load.tasks*load.ms/3) * time.Millisecond
			t.Logf("%-2s %d servers, %d tasks of %d ms: %.1f s; at best %.1f s", kind, load.servers, load.tasks, load.ms,
				time.Since(begin).Seconds(), ideal.Seconds())
			semaphore.Close()
		}
	}
}
