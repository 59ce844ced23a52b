package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// metricsOf is the page that Prometheus sees.
func metricsOf(t testing.TB, d *Daemon) string {
	t.Helper()
	status, body := ask(t, "GET", d.URL()+"/metrics", "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	return body
}

// TestManyCounters: queues times routes may be more counters than there is room for; those that count something come first.
func TestManyCounters(t *testing.T) {
	t.Parallel()
	const many = 200
	r := StartRedis(t)
	config := func(name string) string {
		text := "redis: " + r.URI() + "\nqueues: {"
		for i := range many {
			text += fmt.Sprintf("%s%d: 1, ", name, i)
		}
		text += "last: 1}\nroutes:\n"
		for i := range many {
			text += fmt.Sprintf("- {type: \"%s%d:\", command: {argv: [cat]}}\n", name, i)
		}
		return text + "- {type: \"last\", command: {argv: [cat]}}\n"
	}
	d := StartDaemon(t, config("a"))
	count := func(want int) {
		t.Helper()
		Eventually(t, 20*time.Second, "the attempts to be counted", func() bool {
			return strings.Contains(metricsOf(t, d), fmt.Sprintf(`asynqd_attempts_total{queue="last",route="last",outcome="completed"} %d`+"\n", want))
		})
	}
	enqueue(t, r, "one", "last", "", asynq.Queue("last"))
	count(1)
	enqueue(t, r, "gone", "a7:", "", asynq.Queue("a7"))
	d.Attempt("gone", 1)
	takeOver(t, d, config("b"))
	enqueue(t, r, "two", "last", "", asynq.Queue("last"))
	count(2)
	Eventually(t, 20*time.Second, "what has gone to go", func() bool { return !strings.Contains(metricsOf(t, d), `asynqd_attempts_total{queue="a7"`) })
}

// TestMetricsAfterReload: what a reload has taken away is not told of any more; what stays goes on counting.
func TestMetricsAfterReload(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	pool := func(name string) string { return name + ": {argv: [/usr/bin/python3, " + program("worker.py") + "]}" }
	config := func(queues, more string) string {
		return "redis: " + r.URI() + "\nqueues: {" + queues + "}\nroutes:\n  - {type: \"py:\", worker: stays}\n  - {type: \"cat:stays\", command: {argv: [cat]}}\n" + more
	}
	d := StartDaemon(t, config("default: 1, goes: 1", "  - {type: \"py:also\", worker: goes}\n  - {type: \"cat\", command: {argv: [cat]}}\n")+
		"workers: {"+pool("stays")+", "+pool("goes")+"}\n")
	enqueue(t, r, "one", "py:echo", "x")
	d.Attempt("one", 1)
	enqueue(t, r, "two", "cat:goes", "x", asynq.Queue("goes"))
	d.Attempt("two", 1)
	enqueue(t, r, "three", "cat:stays", "x", asynq.Queue("goes"))
	d.Attempt("three", 1)
	enqueue(t, r, "four", "unheard-of", "x", asynq.Queue("goes"))
	d.Attempt("four", 1)
	Eventually(t, 20*time.Second, "all to be told of", func() bool {
		page := metricsOf(t, d)
		return strings.Contains(page, `asynqd_worker_processes{pool="goes",state="ready"} 1`) &&
			strings.Contains(page, `asynqd_attempts_total{queue="goes",route="cat",outcome="completed"} 1`) &&
			strings.Contains(page, `asynqd_task_duration_seconds_count{queue="goes",route="cat:stays"} 1`) &&
			strings.Contains(page, `asynqd_failures_total{queue="goes",route="none",error_class="`) &&
			strings.Contains(page, `asynqd_attempts_total{queue="default",route="py:",outcome="completed"} 1`)
	})
	takeOver(t, d, config("default: 1", "")+"workers: {"+pool("stays")+"}\n")
	var page string
	Eventually(t, 30*time.Second, "what has gone to go", func() bool {
		page = metricsOf(t, d)
		for _, line := range strings.Split(page, "\n") {
			if strings.HasPrefix(line, "asynqd_") && (strings.Contains(line, `"goes"`) || strings.Contains(line, `route="cat"`) || strings.Contains(line, `route="py:also"`)) {
				return false
			}
		}
		return true
	})
	for _, line := range []string{`asynqd_attempts_total{queue="default",route="py:",outcome="completed"} 1`, `asynqd_attempts_total{queue="default",route="cat:stays",outcome="completed"} 0`} {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, page)
		}
	}
	enqueue(t, r, "five", "py:echo", "x")
	d.Attempt("five", 1)
	Eventually(t, 20*time.Second, "the next to be counted", func() bool {
		return metric(t, d, `asynqd_attempts_total{queue="default",route="py:",outcome="completed"}`) == 2
	})
}

// TestProcessMetrics: asynqd tells of its own process under the names that Prometheus's libraries give, and what the processes of a
// pool use. The CPU time of a pool does not shrink when one of them ends.
func TestProcessMetrics(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	library, err := filepath.Abs("../../../contrib/workers/python")
	if err != nil {
		t.Fatal(err)
	}
	worker := filepath.Join(stateDir(t), "worker (with) blanks.py")
	text := "import os, sys, time\nsys.path.insert(0, '" + library + "')\nfrom asynq_worker import task, run\n" +
		"@task('burn')\ndef burn(t):\n    while time.process_time() < 1.0: pass\n    return str(os.getpid())\nrun()\n"
	if err := os.WriteFile(worker, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	before := float64(time.Now().Unix())
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: burn, worker: pool}]\nworkers: {pool: {argv: [/usr/bin/python3, \""+worker+"\"]}}\n")
	enqueue(t, r, "one", "burn", "", asynq.Timeout(10*time.Minute))
	pid, err := strconv.Atoi(string(settled(t, r, d, "one").Result))
	if err != nil {
		t.Fatal(err)
	}
	const cpu, memory = `asynqd_worker_cpu_seconds_total{pool="pool"}`, `asynqd_worker_resident_memory_bytes{pool="pool"}`
	Eventually(t, 30*time.Second, "the CPU time of the pool", func() bool { return metric(t, d, cpu) >= 0.9 })
	used := metric(t, d, cpu)
	if resident := metric(t, d, memory); resident < 1e6 || resident > 1e9 {
		t.Errorf("%v bytes", resident)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, "another process", func() bool { return metric(t, d, `asynqd_worker_starts_total{pool="pool"}`) == 2 })
	if now := metric(t, d, cpu); now < used {
		t.Errorf("the CPU time was %v, and is %v", used, now)
	}
	for series, bounds := range map[string][2]float64{"process_cpu_seconds_total": {0, 600}, "process_resident_memory_bytes": {1e6, 4e9},
		"process_virtual_memory_bytes": {1e6, 1e15}, "process_open_fds": {8, 1000}, "process_max_fds": {100, 1e15},
		"process_start_time_seconds": {before - 5, before + 600}} {
		if value := metric(t, d, series); value < bounds[0] || value > bounds[1] {
			t.Errorf("%s: %v", series, value)
		}
	}
	Eventually(t, 30*time.Second, "open descriptors", func() bool {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Pid()))
		open := metric(t, d, "process_open_fds") // one of them is this request's
		return err == nil && (open == float64(len(entries)) || open == float64(len(entries))+1)
	})
	spent := metric(t, d, "process_cpu_seconds_total")
	Eventually(t, 60*time.Second, "more CPU time", func() bool { return metric(t, d, "process_cpu_seconds_total") > spent })
	if metric(t, d, "process_start_time_seconds") != metric(t, d, "process_start_time_seconds") {
		t.Error("its start moves")
	}
}

// TestPoolIsSmall: readiness and metrics tell of a pool that cannot start all its processes; the others work on.
func TestPoolIsSmall(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	dir := stateDir(t)
	start := filepath.Join(dir, "start") // the second one fails, until there is a file
	text := "#!/bin/sh\nmkdir " + dir + "/first 2>/dev/null || [ -e " + dir + "/free ] || exit 3\nexec /usr/bin/python3 " + program("worker.py") + "\n"
	if err := os.WriteFile(start, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: \"py:\", worker: pool}]\nworkers: {pool: {argv: ["+start+"], size: 2}}\n")
	told := func(what string) {
		t.Helper()
		Eventually(t, 60*time.Second, what, func() bool { text, _ := readiness(t, d, "workers"); return strings.HasPrefix(text, what) })
	}
	told("the pool pool has 1 of 2 processes")
	Eventually(t, 60*time.Second, "readiness, as tasks are run", func() bool { _, status := readiness(t, d, "workers"); return status == 200 })
	if size, ready := metric(t, d, `asynqd_worker_pool_size{pool="pool"}`), metric(t, d, `asynqd_worker_processes{pool="pool",state="ready"}`); size != 2 || ready != 1 {
		t.Errorf("%v of %v", ready, size)
	}
	enqueue(t, r, "one", "py:echo", "x")
	d.Attempt("one", 1)
	if err := os.WriteFile(filepath.Join(dir, "free"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told("ok")
}
