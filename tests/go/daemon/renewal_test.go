package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// versionedWorker writes a program that answers with its version; another file than before, as an editor or a deployment leaves it.
func versionedWorker(t testing.TB, path, version string) {
	t.Helper()
	library, _ := filepath.Abs("../../../contrib/workers/python")
	text := fmt.Sprintf(`import os, sys, time
sys.path.insert(0, %q)
from asynq_worker import run, task
version = %q
if version == "broken":
    sys.exit("cannot import what it needs")

@task("version")
def tell(job):
    time.sleep(float(job.payload or 0))
    return version + " " + str(os.getpid())

run()
`, library, version)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

const replaced = "all processes have been replaced"

// renew has asynqd look at its files again, and waits until a pool has new processes.
func renew(t testing.TB, d *Daemon) {
	t.Helper()
	before := len(d.Find(replaced))
	d.Signal(syscall.SIGHUP)
	Eventually(t, 60*time.Second, replaced, func() bool { return len(d.Find(replaced)) > before })
}

// version runs a task and returns what it answers: version and process.
func version(t testing.TB, r *Redis, d *Daemon, id string) (string, string) {
	t.Helper()
	enqueue(t, r, id, "version", "")
	text, pid, _ := strings.Cut(string(settled(t, r, d, id).Result), " ")
	return text, pid
}

func renewalConfig(r *Redis, path, further string) string {
	return "redis: " + r.URI() + "\nroutes: [{type: version, worker: python}]\n" +
		"workers:\n  python: {argv: [/usr/bin/python3, " + path + "], size: 2, start_timeout: 60s" + further + "}\n"
}

// TestRenewal: when a program has changed, HUP has its processes replaced under load. No task fails, none waits for another
// process to start, a long one ends where it began, and what comes afterwards is done by the new program.
func TestRenewal(t *testing.T) {
	t.Parallel()
	r, path := StartRedis(t), filepath.Join(t.TempDir(), "worker.py")
	versionedWorker(t, path, "one")
	d := StartDaemon(t, renewalConfig(r, path, ""))
	if got, _ := version(t, r, d, "first"); got != "one" {
		t.Fatalf("version %q", got)
	}
	const ready = `asynqd_worker_processes{pool="python",state="ready"}`
	Eventually(t, 60*time.Second, "both processes", func() bool { return metric(t, d, ready) == 2 })
	reload(t, d, renewalConfig(r, path, ""), wasRead)
	if len(d.Find("are replaced")) != 0 {
		t.Errorf("processes are replaced, and nothing has changed")
	}

	stop, sent := make(chan bool), make(chan int)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				sent <- i
				return
			case <-time.After(20 * time.Millisecond):
				enqueue(t, r, fmt.Sprint("stream-", i), "version", "0.01")
			}
		}
	}()
	enqueue(t, r, "long", "version", "3")
	Eventually(t, 20*time.Second, "the long task to begin", func() bool { return info(t, r, "long").State == asynq.TaskStateActive })
	versionedWorker(t, path, "two")
	before := len(d.Find(replaced))
	d.Signal(syscall.SIGHUP)
	lowest := 99.0
	Eventually(t, 90*time.Second, replaced, func() bool {
		lowest = min(lowest, metric(t, d, ready))
		return len(d.Find(replaced)) > before
	})
	close(stop)
	count := <-sent
	if lowest < 2 {
		t.Errorf("there were only %v processes ready", lowest)
	}
	for i := range count {
		if line := d.Attempt(fmt.Sprint("stream-", i), 1); line["outcome"] != "completed" {
			t.Errorf("%v", line)
		}
	}
	if got := string(settled(t, r, d, "long").Result); !strings.HasPrefix(got, "one ") {
		t.Errorf("the long task: %q", got)
	}
	for i := range 10 {
		if got, _ := version(t, r, d, fmt.Sprint("after-", i)); got != "two" {
			t.Errorf("version %q afterwards", got)
		}
	}
	IsWell(t, r)
}

// TestRenewalOfABrokenProgram: a program that cannot be started does not take the pool away, and is taken when it has been repaired,
// without another signal. Nothing was replaced if the processes of before have merely ended.
func TestRenewalOfABrokenProgram(t *testing.T) {
	t.Parallel()
	r, path := StartRedis(t), filepath.Join(t.TempDir(), "worker.py")
	versionedWorker(t, path, "one")
	d := StartDaemon(t, renewalConfig(r, path, ""))
	version(t, r, d, "first")
	const ready = `asynqd_worker_processes{pool="python",state="ready"}`
	Eventually(t, 60*time.Second, "both processes", func() bool { return metric(t, d, ready) == 2 })
	versionedWorker(t, path, "broken")
	d.Signal(syscall.SIGHUP)
	Eventually(t, 60*time.Second, "complaints", func() bool { return len(d.Find("cannot import what it needs")) > 1 })
	if got, _ := version(t, r, d, "second"); got != "one" {
		t.Errorf("version %q", got)
	}
	for i := range 2 {
		_, pid := version(t, r, d, fmt.Sprint("killed-", i))
		exec.Command("kill", "-9", pid).Run()
		Eventually(t, 10*time.Second, "its end", func() bool { return metric(t, d, ready) < 2-float64(i) })
	}
	before := len(d.Find("cannot import what it needs"))
	Eventually(t, 60*time.Second, "more complaints", func() bool { return len(d.Find("cannot import what it needs")) > before })
	if lines := d.Find(replaced); len(lines) != 0 {
		t.Errorf("%v", lines)
	}
	versionedWorker(t, path, "three")
	Eventually(t, 90*time.Second, replaced, func() bool { return len(d.Find(replaced)) > 0 })
	if got, _ := version(t, r, d, "third"); got != "three" {
		t.Errorf("version %q", got)
	}
}

// TestRenewalByWatch: what a program is made of is more than what argv names.
func TestRenewalByWatch(t *testing.T) {
	t.Parallel()
	r, dir := StartRedis(t), t.TempDir()
	path, folder := filepath.Join(dir, "worker.py"), filepath.Join(dir, "app")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(folder, "deep", "__pycache__"), 0o700))
	must(os.WriteFile(filepath.Join(folder, "deep", "part.py"), []byte("1"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "release-1"), 0o700))
	must(os.Mkdir(filepath.Join(dir, "release-2"), 0o700))
	for _, release := range []string{"release-1", "release-2"} {
		must(os.WriteFile(filepath.Join(dir, release, "same.py"), nil, 0o600))
	}
	must(os.Symlink("release-1", filepath.Join(dir, "current")))
	versionedWorker(t, path, "one")
	config := renewalConfig(r, path, ", watch: ["+folder+", "+filepath.Join(dir, "current")+"]")
	d := StartDaemon(t, config)
	_, first := version(t, r, d, "first")
	for i, change := range []struct {
		what   string
		change func() error
		counts bool
	}{
		{"a part", func() error { return os.WriteFile(filepath.Join(folder, "deep", "part.py"), []byte("22"), 0o600) }, true},
		{"a new part", func() error { return os.WriteFile(filepath.Join(folder, "new.py"), nil, 0o600) }, true},
		{"one less", func() error { return os.Remove(filepath.Join(folder, "new.py")) }, true},
		{"a link", func() error {
			os.Remove(filepath.Join(dir, "current"))
			return os.Symlink("release-2", filepath.Join(dir, "current"))
		}, true},
		{"a cache", func() error { return os.WriteFile(filepath.Join(folder, "deep", "__pycache__", "x"), nil, 0o600) }, false},
		{"a hidden file", func() error { return os.WriteFile(filepath.Join(folder, ".part.swp"), nil, 0o600) }, false},
	} {
		must(change.change())
		if change.counts {
			renew(t, d)
		} else {
			reload(t, d, config, wasRead)
		}
		_, pid := version(t, r, d, fmt.Sprint("task-", i))
		if change.counts && pid == first {
			t.Errorf("%s: it is the first process still", change.what)
		}
	}
	if count := len(d.Find("are replaced, one after the other")); count != 4 {
		t.Errorf("processes were replaced %d times for 4 changes", count)
	}
	broken := strings.Replace(config, folder, filepath.Join(dir, "missing"), 1)
	if output, ok := asynqd(t, broken, nil, "--check-config"); ok || !strings.Contains(output, "workers.python: watch: "+filepath.Join(dir, "missing")+": No such file or directory") {
		t.Errorf("%s", output)
	}
}

// TestRenewalOfAPlugin: an isolated plug-in is a program, too.
func TestRenewalOfAPlugin(t *testing.T) {
	t.Parallel()
	r, path := StartRedis(t), buildPlugin(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: 'p:', plugin: {path: "+path+", isolate: true}}]\n")
	process := func(id string) string {
		enqueue(t, r, id, "p:describe", "")
		text := string(settled(t, r, d, id).Result)
		return text[strings.LastIndex(text, " ")+1:]
	}
	first := process("first")
	if err := os.Rename(buildPlugin(t), path); err != nil {
		t.Fatal(err)
	}
	renew(t, d)
	if process("second") == first {
		t.Errorf("process %s has the old object still", first)
	}
}

// TestPoolRestart: asynqctl has every asynqd at the same Redis replace the processes of a pool, and only those; servers of
// other kinds, and other messages, change nothing.
func TestPoolRestart(t *testing.T) {
	t.Parallel()
	r, path := StartRedis(t), filepath.Join(t.TempDir(), "worker.py")
	versionedWorker(t, path, "one")
	ctl := func(words ...string) string {
		output, err := exec.Command(filepath.Join(BuildDir(), "asynqctl"), append([]string{"--uri", r.URI()}, words...)...).CombinedOutput()
		return fmt.Sprint(string(output), err)
	}
	if got := ctl("pool", "restart", "python"); !strings.Contains(got, "does an asynqd run?") || !strings.Contains(got, "exit status 1") {
		t.Errorf("without a server: %s", got)
	}
	config := renewalConfig(r, path, "") + "  other: {argv: [/usr/bin/python3, " + path + "], start_timeout: 60s}\n"
	daemons := []*Daemon{StartDaemon(t, config), StartDaemon(t, config)}
	for _, d := range daemons {
		Eventually(t, 60*time.Second, "the processes", func() bool {
			return metric(t, d, `asynqd_worker_processes{pool="python",state="ready"}`) == 2
		})
	}
	const wanted = "2 servers heard that pool \"python\" is to be restarted\n<nil>"
	Eventually(t, 30*time.Second, wanted, func() bool { return ctl("pool", "restart", "python") == wanted }) // they subscribe soon after their start
	for _, d := range daemons {
		Eventually(t, 60*time.Second, replaced, func() bool { return len(d.Find("worker pool restarted: python: "+replaced)) > 0 })
		if len(d.Find("worker pool restarted: other")) != 0 {
			t.Errorf("%v", d.Find("worker pool restarted: other"))
		}
	}
	if got := ctl("--json", "pool", "restart", "none of\x1b[31m these"); !strings.Contains(got, `"heard": 2`) {
		t.Errorf("%s", got)
	}
	for _, d := range daemons {
		Eventually(t, 20*time.Second, "a warning", func() bool { return len(d.Find("these\" was asked for")) > 0 })
	}
	channels := r.Strings("PUBSUB", "CHANNELS", "asynq:libasynq:wake:*")
	if len(channels) != 2 {
		t.Errorf("channels %q", channels)
	}
	for _, channel := range channels {
		for _, text := range []string{"tell:", "tell:restart-pool ", "tell:restart-pool a\x00b", "tell:" + strings.Repeat("x", 1<<20), "tell:restart-pool " + strings.Repeat("x", 1<<20)} {
			r.Do("PUBLISH", channel, text)
		}
	}
	enqueue(t, r, "last", "version", "")
	Eventually(t, 30*time.Second, "a task", func() bool { return info(t, r, "last").State == asynq.TaskStateCompleted })
	for _, d := range daemons {
		if d.HasEnded() {
			t.Errorf("an asynqd has ended: %s", d.Text())
		}
	}
}

// TestUpgradedProgram: when a package has put another asynqd in the place of the running one, that one still looks at plug-ins and
// starts processes for them.
func TestUpgradedProgram(t *testing.T) {
	program, err := os.ReadFile(filepath.Join(BuildDir(), "asynqd"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	install := func() {
		t.Helper()
		path := filepath.Join(dir, "asynqd")
		if err := os.WriteFile(path+".new", program, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	install()
	r, path := StartRedis(t), buildPlugin(t)
	t.Setenv("ASYNQ_BUILD", dir)
	config := "redis: " + r.URI() + "\nroutes: [{type: 'p:', plugin: {path: " + path + ", isolate: true}}]\n"
	d := StartDaemon(t, config)
	enqueue(t, r, "before", "p:echo", "")
	settled(t, r, d, "before")
	install()
	takeOver(t, d, config)
	if len(d.Find("are replaced")) != 0 {
		t.Error("processes are replaced, and nothing that they run has changed")
	}
	enqueue(t, r, "crash", "p:crash", "")
	d.Attempt("crash", 1)
	enqueue(t, r, "after", "p:echo", "")
	settled(t, r, d, "after")
}
