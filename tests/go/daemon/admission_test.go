package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// sleeper is a worker whose tasks sleep for as many seconds as their payload says.
const sleeper = `
import time
from asynq_worker import task, run

@task("slow:")
def slow(job):
    time.sleep(float(job.payload))

run()
`

// sleepers is the configuration of a pool of them.
func sleepers(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sleeper.py")
	if err := os.WriteFile(path, []byte(sleeper), 0o600); err != nil {
		t.Fatal(err)
	}
	libraries, _ := filepath.Abs("../../../contrib/workers/python")
	return fmt.Sprintf("workers:\n  sleepers: {argv: [/usr/bin/python3, %s], size: %d, process: {variables: {PYTHONPATH: %s}}}\n", path, size, libraries)
}

func ready(t *testing.T, d *Daemon, n int) {
	t.Helper()
	Eventually(t, 30*time.Second, "the processes", func() bool {
		return metric(t, d, `asynqd_worker_processes{pool="sleepers",state="ready"}`) == float64(n)
	})
}

// ended counts attempts with an outcome ("": any) at tasks of a type.
func ended(d *Daemon, taskType, outcome string) (n int) {
	for _, line := range d.Lines() {
		if line["msg"] == "attempt" && line["type"] == taskType && (outcome == "" || line["outcome"] == outcome) {
			n++
		}
	}
	return n
}

// TestAdmission: a pool takes what its processes can run. The others stay pending, so none is out of time before it has
// begun, and a task of another route in the same queue, behind all of them, begins at once.
func TestAdmission(t *testing.T) {
	t.Parallel()
	const tasks = 300
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nconcurrency: 500\nroutes:\n  - {type: \"slow:\", worker: sleepers}\n  - {type: \"quick\", command: {argv: [/bin/true]}}\n"+sleepers(t, 4))
	ready(t, d, 4)
	for i := range tasks {
		enqueue(t, r, fmt.Sprint("slow-", i), "slow:", "0.1", asynq.MaxRetry(0), asynq.Timeout(time.Second))
	}
	for i := range 10 {
		id := fmt.Sprint("quick-", i)
		enqueue(t, r, id, "quick", "", asynq.MaxRetry(0))
		d.Attempt(id, 1)
		if active := r.Int("LLEN", QueueKey("default", "active")); active > 12 {
			t.Errorf("%d tasks are active", active)
		}
	}
	if pending := r.Int("LLEN", QueueKey("default", "pending")); pending < tasks/4 {
		t.Errorf("only %d slow tasks are still pending, so nothing had to pass them", pending)
	}
	Eventually(t, 60*time.Second, "all tasks", func() bool {
		return r.Int("LLEN", QueueKey("default", "pending"))+r.Int("LLEN", QueueKey("default", "active")) == 0
	})
	if archived := r.Int("ZCARD", QueueKey("default", "archived")); archived != 0 {
		t.Errorf("%d tasks are archived", archived)
	}
	for _, id := range []string{"slow-0", "slow-100", fmt.Sprint("slow-", tasks-1)} {
		line := d.Attempt(id, 1)
		if duration, _ := line["duration_ms"].(float64); line["outcome"] != "completed" || duration > 900 || len(d.Attempts(id)) != 1 {
			t.Errorf("%s: %v", id, line)
		}
	}
	if wait, _ := d.Attempt(fmt.Sprint("slow-", tasks-1), 1)["wait_ms"].(float64); wait < 2000 {
		t.Errorf("the last one waited %v ms", wait) // the waiting is not part of the duration
	}
}

// TestAdmissionOfTwo: two asynqds with pools of the same size share the work.
func TestAdmissionOfTwo(t *testing.T) {
	t.Parallel()
	const tasks = 120
	r := StartRedis(t)
	config := "redis: " + r.URI() + "\nconcurrency: 500\nroutes:\n  - {type: \"slow:\", worker: sleepers}\n" + sleepers(t, 2)
	daemons := []*Daemon{StartDaemon(t, config), StartDaemon(t, config)}
	for _, d := range daemons {
		ready(t, d, 2)
	}
	for i := range tasks {
		enqueue(t, r, fmt.Sprint("slow-", i), "slow:", "0.1", asynq.MaxRetry(0))
	}
	Eventually(t, 60*time.Second, "all tasks", func() bool {
		return r.Int("LLEN", QueueKey("default", "pending"))+r.Int("LLEN", QueueKey("default", "active")) == 0
	})
	for i, d := range daemons {
		if ran := ended(d, "slow:", "completed"); ran < tasks*2/5 || ran > tasks*3/5 {
			t.Errorf("asynqd %d ran %d of %d", i, ran, tasks)
		}
	}
}

// TestAdmissionOfHosts: a host that gets two requests at a time holds up nobody else, also one that the task names; the
// time limit of a task begins with its request.
func TestAdmissionOfHosts(t *testing.T) {
	t.Parallel()
	const tasks = 60
	var running, most atomic.Int64
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := running.Add(1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		time.Sleep(150 * time.Millisecond)
		running.Add(-1)
	}))
	defer slow.Close()
	for _, url := range []string{slow.URL + "/", "{{payload}}"} {
		most.Store(0)
		r := StartRedis(t)
		d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
routes:
  - {type: "slow", http: {url: "`+url+`", per_host: 2, targets: {private_addresses: allow}}}
  - {type: "quick", command: {argv: [/bin/true]}}
`)
		for i := range tasks {
			enqueue(t, r, fmt.Sprint("slow-", i), "slow", slow.URL+"/", asynq.MaxRetry(0), asynq.Timeout(time.Second))
		}
		enqueue(t, r, "quick", "quick", "", asynq.MaxRetry(0))
		d.Attempt("quick", 1)
		if n := ended(d, "slow", ""); n > tasks/2 {
			t.Errorf("%s: the quick one waited for %d others", url, n)
		}
		Eventually(t, 60*time.Second, "all tasks", func() bool { return ended(d, "slow", "completed") == tasks })
		if most.Load() > 2 {
			t.Errorf("%s: %d requests at a time", url, most.Load())
		}
	}
}

// TestPoolGetsItsSize: a start that fails once, when all others are ready, leaves the pool no smaller.
func TestPoolGetsItsSize(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	count := filepath.Join(t.TempDir(), "count")
	pool := sleepers(t, 4)
	pool = strings.Replace(pool, "[/usr/bin/python3, ", `[/bin/sh, -c, "echo >> `+count+`; [ $(wc -l < `+count+`) != 3 ] || { sleep 2; exit 3; }; exec /usr/bin/python3 $0", `, 1)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes:\n  - {type: \"slow:\", worker: sleepers}\n"+pool)
	ready(t, d, 4)
}
