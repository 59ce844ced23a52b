package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// reload has asynqd read another configuration, and waits for what it says about it.
func reload(t testing.TB, d *Daemon, config, says string) {
	t.Helper()
	before := len(d.Find(says))
	d.Configure(config)
	d.Signal(syscall.SIGHUP)
	Eventually(t, 20*time.Second, "the line \""+says+"\"", func() bool { return len(d.Find(says)) > before })
}

// takeOver is reload for an asynqd that runs no task, and waits until the server of the old configuration has ended: until
// then it can still take a task.
func takeOver(t testing.TB, d *Daemon, config string) {
	t.Helper()
	before := len(d.Find("server stopped: "))
	reload(t, d, config, wasRead)
	Eventually(t, 20*time.Second, "the old server to end", func() bool { return len(d.Find("server stopped: ")) > before })
}

const wasRead = "configuration reloaded: "

// TestReload: what a change of the configuration changes.
func TestReload(t *testing.T) {
	t.Parallel()
	r, s := StartRedis(t), startTarget(t)
	schedule := filepath.Join(stateDir(t), "schedule.yaml")
	if err := os.WriteFile(schedule, []byte("entries: [{spec: '@every 1s', type: ticked}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := "redis: " + r.URI() + "\n"
	cat := "routes: [{type: t, command: {argv: [cat]}}]\n"
	d := StartDaemon(t, base+cat+"concurrency: 3\n")
	run := func(id, kind, queue, wanted string) {
		t.Helper()
		enqueueAs(t, r, id, kind, "", asynq.Queue(queue), asynq.Retention(time.Hour))
		d.Attempt(id, 1)
		result := ""
		Eventually(t, 20*time.Second, "the outcome of "+id+" in Redis", func() bool { // the log tells of it before it is written
			info, err := asynq.NewInspectorFromRedisClient(r.Client).GetTaskInfo(queue, id)
			if err == nil && info.State == asynq.TaskStateCompleted {
				result = string(info.Result)
			}
			return err == nil && info.State == asynq.TaskStateCompleted
		})
		if !strings.Contains(result, wanted) {
			t.Errorf("%s: %q", id, result)
		}
	}
	run("first", "t", "default", "")

	// Routes, and queues that come and go.
	takeOver(t, d, base+"queues: {other: 1, third: 5}\nroutes: [{type: t, http: {url: \""+s.URL+"/hello\"}}]\n")
	run("second", "t", "other", "POST /hello")
	run("third", "t", "third", "POST /hello")
	enqueueAs(t, r, "left", "t", "")
	for i := range 20 { // enqueued later, and run: the server has looked for tasks often enough to have found that one
		run(fmt.Sprint("later-", i), "t", []string{"other", "third"}[i%2], "POST /hello")
	}
	if r.Int("LLEN", QueueKey("default", "pending")) != 1 {
		t.Error("a queue that has gone is still served")
	}
	takeOver(t, d, base+"queues: {default: 1}\n"+cat)
	d.Attempt("left", 1)

	// Concurrency, and the log.
	takeOver(t, d, base+"concurrency: 7\nlog: {level: debug, attempts: false}\n"+cat)
	if metric(t, d, "asynqd_concurrency") != 7 {
		t.Error("the concurrency is the old one")
	}
	enqueueAs(t, r, "silent", "t", "", asynq.Retention(time.Hour))
	Eventually(t, 10*time.Second, "the task", func() bool {
		info, err := asynq.NewInspectorFromRedisClient(r.Client).GetTaskInfo("default", "silent")
		return err == nil && info.State == asynq.TaskStateCompleted
	})
	if len(d.Attempts("silent")) != 0 {
		t.Error("attempts are still logged")
	}

	// The schedule: while another one ticks, that which has gone does not.
	takeOver(t, d, base+cat+"schedule: {file: "+schedule+"}\n")
	ticks := func(kind string) (count int) {
		for _, line := range d.Attempts("") {
			if line["type"] == kind {
				count++
			}
		}
		return count
	}
	Eventually(t, 20*time.Second, "ticks", func() bool { return ticks("ticked") >= 2 })
	if err := os.WriteFile(schedule+".other", []byte("entries: [{spec: '@every 1s', type: other}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	takeOver(t, d, base+cat+"schedule: {file: "+schedule+".other}\n")
	Eventually(t, 20*time.Second, "other ticks", func() bool { return ticks("other") >= 2 })
	before, others := ticks("ticked"), ticks("other")
	Eventually(t, 30*time.Second, "more other ticks", func() bool { return ticks("other") >= others+3 })
	if after := ticks("ticked"); after != before {
		t.Errorf("a schedule that has gone goes on: %d, %d", before, after)
	}

	// What cannot change, and what is wrong.
	takeOver(t, d, base+cat+"endpoints: {token: x, listen: \"127.0.0.1:1\"}\nstate_directory: /elsewhere\nprivate_redis: {port: 4000}\n")
	for _, path := range []string{"endpoints.token", "state_directory", "private_redis.port"} {
		if len(d.Find("restart required: "+path+" changed")) != 1 {
			t.Errorf("nothing is said about %s: %s", path, d.Text())
		}
	}
	run("same", "t", "default", "")
	reload(t, d, base+"routes: [{type: t, comand: {argv: [cat]}}]\nconcurrency: 0\n", "reload failed: ")
	if len(d.Find(`did you mean "command"?`)) != 1 || len(d.Find("concurrency: ")) == 0 {
		t.Errorf("the mistakes are not told: %s", d.Text())
	}
	run("still", "t", "default", "")
	reload(t, d, base+"schedule: {file: /nowhere.yaml}\n"+cat, "schedule.file: /nowhere.yaml: No such file")
	run("and still", "t", "default", "")
	for text, says := range map[string]string{base: "has no routes", "": "has no routes", "# nothing\n": "has no routes",
		strings.Repeat("\x00", 4096): "is 0x00, which is not a character of a text"} {
		reload(t, d, text, says)
		if len(d.Find("reload failed: ")) == 0 {
			t.Errorf("%q is taken", text)
		}
	}
	run("at last", "t", "default", "")
	enqueueAs(t, r, "nobody's", "t", "")
	time.Sleep(time.Second)
	reload(t, d, base+cat, wasRead)
	d.Attempt("nobody's", 1)
}

// pythonWorker is a program for a pool.
func pythonWorker(t testing.TB) string {
	t.Helper()
	library, err := filepath.Abs("../../../contrib/workers/python")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(stateDir(t), "worker.py")
	text := "import os, sys\nsys.path.insert(0, '" + library + "')\nfrom asynq_worker import task, run\n" +
		"@task('pid')\ndef pid(t):\n    return str(os.getpid())\nrun()\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReloadOfPools: processes of a pool that is the same stay; another pool has others, and the old ones go.
func TestReloadOfPools(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	program := pythonWorker(t)
	config := func(more, routes string) string {
		return fmt.Sprintf("redis: %s\nroutes: [{type: pid, worker: pool}%s]\nworkers: {pool: {argv: [/usr/bin/python3, %s]%s}}\n", r.URI(), routes, program, more)
	}
	d := StartDaemon(t, config("", ""))
	n := 0
	pid := func() string {
		t.Helper()
		n++
		id := fmt.Sprint(n)
		enqueueAs(t, r, id, "pid", "", asynq.Retention(time.Hour))
		d.Attempt(id, 1)
		var result string // written after the attempt is told of
		Eventually(t, 20*time.Second, "the result of task "+id, func() bool {
			info, err := asynq.NewInspectorFromRedisClient(r.Client).GetTaskInfo("default", id)
			if err != nil {
				t.Fatal(err)
			}
			result = string(info.Result)
			return result != ""
		})
		return result
	}
	first := pid()
	takeOver(t, d, config("", ", {type: x, command: {argv: [cat]}}"))
	if again := pid(); again != first {
		t.Errorf("the process was %s and is %s", first, again)
	}
	takeOver(t, d, config(", max_tasks_per_process: 999", ""))
	second := pid()
	if second == first {
		t.Errorf("the pool is another one, the process is not")
	}
	Eventually(t, 20*time.Second, "the old process to end", func() bool {
		_, err := os.Stat("/proc/" + first)
		return os.IsNotExist(err)
	})
	d.End()
	if _, err := os.Stat("/proc/" + second); !os.IsNotExist(err) {
		t.Error("a process has outlived asynqd")
	}
}

// TestReloadUnderLoad: the configuration is read again and again while tasks run, short ones and long ones: none is lost,
// none runs twice, and there are never more at the same time than there may be.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	r, s := StartRedis(t), startTarget(t)
	config := func(n int) string {
		return fmt.Sprintf(`
redis: %s
concurrency: 10
queues: {default: %d, %s: 2}
routes:
- {type: "short", http: {url: "%s/short/{{task.id}}?n=%d"}}
- {type: "long", http: {url: "%s/sleep/{{payload}}?n=%d"}}
`, r.URI(), n%5+1, []string{"low", "critical"}[n%2], s.URL, n, s.URL, n)
	}
	d := StartDaemon(t, config(0))
	total, stop := atomic.Int32{}, make(chan bool)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		client := asynq.NewClientFromRedisClient(r.Client)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			task := asynq.NewTask("short", nil)
			if i%40 == 0 {
				task = asynq.NewTask("long", []byte("2500"))
			}
			if _, err := client.Enqueue(task, asynq.TaskID(fmt.Sprint("task ", i)), asynq.Queue([]string{"default", "default", "low", "critical"}[i%4])); err == nil {
				total.Add(1)
			}
		}
	}()
	for n := 1; n <= 15; n++ {
		time.Sleep(300 * time.Millisecond)
		reload(t, d, config(n), wasRead)
	}
	close(stop)
	<-ended
	left := func() int64 {
		return r.Int("LLEN", QueueKey("default", "pending")) + r.Int("LLEN", QueueKey("default", "active"))
	}
	Eventually(t, 60*time.Second, "the queue that is always served to be empty", func() bool { return left() == 0 })
	last := "redis: " + r.URI() + "\nqueues: {default: 1, low: 1, critical: 1}\n" + config(0)[strings.Index(config(0), "routes:"):]
	reload(t, d, last, wasRead)
	Eventually(t, 60*time.Second, "all to be completed", func() bool { return len(d.Attempts("")) >= int(total.Load()) })
	attempts := map[string]int{}
	for _, line := range d.Attempts("") {
		attempts[line["task"].(string)]++
		if line["outcome"] != "completed" || line["attempt"] != float64(1) {
			t.Errorf("an attempt is not as it should be: %v", line)
		}
	}
	if len(attempts) != int(total.Load()) {
		t.Errorf("%d tasks were run, %d were enqueued", len(attempts), total.Load())
	}
	if highest := s.highest.Load(); highest > 10 {
		t.Errorf("%d calls at the same time with a concurrency of 10", highest)
	}
	t.Logf("%d tasks", total.Load())
}

// TestEndAfterReload: TERM ends what an old configuration still runs, too.
func TestEndAfterReload(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := "redis: " + r.URI() + "\nshutdown_timeout: 1s\nroutes: [{type: t, command: {argv: [sleep, \"60\"]}}]\n"
	d := StartDaemon(t, config)
	for i := range 3 {
		enqueueAs(t, r, fmt.Sprint(i), "t", "")
		Eventually(t, 10*time.Second, "a task to run", func() bool { return r.Int("LLEN", QueueKey("default", "active")) == int64(i+1) })
		reload(t, d, config, wasRead)
	}
	if metric(t, d, "asynqd_running_tasks") != 3 {
		t.Error("the metric does not count tasks of older configurations")
	}
	d.End()
	if pending := r.Int("LLEN", QueueKey("default", "pending")); pending != 3 {
		t.Errorf("%d tasks were requeued", pending)
	}
}

// TestReloadBurst: however many signals come, also while the configuration is being read, the last file is what counts; and an
// end that comes meanwhile is one.
func TestReloadBurst(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := func(taskType string) string {
		return "redis: " + r.URI() + "\nroutes: [{type: '" + taskType + "', command: {argv: [cat]}}]\n"
	}
	d := StartDaemon(t, config("first"))
	for i := range 30 {
		d.Configure(config(fmt.Sprint("type-", i)))
		d.Signal(syscall.SIGHUP)
	}
	tries := 0
	Eventually(t, 30*time.Second, "the last configuration to be the one that counts", func() bool {
		tries++
		id := fmt.Sprint("last-", tries)
		enqueue(t, r, id, "type-29", "")
		return d.Attempt(id, 1)["outcome"] == "completed"
	})
	hanging := badPlugin(t, "for (;;) pause();")
	d.Configure("redis: " + r.URI() + "\nroutes: [{type: t, plugin: {path: " + hanging + ", isolate: true}}]\n")
	d.Signal(syscall.SIGHUP)
	d.End()
}

// TestEndWhileReading: the configuration is on a file system that hangs. asynqd ends all the same.
func TestEndWhileReading(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [cat]}}]\n")
	if err := os.Remove(d.File); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(d.File, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Signal(syscall.SIGHUP)
	Eventually(t, 20*time.Second, "the file to be opened", func() bool {
		file, err := os.OpenFile(d.File, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			t.Cleanup(func() { file.Close() })
		}
		return err == nil
	})
	d.Signal(syscall.SIGTERM)
	Eventually(t, 30*time.Second, "asynqd to end", d.HasEnded)
	if len(d.Find("still holds a thread after")) == 0 {
		t.Errorf("nothing is said: %s", d.Text())
	}
}

// TestRefusedWhileRedisHangs: parts of a configuration that cannot be taken have begun, and wait for Redis. Nobody else does.
func TestRefusedWhileRedisHangs(t *testing.T) {
	t.Parallel()
	r, path := StartRedis(t), buildPlugin(t)
	schedule := filepath.Join(stateDir(t), "schedule.yaml")
	if err := os.WriteFile(schedule, []byte("entries: [{spec: '@every 1s', type: ticked}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := "redis: " + r.URI() + "\nshutdown_timeout: 4s\nroutes: [{type: t, command: {argv: [cat]}}]\n"
	d := StartDaemon(t, good)
	pid := number(t, r.Text("INFO", "server"), `process_id:(\d+)`)
	t.Cleanup(r.Continue)
	reload(t, d, fmt.Sprintf(`
redis: %s
shutdown_timeout: 4s
schedule: {file: %s}
routes: [{type: t, plugin: {path: %s, config: refuse when %d is stopped}}]
`, r.URI(), schedule, path, pid), staysAsItIs)
	get(t, d.URL()+"/healthz")
	r.Continue()
	if held := d.Find("loop blocked: "); len(held) > 0 {
		t.Error(held)
	}
	enqueue(t, r, "still", "t", "x")
	settled(t, r, d, "still")
}

// TestPauseWhileRedisHangs: TSTP does not wait for tasks that are being taken.
func TestPauseWhileRedisHangs(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nconcurrency: 1\nshutdown_timeout: 4s\nroutes: [{type: t, command: {argv: [sleep, '0.5']}}]\n")
	for i := range 5 {
		enqueue(t, r, fmt.Sprint(i), "t", "")
	}
	Eventually(t, 20*time.Second, "the first one", func() bool { return r.Int("LLEN", QueueKey("default", "active")) == 1 })
	t.Cleanup(r.Continue)
	r.Stop()
	d.Attempt("0", 1) // and the next one is asked for
	d.Signal(syscall.SIGTSTP)
	Eventually(t, 20*time.Second, "the signal", func() bool { return len(d.Find("fetching stopped: ")) == 1 })
	get(t, d.URL()+"/healthz")
	r.Continue()
	if held := d.Find("loop blocked: "); len(held) > 0 {
		t.Error(held)
	}
}

// slowFiles makes files slow: whoever opens one waits until it is fed, before which asynqd has to answer. It lasts until asynqd
// has ended, for those who have one open.
func slowFiles(t testing.TB, d *Daemon, paths ...string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	url := d.URL() + "/healthz"
	var asking sync.Mutex
	var isQuiet, hasEnded atomic.Bool
	var feeders sync.WaitGroup
	ask := func(path string) {
		asking.Lock()
		defer asking.Unlock()
		for i := 0; i < 3 && !isQuiet.Load(); i++ {
			answer, err := client.Get(url)
			if err != nil {
				t.Errorf("while %s is read: %v", filepath.Base(path), err)
				return
			}
			answer.Body.Close()
		}
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		slow := path + ".slow"
		if err := errors.Join(syscall.Mkfifo(slow, 0o600), os.Link(slow, path+".new"), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		feeders.Add(1)
		go func() {
			defer feeders.Done()
			for !hasEnded.Load() {
				time.Sleep(5 * time.Millisecond)
				if file, err := os.OpenFile(slow, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // somebody reads it
					ask(path)
					file.Write(text)
					file.Close()
				}
				for d.HasOpen(slow) { // or this reader would be fed once more
					time.Sleep(5 * time.Millisecond)
				}
			}
		}()
	}
	t.Cleanup(func() {
		asking.Lock()
		isQuiet.Store(true)
		asking.Unlock()
		d.End()
		hasEnded.Store(true)
		feeders.Wait()
	})
}

// hang replaces the file by one that comes whole as often as said, is then open and never comes, and has it read: who reads
// it then is held.
func hang(t *testing.T, d *Daemon, path string, whole int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err := errors.Join(err, syscall.Mkfifo(path+".new", 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	d.Signal(syscall.SIGHUP)
	for i := range whole + 1 {
		file := holdReader(t, d, path)
		if i == whole {
			t.Cleanup(func() { file.Close() })
			return
		}
		file.Write(text)
		file.Close()
		Eventually(t, 30*time.Second, path+" to be closed", func() bool { return !d.HasOpen(path) })
	}
}

// holdReader opens the FIFO for writing and waits until a thread of the daemon is held by it. A thread that read to the end of
// what the last writer wrote can have it open still when the next writer comes, and holds nothing.
func holdReader(t *testing.T, d *Daemon, path string) (file *os.File) {
	t.Helper()
	Eventually(t, 30*time.Second, path+" to be read", func() (isHeld bool) {
		var err error
		if file, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err != nil {
			return false
		}
		for until := time.Now().Add(time.Second); !isHeld && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			isHeld = d.IsHeldBy(path)
		}
		if !isHeld {
			file.Close()
		}
		return isHeld
	})
	return file
}

// TestEndWithHangingFiles: a file that hangs while it is read again does not keep asynqd from its end.
func TestEndWithHangingFiles(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		file  string
		whole int // times that it is read before it hangs: checked, and then used
	}{{"configuration", 0}, {"schedule", 0}, {"schedule", 1}, {"crt", 0}, {"crt", 1}} {
		t.Run(fmt.Sprint(row.file, row.whole), func(t *testing.T) {
			t.Parallel()
			r, dir := StartRedis(t), t.TempDir()
			schedule := filepath.Join(dir, "schedule")
			makeCertificate(t, dir, "localhost")
			if err := os.WriteFile(schedule, []byte("entries: []\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [cat]}}]\nschedule: {file: "+schedule+
				"}\nendpoints: {cert_file: "+dir+"/crt, key_file: "+dir+"/key}\n")
			path := filepath.Join(dir, row.file)
			if row.file == "configuration" {
				path = d.File
			}
			hang(t, d, path, row.whole)
			d.End()
			if len(d.Find("still holds a thread")) == 0 { // the scheduler may read the file, too
				t.Error("the log does not tell why it exits")
			}
		})
	}
}

// TestSlowFiles: the schedule and the certificate are on a disk that hangs while they are read again.
func TestSlowFiles(t *testing.T) {
	t.Parallel()
	r, dir := StartRedis(t), t.TempDir()
	makeCertificate(t, dir, "localhost")
	schedule := filepath.Join(dir, "schedule.yaml")
	if err := os.WriteFile(schedule, []byte("entries:\n- {spec: '@yearly', type: t}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [cat]}}]\nschedule: {file: "+schedule+
		"}\nendpoints: {cert_file: "+dir+"/crt, key_file: "+dir+"/key}\n")
	slowFiles(t, d, dir+"/crt", schedule)
	for i := range 2 {
		d.Signal(syscall.SIGHUP)
		refused := len(d.Find(staysAsItIs))
		Eventually(t, 60*time.Second, "the configuration to be read", func() bool {
			if again := len(d.Find(staysAsItIs)); again > refused { // two have read the same file at once, and one of them nothing
				refused = again
				d.Signal(syscall.SIGHUP)
			}
			return len(d.Find(wasRead)) > i
		})
	}
}

// TestQueuePatterns: asynqd serves whatever queues have such a name, says of a task for one of them that it is served, and
// takes other patterns when it is told to read its configuration again.
func TestQueuePatterns(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := func(queues string) string {
		return "redis: " + r.URI() + "\nendpoints: {listen: '127.0.0.1:0', max_queues: 0}\nqueues: " + queues +
			"\nroutes: [{type: t, command: {argv: [cat]}}]\n"
	}
	d := StartDaemon(t, config(`{"tenant:*": 2, default: 1}`))
	post := func(queue, id string, want int) {
		t.Helper()
		status, body := ask(t, "POST", d.URL()+"/v1/tasks", fmt.Sprintf(`{"type": "t", "queue": %q, "id": %q}`, queue, id), asJSON)
		if status != want || strings.Contains(body, "warning") {
			t.Errorf("a task for %s is answered with %d, %s", queue, status, body)
		}
	}
	post("tenant:1", "a", 201)
	d.Attempt("a", 1)
	post("other:1", "b", 403)
	reload(t, d, config(`{"other:**": 1}`), "two stars stand side by side")
	takeOver(t, d, config(`{"other:*": 1}`))
	post("other:1", "b", 201)
	d.Attempt("b", 1)
	post("tenant:1", "c", 403)
}
