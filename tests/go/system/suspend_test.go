package system

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestSuspendedDuringLease: a process is suspended while a lease is under way, until after the end of that lease. Its
// tasks go back without having failed, none begins under a lease that is over, and the leases that are taken then last.
func TestSuspendedDuringLease(t *testing.T) {
	t.Parallel()
	const tasks = 300
	r := StartRedis(t)
	proxy := StartLateProxy(t, r)
	retryMs := int64(0)
	server := StartCServer(t, proxy.URI(), ServerOptions{Concurrency: 200, RetryMs: &retryMs,
		LedgerPath: filepath.Join(r.Dir, "ledger")})
	waitTracked(t, r)
	Eventually(t, 20*time.Second, "the queue to be watched", func() bool { return tracked(r) > 0 })
	time.Sleep(3 * time.Second) // a lease of the start that Redis has received already would take the first task
	proxy.Freeze()
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	for i := range tasks {
		task := asynq.NewTask("t", []byte(`{"sleep_ms":200}`))
		if _, err := client.Enqueue(task, asynq.TaskID(fmt.Sprint(i)), asynq.MaxRetry(0), asynq.Retention(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // the lease is in the proxy, and nothing else
	server.Suspend()
	proxy.Thaw()
	Eventually(t, 10*time.Second, "the lease", func() bool { return r.Int("LLEN", QueueKey("default", "active")) > 0 })
	time.Sleep(32 * time.Second)
	equal(t, "starts while it is suspended", len(server.Ledger()), 0)
	server.Signal(syscall.SIGCONT)
	Eventually(t, 90*time.Second, "all tasks", func() bool {
		return r.Int("ZCARD", QueueKey("default", "completed"))+r.Int("ZCARD", QueueKey("default", "archived")) == tasks
	})
	for id, count := range Starts(server.Ledger()) {
		equal(t, "starts of "+id, count, 1)
	}
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
	for _, note := range server.Notes() {
		if strings.HasPrefix(note, "log lease lost") || strings.HasPrefix(note, "log outcome ") {
			t.Errorf("it says %q", note)
		}
	}
	IsWell(t, r)
}

// TestSuspendedBeforeTheStart: a process is suspended beyond the end of the lease of a task that waits for a token and has
// not begun. That is no failure of the task, which may not fail once; it goes back and runs.
func TestSuspendedBeforeTheStart(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 4, LedgerPath: filepath.Join(r.Dir, "ledger"),
		Routes: limited(1)})
	r.Do("ZADD", "asynq:sema:printers", time.Now().Unix()+3600, "somebody")
	enqueueMany(t, r, "limited", 1, Wish{}, asynq.MaxRetry(0))
	Eventually(t, 20*time.Second, "the lease", func() bool { return r.Int("LLEN", QueueKey("default", "active")) == 1 })
	server.Suspend()
	time.Sleep(34 * time.Second)
	server.Signal(syscall.SIGCONT)
	Eventually(t, 20*time.Second, "the task to go back", func() bool { return r.Int("LLEN", QueueKey("default", "active")) == 0 })
	r.Do("ZREM", "asynq:sema:printers", "somebody")
	Eventually(t, 60*time.Second, "the task to run", func() bool { return tasksLeft(r) == 0 })
	equal(t, "archived", r.Int("ZCARD", QueueKey("default", "archived")), 0)
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
	equal(t, "starts", len(Starts(server.Ledger())), 1)
	IsWell(t, r)
}

// TestDaemonizedServer: a server that was made before its process became another one is known by its real pid.
func TestDaemonizedServer(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	StartCServer(t, r.URI(), ServerOptions{Daemonize: true})
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	var servers []*asynq.ServerInfo
	Eventually(t, 20*time.Second, "its record", func() bool {
		var err error
		servers, err = inspector.Servers()
		return err == nil && len(servers) == 1
	})
	keys := r.Strings("KEYS", "asynq:servers:{*")
	want := fmt.Sprintf("asynq:servers:{%s:%d:%s}", servers[0].Host, servers[0].PID, servers[0].ID)
	equal(t, "its key", strings.Join(keys, " "), want)
}

// TestForkedChildren: children of a process that runs a server or a scheduler get their answers at once, and harm neither;
// also those that were forked while other threads had locks.
func TestForkedChildren(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	t.Run("server", func(t *testing.T) {
		server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 4, LedgerPath: filepath.Join(r.Dir, "ledger")})
		peer := StartPeer(t, r.URI())
		peer.Must("load", M{"prefix": "before", "payload": `{"sleep_ms":1}`, "count": 2000, "threads": 1})
		equal(t, "children that got their answers", Number(server.Must("server.fork", M{"children": 50}), "answered"), 50)
		peer.Must("load", M{"prefix": "after", "payload": "{}", "count": 10, "threads": 1})
		waitEmpty(t, r, 60*time.Second)
		equal(t, "tasks run", len(Starts(server.Ledger())), 2010)
	})
	t.Run("scheduler", func(t *testing.T) {
		peer := StartPeer(t, r.URI())
		peer.Must("scheduler.new", nil)
		peer.Must("scheduler.start", nil)
		equal(t, "children that got their answers", Number(peer.Must("scheduler.fork", M{"children": 50}), "answered"), 50)
		peer.Must("scheduler.shutdown", nil)
	})
}
