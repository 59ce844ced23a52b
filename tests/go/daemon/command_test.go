package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/redis/go-redis/v9"
)

// enqueue enqueues a task by Go, with one attempt unless the options say otherwise, and a retention.
func enqueue(t testing.TB, r *Redis, id, taskType, payload string, opts ...asynq.Option) {
	t.Helper()
	enqueueTask(t, r, id, asynq.NewTask(taskType, []byte(payload)), opts...)
}

func enqueueTask(t testing.TB, r *Redis, id string, task *asynq.Task, opts ...asynq.Option) {
	t.Helper()
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	opts = append([]asynq.Option{asynq.TaskID(id), asynq.MaxRetry(0), asynq.Retention(time.Hour)}, opts...)
	if _, err := client.Enqueue(task, opts...); err != nil {
		t.Fatal(err)
	}
}

// info is a task as Go sees it.
func info(t testing.TB, r *Redis, id string) *asynq.TaskInfo {
	t.Helper()
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	task, err := inspector.GetTaskInfo("default", id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return task
}

// settled waits until Redis has the outcome of an attempt.
func settled(t testing.TB, r *Redis, d *Daemon, id string) *asynq.TaskInfo {
	t.Helper()
	d.Attempt(id, 1)
	Eventually(t, 20*time.Second, id+" to be settled", func() bool { return info(t, r, id).State != asynq.TaskStateActive })
	return info(t, r, id)
}

// TestCommand: what a command gets, and what becomes of what it says.
func TestCommand(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
routes:
  - {type: "cat", command: {argv: [cat]}}
  - {type: "words", command: {argv: [printf, "%s|", "{{payload.a}}", "{{payload.list.1}}", "{{payload.none?}}", "{{task.id}} {{task.queue}}", "{{header.who}}", "$HOME;id"]}}
  - {type: "environment", command: {argv: [env], process: {pass_env: [], env: {COLOUR: dark red}}}}
  - {type: "where", command: {argv: [pwd], process: {working_directory: /usr}}}
  - {type: "file", command: {shell: 'ls -l "$ASYNQ_PAYLOAD_FILE" | cut -c1-10; cat "$ASYNQ_PAYLOAD_FILE"', input: file}}
  - {type: "nothing", command: {argv: [wc, -c], input: none}}
  - {type: "shell", command: {shell: 'echo "$1" | tr a-z A-Z', argv: ["{{payload.text}}"]}}
  - {type: "exit", command: {shell: 'echo it broke >&2; exit $1', argv: ["{{payload}}"], success_statuses: [0, 3], permanent_statuses: [4]}}
  - {type: "long", command: {shell: 'head -c 100000 /dev/zero | tr "\0" x', result_limit: 10kB}}
  - {type: "chatty", command: {shell: 'seq 100000 >&2; exit 1', error_limit: 50B}}
  - {type: "signal", command: {shell: 'kill -SEGV $$'}}
  - {type: "missing", command: {argv: [/no/such/program]}}
  - {type: "late", command: {argv: [sleep, "60"], timeout: 300ms}}
  - {type: "stubborn", command: {shell: 'trap "" TERM; sleep 60', timeout: 5s, kill_timeout: 300ms}} # the shell must have come to its trap
  - {type: "deaf", command: {argv: ["true"]}}
  - {type: "greedy", command: {argv: [dd, if=/dev/zero, of=/dev/null, bs=200M, count=1], process: {limits: {memory: 50MB}}}}
  - {type: "busy", command: {shell: 'while :; do :; done', process: {limits: {cpu: 1s}}}}
  - {type: "family", command: {shell: 'sleep 300 & echo $!'}}
`)
	for _, test := range []struct{ id, taskType, payload, result, failure string }{
		{"cat", "cat", "hello \x00\xff", "hello \x00\xff", ""},
		{"words", "words", `{"a": "x; rm -rf /", "list": [1, {"b": 2}]}`, `x; rm -rf /|{"b": 2}||words default|me|$HOME;id|`, ""},
		{"no-words", "words", `{"a": "x"}`, "", `{{payload.list.1}} is not in the payload`},
		{"no-json", "words", `hello`, "", `{{payload.a}} is not there, as the payload is not JSON`},
		{"where", "where", "", "/usr\n", ""},
		{"file", "file", "secret", "-rw-------\nsecret", ""},
		{"nothing", "nothing", "ignored", "0\n", ""},
		{"shell", "shell", `{"text": "$(id) \"'"}`, "$(ID) \"'\n", ""},
		{"exit-0", "exit", "0", "", ""},
		{"exit-3", "exit", "3", "", ""},
		{"exit-1", "exit", "1", "", "exit status 1: it broke"},
		{"exit-4", "exit", "4", "", "exit status 4: it broke"},
		{"long", "long", "", strings.Repeat("x", 10000), ""},
		{"chatty", "chatty", "", "", "exit status 1: 99993\n99994\n99995\n99996\n99997\n99998\n99999\n100000"},
		{"signal", "signal", "", "", "killed by signal 11 (Segmentation fault)"},
		{"missing", "missing", "", "", "command: cannot run it: No such file or directory"},
		{"late", "late", "", "", "no end within 0.3 s, killed by signal 15 (Terminated)"},
		{"stubborn", "stubborn", "", "", "no end within 5 s, killed by signal 9 (Killed)"},
		{"deaf", "deaf", strings.Repeat("much", 1<<20), "", ""},
		{"greedy", "greedy", "", "", "exit status 1: dd: memory exhausted"},
		{"busy", "busy", "", "", "killed by signal "},
	} {
		enqueueTask(t, r, test.id, asynq.NewTaskWithHeaders(test.taskType, []byte(test.payload), map[string]string{"who": "me"}))
		task := settled(t, r, d, test.id)
		want := asynq.TaskStateCompleted
		if test.failure != "" {
			want = asynq.TaskStateArchived
		}
		if task.State != want || string(task.Result) != test.result || !strings.HasPrefix(task.LastErr, test.failure) ||
			(test.failure == "") != (task.LastErr == "") {
			t.Errorf("%s: %v, result %.200q, error %q", test.id, task.State, task.Result, task.LastErr)
		}
	}
	if d.Attempt("exit-4", 1)["error_class"] != "exit_status" || d.Attempt("late", 1)["error_class"] != "timeout" {
		t.Errorf("%v, %v", d.Attempt("exit-4", 1), d.Attempt("late", 1))
	}
	environment(t, r, d)
	family(t, r, d)
	left, _ := filepath.Glob(filepath.Join(d.Dir, "asynqd-*", "*"))
	if len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// environment: the allow-list holds, and what is ours is there.
func environment(t *testing.T, r *Redis, d *Daemon) {
	task := asynq.NewTaskWithHeaders("environment", nil, map[string]string{
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	enqueueTask(t, r, "environment", task, asynq.MaxRetry(7))
	lines := strings.Split(strings.TrimSpace(string(settled(t, r, d, "environment").Result)), "\n")
	want := []string{`PATH=/usr/local/sbin:.*`, `COLOUR=dark red`, `ASYNQ_TASK_ID=environment`, `ASYNQ_TASK_TYPE=environment`,
		`ASYNQ_QUEUE=default`, `ASYNQ_RETRIED=0`, `ASYNQ_MAX_RETRY=7`, `ASYNQ_DEADLINE_MS=\d{13}`,
		`TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`}
	if len(lines) != len(want) {
		t.Fatalf("environment: %q", lines)
	}
	for i := range want {
		if !regexp.MustCompile("^" + want[i] + "$").MatchString(lines[i]) {
			t.Errorf("environment: got %q, want %q", lines[i], want[i])
		}
	}
	if line := d.Attempt("environment", 1); line["trace_id"] != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace: %v", line)
	}
}

// family: what a command leaves behind ends with it.
func family(t *testing.T, r *Redis, d *Daemon) {
	enqueue(t, r, "family", "family", "")
	pid := strings.TrimSpace(string(settled(t, r, d, "family").Result))
	Eventually(t, 20*time.Second, "process "+pid+" to end", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}

// TestCommandEndsAtDeadline: at its deadline, when it is cancelled, and at the end of the daemon.
func TestCommandEndsAtDeadline(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
shutdown_timeout: 500ms
routes:
  - {type: "sleep", command: {shell: 'trap "date +%s%N >$1.end; exit 0" TERM; echo $$ >$1; while :; do sleep 0.05; done', argv: ["{{payload}}"], kill_timeout: 10s}}
`)
	started := func(name string) string {
		path := filepath.Join(d.Dir, name)
		enqueue(t, r, name, "sleep", path, asynq.Timeout(map[string]time.Duration{"late": time.Second}[name]+
			map[bool]time.Duration{true: time.Hour}[name != "late"]))
		Eventually(t, 20*time.Second, name+" to run", func() bool { text, _ := os.ReadFile(path); return len(text) > 0 })
		return path
	}
	ended := func(path string) {
		t.Helper()
		Eventually(t, 20*time.Second, path+" to end", func() bool { _, err := os.Stat(path + ".end"); return err == nil })
	}
	ended(started("late"))
	if line := d.Attempt("late", 1); line["error"] != "context deadline exceeded" {
		t.Errorf("late: %v", line)
	}
	path := started("cancelled")
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	if err := inspector.CancelProcessing("cancelled"); err != nil {
		t.Fatal(err)
	}
	ended(path)
	if line := d.Attempt("cancelled", 1); line["error"] != "context canceled" {
		t.Errorf("cancelled: %v", line)
	}
	path = started("last")
	d.End()
	ended(path)
	if task := info(t, r, "last"); task.State != asynq.TaskStatePending || task.Retried != 0 {
		t.Errorf("last: %v, retried %d", task.State, task.Retried)
	}
	IsWell(t, r)
}

// TestKilledDaemon: its commands end with it, and its tasks run again.
func TestKilledDaemon(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := `
redis: ` + r.URI() + `
routes:
  - {type: "once", command: {shell: 'echo $$ >>$1; [ $(wc -l <$1) -gt 1 ] || sleep 300', argv: ["{{payload}}"]}}
`
	d := StartDaemon(t, config)
	path := filepath.Join(r.Dir, "runs")
	enqueue(t, r, "task", "once", path, asynq.MaxRetry(5))
	Eventually(t, 20*time.Second, "the command to run", func() bool { text, _ := os.ReadFile(path); return len(text) > 0 })
	text, _ := os.ReadFile(path)
	pid := strings.TrimSpace(string(text))
	d.Kill()
	Eventually(t, 20*time.Second, "the command to end", func() bool {
		state, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	})
	// As if the lease had run out.
	r.Client.ZAdd(context.Background(), "asynq:{default}:lease", redis.Z{Score: 1, Member: "task"})
	second := StartDaemon(t, config)
	if line := second.Attempt("task", 1); line["outcome"] != "completed" || line["attempt"] != 1.0 { // the first has not failed
		t.Errorf("second run: %v", line)
	}
}

// TestForgedOptions: what a task says does not become an option of a program, unless the route wants it.
func TestForgedOptions(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "bare", command: {argv: [echo, "{{payload}}"]}}
  - {type: "inside", command: {argv: [echo, "a{{payload}}"]}}
  - {type: "behind", command: {argv: [echo, --, "{{payload}}"]}}
  - {type: "wanted", command: {argv: [echo, "{{payload}}"], options_from_tasks: true}}
  - {type: "word", command: {shell: 'printf %s "$1"', argv: ["{{payload}}"]}}
`)
	for kind, result := range map[string]string{"bare": "", "inside": "a-n\n", "behind": "-- -n\n", "wanted": "", "word": "-n"} {
		enqueue(t, r, kind, kind, "-n", asynq.Retention(time.Hour))
		task := settled(t, r, d, kind)
		if kind == "bare" {
			if task.State != asynq.TaskStateArchived || task.LastErr != `argv[1]: "-n" begins with "-" and would be an option; put a "--" before it in argv, or set options_from_tasks` {
				t.Errorf("%s: %v, %q", kind, task.State, task.LastErr)
			}
		} else if string(task.Result) != result || task.State != asynq.TaskStateCompleted {
			t.Errorf("%s: %q, %q", kind, task.Result, task.LastErr)
		}
	}
}

// TestLeftFiles: the files of calls of an asynqd that was killed are removed by the next one; nothing else is.
func TestLeftFiles(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	dir, err := os.MkdirTemp("", "left-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := "redis: " + r.URI() + "\nroutes: [{type: file, command: {argv: [sleep, '5'], input: file}}]\n"
	files := func() []string {
		found, _ := filepath.Glob(filepath.Join(dir, "asynqd-*/payload-*"))
		return found
	}
	run := func(id string) *Daemon {
		t.Helper()
		before := len(files())
		d := StartDaemonIn(t, dir, config)
		enqueue(t, r, id, "file", "x", asynq.MaxRetry(0), asynq.Timeout(time.Minute))
		Eventually(t, 20*time.Second, "the file of a task", func() bool { return len(files()) == before+1 })
		return d
	}
	killed := run("killed")
	left := files()[0]
	killed.Kill()
	// None of these is what an asynqd of ours has left.
	kept := map[string]string{}
	for _, name := range []string{"other", "asynqd-toolong1", "asynqd-notes1", "asynqd-file.1"} {
		kept[name] = filepath.Join(dir, name, "payload-AAAAAA")
		os.Mkdir(filepath.Join(dir, name), 0o700)
		os.WriteFile(kept[name], nil, 0o600)
	}
	kept["asynqd-notes1"] = filepath.Join(dir, "asynqd-notes1", "notes")
	os.WriteFile(kept["asynqd-notes1"], nil, 0o600)
	os.Symlink(filepath.Join(dir, "other"), filepath.Join(dir, "asynqd-linked"))
	if os.Geteuid() == 0 {
		kept["another user's"] = filepath.Join(dir, "asynqd-theirs", "payload-AAAAAA")
		os.Mkdir(filepath.Join(dir, "asynqd-theirs"), 0o777)
		os.WriteFile(kept["another user's"], nil, 0o600)
		os.Chown(filepath.Join(dir, "asynqd-theirs"), 61234, 61234)
	}
	StartDaemonIn(t, dir, strings.Replace(config, "type: file", "type: none", 1))
	Eventually(t, 20*time.Second, "what was left to be removed", func() bool {
		_, err := os.Stat(filepath.Dir(left))
		return os.IsNotExist(err)
	})
	own, _ := filepath.Glob(filepath.Join(dir, "asynqd-??????"))
	last := StartDaemonIn(t, dir, strings.Replace(config, "type: file", "type: none", 1))
	last.End() // it has looked around
	for _, path := range own {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%v", err)
		}
	}
	for name, path := range kept {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
