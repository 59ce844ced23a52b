package system

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// badEnds are what may become of Redis before a server is told to end. The last part puts it right again.
var badEnds = map[string]func(r *Redis, proxy *LateProxy) (repair func()){
	"killed":    func(r *Redis, _ *LateProxy) func() { r.Kill(); return r.Start },
	"hanging":   func(r *Redis, _ *LateProxy) func() { r.Stop(); return r.Continue },
	"swallowed": func(_ *Redis, proxy *LateProxy) func() { proxy.Freeze(); return proxy.Thaw },
}

// shutdownCase is a server in some phase of its work when Redis goes, and how many tasks it then holds.
type shutdownCase struct {
	name    string
	options ServerOptions
	kind    string // of the tasks
	wish    Wish
	tasks   int
	enqueue []asynq.Option
	isBusy  func(r *Redis, s *CServer) bool
	left    int // tasks that are left to recovery
}

var shutdownCases = []shutdownCase{
	{name: "idle", isBusy: func(*Redis, *CServer) bool { return true }},
	{name: "running", kind: "t", wish: Wish{SleepMs: 60_000}, tasks: 3, left: 3, isBusy: startedAre(3)},
	{name: "async", kind: "hang:", tasks: 3, left: 3, isBusy: startedAre(3)},
	{name: "stubborn", kind: "t", wish: Wish{SleepMs: 12_000, Stubborn: true}, tasks: 3, left: 3, isBusy: startedAre(3)},
	{name: "unsettled", kind: "t", wish: Wish{SleepMs: 500}, tasks: 3, left: 3, isBusy: startedAre(3)},
	{name: "aggregating", kind: "t", tasks: 2, enqueue: []asynq.Option{asynq.Group("slow")}, options: ServerOptions{Aggregates: true, Grace: time.Second,
		AggregateMs: 6000}, isBusy: func(r *Redis, s *CServer) bool {
		return r.Int("ZCARD", QueueKey("default", "aggregation_sets")) == 1
	}},
	{name: "limited", kind: "limited", wish: Wish{SleepMs: 60_000}, tasks: 3, left: 3, options: ServerOptions{
		Routes: []Route{{Pattern: "limited", Scope: "one", Max: 1}}},
		isBusy: func(r *Redis, s *CServer) bool {
			return r.Int("LLEN", QueueKey("default", "active")) == 3 && startedAre(1)(r, s)
		}},
}

func startedAre(count int) func(r *Redis, s *CServer) bool {
	return func(_ *Redis, s *CServer) bool { return len(Starts(s.Ledger())) == count }
}

// TestShutdownWithoutRedis: a shutdown keeps its time limit whatever becomes of Redis, in each phase and with work of each
// kind, and says what it has left to recovery. On the machine of the tests that may be busy, so they allow 6 s more.
func TestShutdownWithoutRedis(t *testing.T) {
	t.Parallel()
	for end, harm := range badEnds {
		for _, test := range shutdownCases {
			t.Run(end+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				r := StartRedis(t)
				proxy := StartLateProxy(t, r)
				test.options.ShutdownMs, test.options.Concurrency = 2000, 5
				test.options.LedgerPath = filepath.Join(r.Dir, "ledger")
				server := StartCServer(t, proxy.URI(), test.options)
				client := asynq.NewClient(r.Opt())
				defer client.Close()
				for i := range test.tasks {
					task := asynq.NewTask(test.kind, []byte(*test.wish.Payload()))
					if _, err := client.Enqueue(task, append(test.enqueue, asynq.TaskID(fmt.Sprint(i)))...); err != nil {
						t.Fatal(err)
					}
				}
				Eventually(t, 30*time.Second, "the server to be busy", func() bool { return test.isBusy(r, server) })
				repair := harm(r, proxy)
				if test.name == "unsettled" {
					Eventually(t, 10*time.Second, "the handlers to end", func() bool { return len(server.Ledger()) == 2*test.tasks })
				}
				begin := time.Now()
				server.Shutdown()
				took := time.Since(begin)
				if took > 9*time.Second {
					t.Errorf("the shutdown took %v with a limit of 2 s", took)
				}
				pattern := regexp.MustCompile(fmt.Sprintf(`^log .*left to recovery.*: %d tasks of queue "default"`, test.left))
				said := 0
				for _, note := range server.Notes() {
					if pattern.MatchString(note) {
						said++
					}
				}
				equal(t, "lines about what is left", said, min(test.left, 1))
				repair()
				if end != "killed" && test.name != "unsettled" { // whose outcomes a Redis that wakes up may find
					equal(t, "tasks that are still there", tasksLeft(r), test.tasks)
				}
			})
		}
	}
}

// TestStopWithoutRedis: a server that is told to take no more tasks does not wait for a Redis that hangs.
func TestStopWithoutRedis(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	proxy := StartLateProxy(t, r)
	server := StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 2, ShutdownMs: 1000})
	e := NewGoEnqueuer(t, r)
	proxy.Hold("lease", HeldBySender)
	e.Enqueue(Task{Type: "t", Payload: P("{}")})
	time.Sleep(time.Second) // the lease is under way
	begin := time.Now()
	server.Stop()
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	server.Shutdown()
	if took := time.Since(begin); took > 12*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
}
