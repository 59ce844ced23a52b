package daemon

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// enqueueMany enqueues n tasks with ids from id0 on.
func enqueueMany(t testing.TB, r *Redis, id, taskType string, n int, opts ...asynq.Option) {
	t.Helper()
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	for i := range n {
		options := append([]asynq.Option{asynq.TaskID(id + strconv.Itoa(i)), asynq.Retention(time.Hour)}, opts...)
		if _, err := client.Enqueue(asynq.NewTask(taskType, nil), options...); err != nil {
			t.Fatal(err)
		}
	}
}

// get is the body of a page, whatever its status.
func get(t testing.TB, url string) string {
	t.Helper()
	_, body := ask(t, "GET", url, "")
	return body
}

// queueInfo is the queue as Go sees it.
func queueInfo(t testing.TB, r *Redis) *asynq.QueueInfo {
	t.Helper()
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	queue, err := inspector.GetQueueInfo("default")
	if err != nil {
		t.Fatal(err)
	}
	return queue
}

// TestUnreadLog: nobody reads standard error; tasks go on, end-points answer, TERM ends asynqd, and what was dropped is
// told.
func TestUnreadLog(t *testing.T) {
	t.Parallel()
	const tasks = 12000
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 50
routes: [{type: "known", http: {url: "http://127.0.0.1:1/"}}]
`)
	url := d.URL()
	release := d.HoldLog()
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	long := strings.Repeat("long", 100) // no route takes it; its lines fill more than the queue of the log
	for i := range tasks {
		if _, err := client.Enqueue(asynq.NewTask(long+strconv.Itoa(i), nil), asynq.MaxRetry(0)); err != nil {
			t.Fatal(err)
		}
	}
	Eventually(t, 120*time.Second, "all tasks to be archived though nobody reads the log", func() bool {
		queue := queueInfo(t, r)
		return queue.Archived >= 9000 && queue.Pending+queue.Active == 0 // Asynq keeps 10,000 at most
	})
	if body := get(t, url+"/healthz"); !strings.Contains(body, "alive") {
		t.Error(body)
	}
	dropped := metric(t, d, "asynqd_log_lines_dropped_total")
	if dropped < 1 || dropped > 2*tasks {
		t.Errorf("%v lines were dropped", dropped)
	}
	release()
	Eventually(t, 30*time.Second, "the log to go on", func() bool { return len(d.Lines()) > 1000 })
	enqueue(t, r, "last", "unknown", "")
	Eventually(t, 30*time.Second, "the loss to be told", func() bool {
		return len(d.Find("log lines were dropped, as they were not read in time")) > 0
	})

	// Again, and it is told to end meanwhile.
	release = d.HoldLog()
	enqueueMany(t, r, "more", long, 2000, asynq.MaxRetry(0))
	Eventually(t, 60*time.Second, "the tasks to be archived", func() bool { return queueInfo(t, r).Pending == 0 })
	d.Signal(syscall.SIGTERM)
	go func() {
		time.Sleep(8 * time.Second) // longer than it waits for a reader; exec waits for the log's end
		release()
	}()
	d.End()
}

// TestBurstOfCommands: thousands of commands at once; end-points are answered in between.
func TestBurstOfCommands(t *testing.T) {
	t.Parallel()
	const tasks, answersWanted = 1500, 40
	r := StartRedis(t)
	enqueueMany(t, r, "c", "quick", tasks)
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 200
log: {attempts: false}
routes: [{type: "quick", command: {argv: ["/bin/true"]}}]
`)
	answers := 0
	for queueInfo(t, r).Completed < tasks {
		get(t, d.URL()+"/healthz")
		answers++
	}
	t.Logf("%d answers of /healthz while %d commands ran", answers, tasks)
	if answers < answersWanted {
		t.Errorf("%d answers of /healthz while %d commands ran, want %d at least", answers, tasks, answersWanted)
	}
	if turns := metric(t, d, "asynqd_loop_busy_seconds_count"); turns < answersWanted {
		t.Errorf("%v turns of the loop were measured", turns)
	}
}

// TestFewDescriptors: asynqd has too few descriptors for what it is told to run. Tasks wait; none is charged with it.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	const tasks = 120
	r := StartRedis(t)
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(50 * time.Millisecond) // so that many are under way
	}))
	t.Cleanup(service.Close)
	enqueueMany(t, r, "c", "command", tasks, asynq.MaxRetry(2))
	enqueueMany(t, r, "h", "http", tasks, asynq.MaxRetry(2))
	enqueueMany(t, r, "p", "piped", tasks, asynq.MaxRetry(0))
	d := StartDaemonAfter(t, "ulimit -n 80", fmt.Sprintf(`
redis: %s
concurrency: 300
routes:
  - {type: "command", command: {argv: [sleep, "0.2"]}}
  - {type: "piped", command: {argv: [cat]}}
  - {type: "http", http: {url: "%s/", targets: {private_addresses: allow}}}
`, r.URI(), service.URL))
	if len(d.Find("files may be open with concurrency 300, and the limit (ulimit -n, LimitNOFILE) is 80")) != 1 {
		t.Errorf("no warning at the start: %s", d.Text())
	}
	Eventually(t, 60*time.Second, "the want to be told in the log", func() bool {
		return len(d.Find("resources exhausted: ")) > 0
	})
	Eventually(t, 240*time.Second, "all tasks to be completed", func() bool {
		queue := queueInfo(t, r)
		if queue.Archived+queue.Retry > 0 {
			t.Fatalf("%d archived, %d to be retried", queue.Archived, queue.Retry)
		}
		return queue.Completed == 3*tasks
	})
	for _, line := range d.Attempts("") {
		if line["outcome"] != "completed" && line["outcome"] != "requeued" {
			t.Errorf("an attempt was charged: %v", line)
		}
	}
	Eventually(t, 120*time.Second, "readiness to come back", func() bool {
		return strings.Contains(get(t, d.URL()+"/readyz"), `"resources":"ok"`)
	})
}

// TestOthersGoOn: processes are lacking; what needs none does not wait for them.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	const commands = 300
	r := StartRedis(t)
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(service.Close)
	enqueueMany(t, r, "c", "command", commands, asynq.MaxRetry(0))
	d := StartDaemonAfter(t, "ulimit -n 80", fmt.Sprintf(`
redis: %s
concurrency: 200
shutdown_timeout: 1s
routes:
  - {type: "command", command: {argv: [sleep, "2"]}}
  - {type: "http", http: {url: "%s/", max_connections_per_host: 3, targets: {private_addresses: allow}}}
`, r.URI(), service.URL))
	Eventually(t, 60*time.Second, "the want to be told in the log", func() bool {
		return len(d.Find("resources exhausted: ")) > 0
	})
	enqueueMany(t, r, "h", "http", 20, asynq.MaxRetry(0))
	Eventually(t, 60*time.Second, "the requests to be made", func() bool {
		queue := queueInfo(t, r)
		done := 0
		for i := range 20 {
			if len(d.Attempts(fmt.Sprint("h", i))) > 0 {
				done++
			}
		}
		if done < 20 && queue.Pending == 0 {
			t.Fatalf("all commands had begun before the requests were made")
		}
		return done == 20
	})
	if body := get(t, d.URL()+"/readyz"); !strings.Contains(body, `"ready"`) || !strings.Contains(body, "Too many open files") {
		t.Error(body)
	}
}

// TestLogOfAnyBytes: what a process writes is shown, whatever bytes it has.
func TestLogOfAnyBytes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes: [{type: "says", command: {shell: 'cat >&2; exit 1'}}]
workers: {pool: {start_timeout: 60s, argv: [sh, -c, "printf 'caf\\351 told\\n' >&2; sleep 50"]}}
`)
	enqueue(t, r, "latin1", "says", "caf\xe9 \x1b[31m \xc2\x9b1m end")
	line := d.Attempt("latin1", 1)
	if text, _ := line["error"].(string); !strings.Contains(text, "caf? ") || !strings.Contains(text, " end") {
		t.Errorf("%v", line)
	}
	Eventually(t, 20*time.Second, "what the process has written", func() bool { return len(d.Find("caf? told")) > 0 })
}

// TestOrphans: as the first process of a container, asynqd is the parent of what children leave behind.
func TestOrphans(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	subreaper := `set -- python3 -c 'import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])' "$@"`
	d := StartDaemonAfter(t, subreaper, `
redis: `+r.URI()+`
routes: [{type: "leaves", command: {shell: 'setsid sleep 0.1 & echo $!'}}]
`)
	for i := range 5 {
		id := fmt.Sprint("orphan", i)
		enqueue(t, r, id, "leaves", "")
		pid := strings.TrimSpace(string(settled(t, r, d, id).Result))
		Eventually(t, 30*time.Second, "the orphan "+pid+" to be gone", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || !strings.Contains(string(stat), "(sleep)")
		})
	}
}

// TestHaltStaysOverReload: no tasks are taken after TSTP, also when the configuration is read again.
func TestHaltStaysOverReload(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+`
routes: [{type: "quick", command: {argv: ["true"]}}]
`)
	d.Signal(syscall.SIGTSTP)
	Eventually(t, 20*time.Second, "no more tasks to be taken", func() bool { return len(d.Find("server quiet: ")) == 1 })
	d.Signal(syscall.SIGHUP)
	Eventually(t, 20*time.Second, "the configuration to be read", func() bool { return len(d.Find("configuration reloaded: ")) == 1 })
	Eventually(t, 20*time.Second, "the new server to have stopped", func() bool { return len(d.Find("server quiet: ")) == 2 })
	enqueue(t, r, "later", "quick", "")
	Eventually(t, 20*time.Second, "readiness to say so", func() bool { // its state and the log come from two threads
		return strings.Contains(get(t, d.URL()+"/readyz"), "no new tasks are taken")
	})
	d.End()
	if state := info(t, r, "later").State; state != asynq.TaskStatePending {
		t.Errorf("the task is %v", state)
	}
}

// TestSecondTerm: who says it twice does not want to wait for running tasks. They go back, uncharged.
func TestSecondTerm(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+`
shutdown_timeout: 10m
routes: [{type: "long", command: {argv: [sleep, "600"]}}]
`)
	enqueue(t, r, "long", "long", "")
	Eventually(t, 20*time.Second, "the task to run", func() bool { return info(t, r, "long").State == asynq.TaskStateActive })
	d.Signal(syscall.SIGTERM)
	Eventually(t, 20*time.Second, "asynqd to wait", func() bool { return len(d.Find("server shutting down: 1 tasks are running")) == 1 })
	d.Signal(syscall.SIGTERM)
	d.End()
	if task := info(t, r, "long"); task.State != asynq.TaskStatePending || task.Retried != 0 {
		t.Errorf("the task is %v, after %d retries", task.State, task.Retried)
	}
}

// TestSilentNameServer: names that nobody resolves hold neither the loop nor other hosts, and do not cost a thread each.
func TestSilentNameServer(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can put another name server in front of a process")
	}
	const tasks, threadsWanted = 200, 120
	server, err := net.ListenPacket("udp", "127.66.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	resolver := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver 127.66.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.Redirect(w, r, "http://"+r.URL.Path[1:]+".elsewhere.example/", http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(service.Close)
	r := StartRedis(t)
	d := StartDaemonAfter(t, `set -- unshare --mount sh -c 'mount --bind `+resolver+` /etc/resolv.conf && exec "$@"' sh "$@"`, `
redis: `+r.URI()+`
concurrency: 400
routes:
  - {type: "named", http: {url: "http://{{payload}}.example/", connect_timeout: 2s}}
  - {type: "redirected", http: {url: "`+service.URL+`/{{payload}}", max_redirects: 1, task_headers: false, connect_timeout: 2s, targets: {private_addresses: allow}}}
  - {type: "numbered", http: {url: "`+service.URL+`/", targets: {private_addresses: allow}}}
`)
	for i := range tasks {
		enqueue(t, r, fmt.Sprint("named", i), "named", fmt.Sprint("host", i))
	}
	for i := range tasks {
		enqueue(t, r, fmt.Sprint("redirected", i), "redirected", fmt.Sprint("host", i))
	}
	d.Attempt("named0", 1) // so that they are under way, and the first are given up
	enqueue(t, r, "numbered", "numbered", "")
	if line := d.Attempt("numbered", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	named := 0
	for _, line := range d.Attempts("") {
		if line["type"] == "named" {
			named++
		}
	}
	if named >= tasks {
		t.Errorf("%d attempts have ended before that of another host", named)
	}
	if body := get(t, d.URL()+"/healthz"); !strings.Contains(body, "alive") {
		t.Error(body)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", d.Pid()))
	if err != nil || len(threads) > threadsWanted {
		t.Errorf("%d threads for %d tasks, %v", len(threads), tasks, err)
	}
	if class := d.Attempt("named0", 1)["error_class"]; class != "timeout" && class != "dns" {
		t.Errorf("the first attempt has ended with %v", class)
	}
	d.Kill() // the rest would take a while
}

// residentMB is the resident memory of a process.
func residentMB(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kB, _ := strconv.Atoi(strings.Fields(after)[0])
	return kB / 1024
}

// TestMemoryAfterLargePayloads: what large tasks need is given back when they are gone.
func TestMemoryAfterLargePayloads(t *testing.T) {
	t.Parallel()
	const tasks, bytes, toleratedMB = 40, 5 << 20, 300 // an address sanitizer keeps up to 256 MB
	r := StartRedis(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 100
log: {attempts: false}
routes: [{type: "large", http: {url: "http://`+listener.Addr().String()+`/", timeout: 5s, targets: {private_addresses: allow}}}]
`)
	before := residentMB(t, d.Pid())
	payload := strings.Repeat("x", bytes)
	for i := range tasks {
		enqueue(t, r, fmt.Sprint("large", i), "large", payload)
	}
	Eventually(t, 240*time.Second, "the tasks to have ended", func() bool {
		queue := queueInfo(t, r)
		return queue.Pending+queue.Active == 0
	})
	Eventually(t, 20*time.Second, "the memory to be given back", func() bool {
		return residentMB(t, d.Pid()) < before+toleratedMB
	})
	t.Logf("%d MB before, %d MB after", before, residentMB(t, d.Pid()))
}

// TestClosedStreams: asynqd is started without standard streams; no connection gets their numbers.
func TestClosedStreams(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	file := filepath.Join(t.TempDir(), "asynqd.yaml")
	if err := os.WriteFile(file, []byte("redis: "+r.URI()+"\nroutes: [{type: ends, command: {argv: [\"true\"]}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asynqd := DaemonCommand("--config", file, "--endpoints-listen", "", "--log-level", "debug")
	cmd := exec.Command("sh", append([]string{"-c", `exec "$@" <&- >&- 2>&-`, "sh"}, asynqd.Args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	enqueue(t, r, "ends", "ends", "")
	Eventually(t, 20*time.Second, "the task to be completed", func() bool {
		return info(t, r, "ends").State == asynq.TaskStateCompleted
	})
	for fd := range 3 {
		if place, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", cmd.Process.Pid, fd)); place != "/dev/null" {
			t.Errorf("descriptor %d is %s, %v", fd, place, err)
		}
	}
}

// startWith starts asynqd from a program that leaves it these signals; `setup` is Python.
func startWith(t *testing.T, limits, setup, config string) *Daemon {
	t.Helper()
	return StartDaemonAfter(t, limits+`
set -- python3 -c 'import os, sys
from signal import *
`+setup+`
os.execvp(sys.argv[1], sys.argv[1:])' "$@"`, config)
}

// TestInheritedSignals: whatever signals the program that starts asynqd has ignored or blocked, the ends of processes are
// learned, signals count, and what cannot be written is an error of who writes.
func TestInheritedSignals(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := startWith(t, "ulimit -f 20", `signal(SIGXFSZ, SIG_DFL)
signal(SIGPIPE, SIG_DFL)
for number in SIGCHLD, SIGHUP, SIGTERM, SIGTSTP: signal(number, SIG_IGN)
pthread_sigmask(SIG_BLOCK, [SIGCHLD, SIGHUP, SIGTERM, SIGTSTP, SIGINT])`, `
redis: `+r.URI()+`
routes:
  - {type: "quick", command: {argv: [sh, -c, "grep -E 'Sig(Blk|Ign)' /proc/self/status"]}}
  - {type: "file", command: {argv: [cat], input: file}}
`)
	enqueue(t, r, "quick", "quick", "", asynq.Retention(time.Hour))
	line, result := d.Attempt("quick", 1), string(settled(t, r, d, "quick").Result)
	if line["outcome"] != "completed" || strings.Count(result, "0000000000000000") != 2 {
		t.Errorf("%v: %q", line, result)
	}
	enqueue(t, r, "file", "file", strings.Repeat("x", 100000))
	if line := d.Attempt("file", 1); !strings.Contains(fmt.Sprint(line["error"]), "File too large") {
		t.Errorf("%v", line)
	}
	d.Signal(syscall.SIGHUP)
	Eventually(t, 20*time.Second, "the configuration to be read", func() bool { return len(d.Find(wasRead)) == 1 })
}

// TestHungFileSystem: the directory of a command is on a file system that hangs. The others go on.
func TestHungFileSystem(t *testing.T) {
	t.Parallel()
	files, r := MountHungFiles(t), StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "hung", command: {argv: ["true"], process: {working_directory: `+files.Dir+`}}}
  - {type: "quick", command: {argv: ["true"]}}
`)
	t.Cleanup(files.Abort) // before asynqd has to end
	enqueue(t, r, "before", "hung", "")
	if line := d.Attempt("before", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	files.Hang()
	enqueue(t, r, "hung", "hung", "")
	Eventually(t, 20*time.Second, "the command to wait for its directory", func() bool { return files.Asked() > 0 })
	enqueue(t, r, "quick", "quick", "")
	if line := d.Attempt("quick", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	files.Abort()
	if line := d.Attempt("hung", 1); !strings.Contains(fmt.Sprint(line["error"]), "cannot enter its working directory") {
		t.Errorf("%v", line)
	}
}
