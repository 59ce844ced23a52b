package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const printingWorker = `import os, sys, time
sys.path.insert(0, %q)
from asynq_worker import Permanent, run, task

@task("w:")
def talk(job):
    for i in range(3):
        print("out", job.id, i)
        print("err", job.id, i, file=sys.stderr, flush=True)
    what = job.type.split(":")[1]
    if what == "fail":
        raise Permanent("in vain")
    if what == "crash":
        sys.stdout.flush()
        os._exit(3)
    if what == "hang":
        sys.stdout.flush()
        time.sleep(60)
    return "the result"

run()
`

// TestOutput: what commands and workers write is kept as their route asks for it, in the history and with a failed task, and
// logged while it runs.
func TestOutput(t *testing.T) {
	t.Parallel()
	r, p := StartRedis(t), StartPostgres(t)
	p.Migrate()
	library, _ := filepath.Abs("../../../contrib/workers/python")
	worker := filepath.Join(t.TempDir(), "worker.py")
	if err := os.WriteFile(worker, []byte(fmt.Sprintf(printingWorker, library)), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := func(text string) string { return `command: {shell: '` + text + `', input: none, output: ` }
	fails := shell(`echo to out; echo to err >&2; exit 7`)
	succeeds := shell(`echo to out; echo to err >&2`)
	d := StartDaemon(t, postgresConfig(r, p, stateDir(t), `
- {type: "c:fail:never", `+fails+`{}}}
- {type: "c:fail:failure", `+fails+`{keep: failure}}}
- {type: "c:fail:always", `+fails+`{keep: always}}}
- {type: "c:good:never", `+succeeds+`{keep: never}}}
- {type: "c:good:failure", `+succeeds+`{keep: failure}}}
- {type: "c:good:always", `+succeeds+`{keep: always, log: true}}}
- {type: "c:large", `+shell(`i=0; while [ $i -lt 2000 ]; do echo "line $i \"quoted\""; i=$((i + 1)); done; exit 7`)+`{keep: always, limit: 64kB}}}
- {type: "c:odd", `+shell(`printf "a\\000b\\377c\\033[31m"; exit 7`)+`{keep: always}}}
- {type: "c:small", `+shell(`echo 0123456789; exit 7`)+`{keep: always, limit: 4B}}}
- {type: "c:hang", `+shell(`echo half; printf "a line"; sleep 60`)+`{keep: failure, log: true}, kill_timeout: 200ms}}
- {type: "w:", worker: {pool: python, output: {keep: failure}}}
- {type: "w:always", worker: {pool: python, output: {keep: always, log: true}}}
- {type: "w:never", worker: python}
workers:
  python: {argv: [/usr/bin/python3, `+worker+`], kill_timeout: 200ms, start_timeout: 60s}
`))
	talk := func(id string) string {
		return fmt.Sprintf("err %[1]s 0\nerr %[1]s 1\nerr %[1]s 2\nout %[1]s 0\nout %[1]s 1\nout %[1]s 2", id)
	}
	for _, test := range []struct{ taskType, kept, failure string }{
		{"c:fail:never", "", "exit status 7: to err"},
		{"c:fail:failure", "to out\nto err", "exit status 7: to out\nto err"},
		{"c:fail:always", "to out\nto err", "exit status 7: to out\nto err"},
		{"c:good:never", "", ""},
		{"c:good:failure", "", ""},
		{"c:good:always", "to out\nto err", ""},
		{"c:odd", "a?b?c\x1b[31m", "exit status 7: a?b?c\x1b[31m"},
		{"c:small", "789", "exit status 7: 789"},
		{"w:fail", talk("w:fail"), "in vain: " + talk("w:fail")},
		{"w:good", "", ""},
		{"w:always", talk("w:always"), ""},
		{"w:never", "", ""},
	} {
		enqueue(t, r, test.taskType, test.taskType, "")
		if got := settled(t, r, d, test.taskType).LastErr; sorted(got) != sorted(test.failure) {
			t.Errorf("%s: the error is %q", test.taskType, got)
		}
		row := execution(t, p, test.taskType)
		if got, _ := row["output"].(string); sorted(got) != sorted(test.kept) {
			t.Errorf("%s: %q is kept", test.taskType, got)
		}
	}
	enqueue(t, r, "c:large", "c:large", "")
	large, _ := execution(t, p, "c:large")["output"].(string)
	if len(large) < 30000 || !strings.HasSuffix(large, `line 1999 "quoted"`) {
		t.Errorf("%d bytes of a large output, up to %q", len(large), large[max(0, len(large)-30):])
	}
	if text := settled(t, r, d, "c:large").LastErr; len(text) > 8300 || !strings.HasSuffix(text, `line 1999 "quoted"`) {
		t.Errorf("the error of a large output has %d bytes", len(text))
	}

	for taskType, last := range map[string]string{"c:hang": "a line", "w:hang": "out w:hang 2", "w:crash": "out w:crash 2"} {
		enqueue(t, r, taskType, taskType, "", asynq.Timeout(3*time.Second))
		if got, _ := execution(t, p, taskType)["output"].(string); !strings.Contains(got, last) {
			t.Errorf("%s: %q is kept", taskType, got)
		}
	}
	for _, line := range []string{"task c:good:always stdout: to out", "task c:good:always stderr: to err", "task c:hang stdout: half",
		"task c:hang stdout: a line", "task w:always stderr: err w:always 0"} {
		Eventually(t, 20*time.Second, line, func() bool {
			for _, found := range d.Find(line) {
				if text := found["msg"]; text == "task output: "+line || text == "worker output: "+line {
					return true
				}
			}
			return false
		})
	}
	IsWell(t, r)
}

// sorted is a text with its lines in order: those of two pipes come in any.
func sorted(text string) string {
	head, rest, _ := strings.Cut(text, ": ")
	if !strings.Contains(text, ": ") {
		head, rest = "", text
	}
	lines := strings.Split(rest, "\n")
	slices.Sort(lines)
	return head + strings.Join(lines, "\n")
}

// execution is the row of a task's only attempt, when it has ended.
func execution(t testing.TB, p *Postgres, id string) (row M) {
	t.Helper()
	Eventually(t, 60*time.Second, "the row of "+id, func() bool {
		rows := p.Rows("SELECT output, error, outcome FROM asynqd.executions WHERE finished_at IS NOT NULL AND task_id = '" + id + "'")
		if len(rows) > 0 {
			row = rows[0]
		}
		return len(rows) > 0
	})
	return row
}

// TestFloodOfLines: a process writes more lines than anybody reads. Some are logged, the others counted, and asynqd has time
// for others.
func TestFloodOfLines(t *testing.T) {
	t.Parallel()
	const lines = 60000
	r := StartRedis(t)
	flood := fmt.Sprintf("yes '' | head -n %d | sed s/^/flooded/", lines)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes: [{type: "flood", command: {shell: "`+flood+` >&2", output: {log: true}}}]
workers: {pool: {start_timeout: 60s, kill_timeout: 100ms, argv: [sh, -c, "`+flood+`; sleep 60"]}}
`)
	enqueue(t, r, "task", "flood", "")
	if line := d.Attempt("task", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	count := regexp.MustCompile(`: (\d+) lines, as there are more`)
	for source, said := range map[string]string{"task task": " stderr: flooded", "worker pool.1": " stdout: flooded"} {
		Eventually(t, 60*time.Second, "each line of "+source+" to be logged or counted", func() bool {
			logged, left := len(d.Find(source+said)), 0
			for _, line := range d.Find(source + ": ") {
				if found := count.FindStringSubmatch(line["msg"].(string)); found != nil {
					n, _ := strconv.Atoi(found[1])
					left += n
				}
			}
			return left > 0 && logged >= 500 && logged+left == lines
		})
	}
}
