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

// sleeper is a worker whose tasks sleep for as many seconds as their payload says, or until a file of this name is there.
const sleeper = `
import os
import time
from asynq_worker import task, run

@task("slow:")
def slow(job):
    gate = job.payload.decode()
    if not gate.startswith("/"):
        time.sleep(float(gate))
    while gate.startswith("/") and not os.path.exists(gate):
        time.sleep(0.02)

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
	return fmt.Sprintf("workers:\n  sleepers: {argv: [/usr/bin/python3, %s], size: %d, process: {env: {PYTHONPATH: %s}}}\n", path, size, libraries)
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
		if text, _ := line["msg"].(string); strings.HasPrefix(text, "attempt ") && line["type"] == taskType && (outcome == "" || line["outcome"] == outcome) {
			n++
		}
	}
	return n
}

// TestAdmission: a pool takes what its processes can run. The others stay pending, so none is out of time before it has
// begun, and a task of another route in the same queue, behind all of them, begins at once.
func TestAdmission(t *testing.T) {
	t.Parallel()
	const tasks = 100
	r := StartRedis(t)
	gate := filepath.Join(r.Dir, "gate")
	d := StartDaemon(t, "redis: "+r.URI()+"\nconcurrency: 500\nroutes:\n  - {type: \"slow:\", worker: sleepers}\n  - {type: \"quick\", command: {argv: [/bin/true]}}\n"+sleepers(t, 4))
	ready(t, d, 4)
	for i := range 4 {
		enqueue(t, r, fmt.Sprint("held-", i), "slow:", gate, asynq.MaxRetry(0), asynq.Timeout(time.Hour))
	}
	begun := time.Now()
	for i := range tasks {
		enqueue(t, r, fmt.Sprint("slow-", i), "slow:", "0.01", asynq.MaxRetry(0), asynq.Timeout(5*time.Second))
	}
	for i := range 5 {
		id := fmt.Sprint("quick-", i)
		enqueue(t, r, id, "quick", "", asynq.MaxRetry(0))
		d.Attempt(id, 1)
	}
	equal := func(what string, got, wanted int64) {
		t.Helper()
		if got != wanted {
			t.Errorf("%s: %d instead of %d", what, got, wanted)
		}
	}
	Eventually(t, 20*time.Second, "the quick ones to leave", func() bool { return r.Int("LLEN", QueueKey("default", "active")) <= 4 })
	equal("active", r.Int("LLEN", QueueKey("default", "active")), 4)
	equal("pending", r.Int("LLEN", QueueKey("default", "pending")), tasks)
	time.Sleep(time.Until(begun.Add(6 * time.Second))) // longer than the time that each of them has
	os.WriteFile(gate, nil, 0o600)
	Eventually(t, 2*time.Minute, "all tasks", func() bool {
		return r.Int("LLEN", QueueKey("default", "pending"))+r.Int("LLEN", QueueKey("default", "active")) == 0
	})
	equal("archived", r.Int("ZCARD", QueueKey("default", "archived")), 0)
	line := d.Attempt("slow-0", 1)
	if wait, _ := line["wait_ms"].(float64); line["outcome"] != "completed" || wait < 5000 || len(d.Attempts("slow-0")) != 1 {
		t.Errorf("%v", line) // the waiting is no part of the duration
	}
	if duration, _ := line["duration_ms"].(float64); duration > 4500 {
		t.Errorf("%v", line)
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
		if ran := ended(d, "slow:", "completed"); ran < tasks/3 || ran > tasks*2/3 {
			t.Errorf("asynqd %d ran %d of %d", i, ran, tasks)
		}
	}
}

// TestAdmissionOfHosts: a host that gets two requests at a time holds up nobody else, also one that the task names; the
// time limit of a task begins with its request.
func TestAdmissionOfHosts(t *testing.T) {
	t.Parallel()
	const tasks = 40
	for _, named := range []bool{false, true} {
		var running, highest atomic.Int64
		gate := make(chan bool)
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			now := running.Add(1)
			for seen := highest.Load(); now > seen && !highest.CompareAndSwap(seen, now); seen = highest.Load() {
			}
			<-gate
			running.Add(-1)
		}))
		defer slow.Close()
		url := slow.URL + "/"
		if named {
			url = "{{payload}}"
		}
		r := StartRedis(t)
		d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
routes:
  - {type: "slow", http: {url: "`+url+`", max_connections_per_host: 2, targets: {private_addresses: allow}}}
  - {type: "quick", command: {argv: [/bin/true]}}
`)
		for i := range tasks {
			limit := 3 * time.Second
			if i < 4 { // those that may be the first to run
				limit = time.Hour
			}
			enqueue(t, r, fmt.Sprint("slow-", i), "slow", slow.URL+"/", asynq.MaxRetry(0), asynq.Timeout(limit))
		}
		enqueue(t, r, "quick", "quick", "", asynq.MaxRetry(0))
		d.Attempt("quick", 1)
		if n := ended(d, "slow", ""); n != 0 {
			t.Errorf("%v: the quick one waited for %d others", named, n)
		}
		time.Sleep(4 * time.Second) // longer than the time that most of them have
		close(gate)
		Eventually(t, 2*time.Minute, "all tasks", func() bool { return ended(d, "slow", "completed") == tasks })
		if highest.Load() > 2 {
			t.Errorf("%v: %d requests at a time", named, highest.Load())
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
