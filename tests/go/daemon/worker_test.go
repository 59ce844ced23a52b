package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// program is a file of tests/workers.
func program(name string) string {
	path, _ := filepath.Abs(filepath.Join("../../workers", name))
	return path
}

// pools are one of each language.
func pools(t testing.TB, r *Redis, further string) string {
	return `
redis: ` + r.URI() + `
concurrency: 50
routes:
  - {type: "py:", worker: python}
  - {type: "js:", worker: node}
  - {type: "c:", worker: {pool: c}}
workers:
  python: {argv: [/usr/bin/python3, ` + program("worker.py") + `], kill_timeout: 500ms` + further + `}
  node: {argv: [node, ` + program("worker.js") + `], kill_timeout: 500ms}
  c: {argv: [` + filepath.Join(BuildDir(), "asynq-test-worker") + `], kill_timeout: 500ms}
`
}

// TestWorkers: each library runs tasks, and each end of a task arrives as what it is.
func TestWorkers(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, pools(t, r, ""))
	for _, prefix := range []string{"py:", "js:", "c:"} {
		t.Run(prefix, func(t *testing.T) { worker(t, r, d, prefix) })
	}
}

func worker(t *testing.T, r *Redis, d *Daemon, prefix string) {
	headers := map[string]string{"who": "Jürgen"}
	for _, test := range []struct{ what, payload, outcome, result, failure string }{
		{"echo", "\x00binary\xff", "completed", "\x00binary\xff", ""},
		{"echo", strings.Repeat("long", 10000), "completed", strings.Repeat("long", 10000), ""},
		{"echo", "", "completed", "", ""},
		{"nothing", "x", "completed", "", ""},
		{"fail", "0", "retried", "", "no such thing"},
		{"permanent", "0", "archived", "", "never"},
		{"revoke", "0", "revoked", "", "not wanted"},
		{"snooze", "55000", "snoozed", "", "asleep"},
		{"crash", "x", "retried", "", ": killed by signal 11 (Segmentation fault)"},
		{"unheard-of", "x", "archived", "", "unction for the type"},
	} {
		id := prefix + test.what + fmt.Sprint(len(test.payload))
		enqueueTask(t, r, id, asynq.NewTaskWithHeaders(prefix+test.what, []byte(test.payload), headers), asynq.MaxRetry(7))
		line := d.Attempt(id, 1)
		failure := test.failure
		if prefix == "c:" && failure != "" && test.what != "crash" && test.what != "unheard-of" {
			failure = "no such thing"
		}
		if text, _ := line["error"].(string); line["outcome"] != test.outcome || !strings.Contains(text, failure) {
			t.Errorf("%s: %v", id, line)
		}
		if test.outcome == "completed" {
			Eventually(t, 20*time.Second, id, func() bool { return info(t, r, id).State == asynq.TaskStateCompleted })
			if got := string(info(t, r, id).Result); got != test.result {
				t.Errorf("%s: result %.100q", id, got)
			}
		}
	}
	if prefix == "c:" {
		id := "c:describe"
		enqueueTask(t, r, id, asynq.NewTaskWithHeaders(id, nil, headers), asynq.MaxRetry(7))
		d.Attempt(id, 1)
		Eventually(t, 20*time.Second, id, func() bool { return info(t, r, id).State == asynq.TaskStateCompleted })
		if got := string(info(t, r, id).Result); got != "c:describe c:describe default 0 7 Jürgen" {
			t.Errorf("%s: %q", id, got)
		}
		return
	}
	id := prefix + "json"
	enqueueTask(t, r, id, asynq.NewTaskWithHeaders(id, []byte(`{"a": [1, null]}`), headers), asynq.MaxRetry(7), asynq.Timeout(100*time.Second))
	d.Attempt(id, 1)
	Eventually(t, 20*time.Second, id, func() bool { return info(t, r, id).State == asynq.TaskStateCompleted })
	var got, want M
	json.Unmarshal(info(t, r, id).Result, &got)
	json.Unmarshal([]byte(`{"id": "`+id+`", "type": "`+id+`", "queue": "default", "retried": 0, "max_retry": 7, "headers": {"who": "Jürgen"},
		"payload": {"a": [1, null]}}`), &want)
	if left, _ := got["left"].(float64); left < 90 || left > 100 {
		t.Errorf("%s: %v s are left", id, left)
	}
	delete(got, "left")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", id, got, want)
	}
	id = prefix + "retry-in"
	enqueue(t, r, id, id, "", asynq.MaxRetry(3))
	if line := d.Attempt(id, 1); line["error"] != "later" || line["next_in_ms"].(float64) < 75000 || line["next_in_ms"].(float64) > 77000 {
		t.Errorf("%s: %v", id, line)
	}
	id = prefix + "log"
	enqueue(t, r, id, id, "")
	d.Attempt(id, 1)
	Eventually(t, 20*time.Second, "what it says", func() bool {
		return len(d.Find("task "+id+": hello from a task")) == 1 && len(d.Find("stdout: printed")) > 0
	})
}

// TestWorkerFaults: whatever a process does, its task has one failed attempt with a readable error, and others go on.
func TestWorkerFaults(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, pools(t, r, ", size: 2, memory_limit: 200MB"))
	fork := filepath.Join(d.Dir, "child")
	for _, test := range []struct{ id, payload, failure, class string }{
		{"py:crash", "", "worker python: killed by signal 11 (Segmentation fault): about to crash", "signal"},
		{"py:exit", "", "worker python: exit status 3: giving up", "exit_status"},
		{"py:hog", "", "worker python: it had ", "memory"},
		{"py:fork", fork, "worker python: killed by signal 9 (Killed)", "signal"},
		{"py:loop", "", "context deadline exceeded", ""},
		{"js:loop", "", "context deadline exceeded", ""},
		{"py:garbage", "", "worker python: a frame of 5 bytes is no map of MessagePack; killed by signal 9", "protocol"},
		{"py:huge", "", "worker python: it sent a frame of 4294967299 bytes; the maximum is 67108864; killed", "protocol"},
		{"py:claims", "", "worker python: a frame of 5 bytes claims to have more in it; killed", "protocol"},
		{"py:stranger", "", "worker python: it ended call 99, which it does not have; killed", "protocol"},
	} {
		timeout := 30 * time.Second
		if strings.HasSuffix(test.id, "loop") {
			timeout = time.Second
		}
		enqueue(t, r, test.id, test.id, test.payload, asynq.MaxRetry(5), asynq.Timeout(timeout))
		line := d.Attempt(test.id, 1)
		class, _ := line["error_class"].(string)
		if text, _ := line["error"].(string); line["outcome"] != "retried" || !strings.HasPrefix(text, test.failure) ||
			(test.class != "" && class != test.class) {
			t.Errorf("%s: %v", test.id, line)
		}
		other := "beside " + test.id
		enqueue(t, r, other, "py:echo", "x")
		if line := d.Attempt(other, 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
	text, _ := os.ReadFile(fork)
	Eventually(t, 20*time.Second, "the child that was left behind to end", func() bool {
		state, err := os.ReadFile("/proc/" + string(text) + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	})
	for _, line := range d.Attempts("") {
		if n := len(d.Attempts(line["task"].(string))); n != 1 {
			t.Errorf("%d attempts at %v", n, line["task"])
		}
	}
	IsWell(t, r)
}

// TestWorkerCancel: a task hears that it is cancelled; one that does not end is killed with its process, and what ran beside
// it in the process runs again without having failed.
func TestWorkerCancel(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, pools(t, r, ""))
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	for _, id := range []string{"py:wait", "js:wait"} {
		path := filepath.Join(d.Dir, id)
		enqueue(t, r, id, id, path)
		content := func(want string) {
			t.Helper()
			Eventually(t, 20*time.Second, id+" to be "+want, func() bool { text, _ := os.ReadFile(path); return string(text) == want })
		}
		content("waiting")
		if err := inspector.CancelProcessing(id); err != nil {
			t.Fatal(err)
		}
		content("cancelled")
	}
	path := filepath.Join(d.Dir, "c:wait")
	enqueue(t, r, "c:wait", "c:wait", path, asynq.Timeout(time.Second))
	Eventually(t, 20*time.Second, "c:wait to be cancelled", func() bool { text, _ := os.ReadFile(path); return string(text) == "cancelled" })
	// The processes are still the same: each next task has the process of the one before.
	if crashes := d.Find("killed by"); len(crashes) > 0 {
		t.Errorf("%v", crashes)
	}
}

// TestWorkerPoolSize: a pool has as many processes as it shall, each with a task at the same time as the others, and no more.
func TestWorkerPoolSize(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, pools(t, r, ", size: 3"))
	at := filepath.Join(d.Dir, "met")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		enqueue(t, r, fmt.Sprint("meet-", i), "py:meet", `{"at": "`+at+`", "processes": 3}`, asynq.Timeout(2*time.Minute))
	}
	Eventually(t, time.Minute, "three tasks to be run at once", func() bool { return len(d.Attempts("")) == 3 })
	for _, line := range d.Attempts("") {
		if line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
	for i := range 30 {
		enqueue(t, r, fmt.Sprint("more-", i), "py:meet", `{"at": "`+at+`", "processes": 3}`)
	}
	Eventually(t, time.Minute, "more tasks", func() bool { return len(d.Attempts("")) == 33 })
	if met, err := os.ReadDir(at); len(met) != 3 {
		t.Errorf("%d processes have run tasks (%v)", len(met), err)
	}
}

// TestWorkerNeighbours: what runs in the same process as a task that had to be killed runs again, and has not failed.
func TestWorkerNeighbours(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
queues: {many: 1}
concurrency: 20
routes: [{type: "py:", worker: many}]
workers:
  many: {argv: [/usr/bin/python3, `+program("worker.py")+`, "5"], kill_timeout: 300ms, max_concurrent_tasks: 3}
`)
	for i := range 6 {
		enqueue(t, r, fmt.Sprint("sleep-", i), "py:sleep", "1.5", asynq.Queue("many"))
	}
	enqueue(t, r, "first", "py:sleep", "0.1", asynq.Queue("many"))
	d.Attempt("first", 1)
	enqueue(t, r, "hung", "py:sleep", "60", asynq.Queue("many"), asynq.Timeout(time.Second))
	enqueue(t, r, "innocent", "py:sleep", "2", asynq.Queue("many"))
	if line := d.Attempt("hung", 1); line["error"] != "context deadline exceeded" {
		t.Errorf("%v", line)
	}
	line := d.Attempt("innocent", 1)
	if line["outcome"] != "snoozed" || !strings.Contains(line["error"].(string), "a task had to end, and did not within 0.3 s") {
		t.Errorf("%v", line)
	}
	if line := d.Attempt("innocent", 2); line["outcome"] != "completed" || line["attempt"] != 1.0 {
		t.Errorf("%v", line)
	}
	for i := range 6 {
		if line := d.Attempt(fmt.Sprint("sleep-", i), 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
}

// TestWorkerRecycling: a process is replaced after so many tasks, and when it has become large; no task notices.
func TestWorkerRecycling(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, pools(t, r, ", max_tasks_per_process: 3"))
	pids := map[string]int{}
	for i := range 9 {
		id := fmt.Sprint("pid-", i)
		enqueue(t, r, id, "py:pid", "")
		if line := d.Attempt(id, 1); line["outcome"] != "completed" {
			t.Fatalf("%v", line)
		}
		Eventually(t, 20*time.Second, id, func() bool { return info(t, r, id).State == asynq.TaskStateCompleted })
		pids[string(info(t, r, id).Result)]++
	}
	if len(pids) != 3 {
		t.Errorf("tasks by process: %v", pids)
	}
	for pid, n := range pids {
		if n != 3 {
			t.Errorf("process %s ran %d tasks", pid, n)
		}
	}
}

// TestWorkerUpkeep: a process that has grown is replaced when it has ended its task, which does not notice; one that is silent for
// too long is killed, one that gives signs of life is not.
func TestWorkerUpkeep(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "py:grow", worker: large}
  - {type: "py:pid", worker: large}
  - {type: "py:", worker: silent}
workers:
  large: {argv: [/usr/bin/python3, `+program("worker.py")+`], soft_memory_limit: 80MB}
  silent: {argv: [/usr/bin/python3, `+program("worker.py")+`], heartbeat_timeout: 2s}
`)
	result := func(id string) string {
		t.Helper()
		if line := d.Attempt(id, 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
		return string(settled(t, r, d, id).Result)
	}
	enqueue(t, r, "first", "py:grow", "2.5") // longer than it takes to be seen
	first := result("first")
	Eventually(t, 20*time.Second, "another process", func() bool {
		id := fmt.Sprint("pid-", time.Now().UnixNano())
		enqueue(t, r, id, "py:pid", "")
		return result(id) != first
	})
	if crashes := d.Find("killed"); len(crashes) > 0 {
		t.Errorf("%v", crashes)
	}
	enqueue(t, r, "busy", "py:beat", "5")
	result("busy")
	enqueue(t, r, "silent", "py:sleep", "30", asynq.MaxRetry(3))
	if line := d.Attempt("silent", 1); line["outcome"] != "retried" || line["error_class"] != "silence" ||
		!strings.HasPrefix(line["error"].(string), "worker silent: it was silent for ") {
		t.Errorf("%v", line)
	}
}

// TestWorkerStart: a program that cannot be started, says nothing, or speaks another version costs no task an attempt; when it
// is repaired, the tasks run.
func TestWorkerStart(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	mark := filepath.Join(r.Dir, "repaired")
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 50
routes:
  - {type: "missing", worker: missing}
  - {type: "broken", worker: broken}
  - {type: "silent", worker: silent}
  - {type: "old", worker: old}
  - {type: "py:", worker: heals}
workers:
  missing: {argv: [/no/such/worker]}
  broken: {argv: [/usr/bin/python3, `+program("worker.py")+`, broken]}
  silent: {argv: [/usr/bin/python3, `+program("worker.py")+`, silent], start_timeout: 300ms}
  old: {argv: [/usr/bin/python3, `+program("worker.py")+`, old]}
  heals: {argv: [/usr/bin/python3, `+program("worker.py")+`, heals, `+mark+`]}
`)
	for _, test := range []struct{ id, failure string }{
		{"missing", "worker process not started: pool missing: cannot run it: No such file or directory"},
		{"broken", "worker process not started: pool broken: worker broken: exit status 1: cannot import what it needs"},
		{"silent", "worker process not started: pool silent: worker silent: it did not say hello within 0.3 s; killed"},
		{"old", "worker process not started: pool old: worker old: it speaks version 99 of the worker protocol, asynqd version 1; killed"},
		{"py:echo", "worker process not started: pool heals: worker heals: exit status 1: not yet"},
	} {
		enqueue(t, r, test.id, test.id, "x")
		Eventually(t, 30*time.Second, "the failure of "+test.id, func() bool { return len(d.Find(test.failure)) > 1 })
		if task := info(t, r, test.id); task.Retried != 0 || task.State != asynq.TaskStatePending || len(d.Attempts(test.id)) != 0 {
			t.Errorf("%s: %v, retried %d", test.id, task.State, task.Retried)
		}
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 60*time.Second, "the repaired pool to run the task", func() bool {
		attempts := d.Attempts("py:echo")
		return len(attempts) == 1 && attempts[0]["outcome"] == "completed"
	})
}

// TestWorkerReadme: the example in contrib/workers/README.md is a worker.
func TestWorkerReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../contrib/workers/README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, rest, _ := strings.Cut(string(text), "```"+language+"\n")
		found, _, is := strings.Cut(rest, "```")
		if !is {
			t.Fatalf("there is no %s in it", language)
		}
		return found
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "evaluate.py"), []byte(block("python")), 0o600); err != nil {
		t.Fatal(err)
	}
	libraries, _ := filepath.Abs("../../../contrib/workers/python")
	r := StartRedis(t)
	config := strings.NewReplacer("[python3, evaluate.py]", "[/usr/bin/python3, evaluate.py]",
		"size: 4", "process: {working_directory: "+dir+", env: {PYTHONPATH: "+libraries+"}}").Replace(block("yaml"))
	d := StartDaemon(t, "redis: "+r.URI()+"\n"+config)
	enqueue(t, r, "fine", "eval:run", `{"answer": "four"}`)
	if task := settled(t, r, d, "fine"); string(task.Result) != `{"score": 4}` {
		t.Errorf("%q, %q", task.Result, task.LastErr)
	}
	enqueue(t, r, "bad", "eval:run", `{}`, asynq.MaxRetry(5))
	if line := d.Attempt("bad", 1); line["outcome"] != "archived" || line["error"] != "there is nothing to evaluate" {
		t.Errorf("%v", line)
	}
}

// TestSlowToEnd: a process that was told to end, and is killed as it does not, has not crashed.
func TestSlowToEnd(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	program := pythonWorker(t)
	text, _ := os.ReadFile(program)
	os.WriteFile(program, append(text, []byte("import time\ntime.sleep(600)\n")...), 0o600)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes: [{type: "pid", worker: slow}]
workers: {slow: {argv: [/usr/bin/python3, `+program+`], max_tasks_per_process: 1, kill_timeout: 50ms}}
`)
	for i := range 2 {
		id := fmt.Sprint("pid-", i)
		enqueue(t, r, id, "pid", "")
		if line := d.Attempt(id, 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
	Eventually(t, 20*time.Second, "another process", func() bool {
		return metric(t, d, `asynqd_worker_starts_total{pool="slow"}`) >= 3
	})
	if crashes := metric(t, d, `asynqd_worker_crashes_total{pool="slow"}`); crashes != 0 {
		t.Errorf("%v crashes", crashes)
	}
}

// TestPoolBeyondConcurrency: asynqd tells when processes have more room than its concurrency lets it use, also after a reload.
func TestPoolBeyondConcurrency(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	configuration := func(concurrency int) string {
		return fmt.Sprintf(`
redis: %s
concurrency: %d
routes: [{type: "py:", worker: python}]
workers: {python: {argv: [/usr/bin/python3, %s, "2"], size: 3}}
`, r.URI(), concurrency, program("worker.py"))
	}
	const limited = "worker pool limited: python: its processes have room for 6 tasks at the same time, and concurrency is "
	d := StartDaemon(t, configuration(5))
	Eventually(t, 60*time.Second, "the pool to be told of", func() bool { return len(d.Find(limited+"5")) == 1 })
	d.Configure(configuration(6))
	d.Signal(syscall.SIGHUP)
	Eventually(t, 60*time.Second, "the reload", func() bool { return len(d.Find("configuration reloaded: ")) == 1 })
	enqueueTask(t, r, "py:echo", asynq.NewTask("py:echo", nil))
	d.Attempt("py:echo", 1)
	if told := d.Find("worker pool limited"); len(told) != 1 {
		t.Errorf("it is told of once more: %v", told)
	}
}
