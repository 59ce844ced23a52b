package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// ran is what became of one call of asynqctl.
type ran struct {
	out, err string
	status   int
}

func ctl(t *testing.T, r *Redis, args ...string) ran {
	t.Helper()
	return ctlWith(t, r, "", args...)
}

func ctlWith(t *testing.T, r *Redis, input string, args ...string) ran {
	t.Helper()
	return ctlAt(t, r.URI(), input, args...)
}

func ctlAt(t *testing.T, uri, input string, args ...string) ran {
	t.Helper()
	cmd := exec.Command(filepath.Join(BuildDir(), "asynqctl"), args...)
	cmd.Env = append(os.Environ(), "ASYNQ_REDIS_URI="+uri, "TZ=UTC")
	cmd.Stdin = strings.NewReader(input)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return ran{out.String(), problem.String(), cmd.ProcessState.ExitCode()}
}

// document is the JSON that a command prints.
func (c ran) document(t *testing.T) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(c.out), &value); err != nil {
		t.Fatalf("%v: %s (%s)", err, c.out, c.err)
	}
	return value
}

func (c ran) expect(t *testing.T, what string, status int, out, problem string) {
	t.Helper()
	equal(t, what+": exit status", c.status, status)
	for name, pair := range map[string][2]string{"output": {c.out, out}, "complaint": {c.err, problem}} {
		if !regexp.MustCompile(pair[1]).MatchString(pair[0]) || (pair[1] == "" && pair[0] != "") {
			t.Errorf("%s: %s is %q, which does not match %q", what, name, pair[0], pair[1])
		}
	}
}

// TestAsynqctl walks through the commands as a person would.
func TestAsynqctl(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	ctl(t, r, "queue", "ls").expect(t, "no queues", 0, "^QUEUE .*\n$", "")
	ctl(t, r, "task", "ls", "-s", "pending").expect(t, "unknown queue", 3, "", `queue "default" not found`)

	enqueue := func(id string, args ...string) {
		t.Helper()
		args = append([]string{"task", "enqueue", "-t", "email:send", "-l", `{"to":"` + id + `"}`, "--id", id}, args...)
		ctl(t, r, args...).expect(t, "enqueue "+id, 0, `^task "`+id+`" of queue "default" is (pending|scheduled|aggregating)`, "")
	}
	enqueue("a")
	enqueue("b", "--in", "1h", "--retry", "0")
	enqueue("c", "-g", "g")
	ctl(t, r, "task", "enqueue", "-t", "x", "-l", "y", "--id", "a").expect(t, "the same id", 1, "", "conflicts with another task")
	ctlWith(t, r, "from standard input", "task", "enqueue", "-t", "x", "-l", "-", "--id", "d").expect(t, "from standard input", 0, `"d"`, "")

	ctl(t, r, "task", "ls", "-s", "pending").expect(t, "list", 0, `^ID +TYPE +PAYLOAD +RETRIED +WAITS\na +email:send +{"to":"a"} +0/25 +\S+\nd `, "")
	ctl(t, r, "task", "ls", "-s", "retry").expect(t, "empty list", 0, "", `no retry tasks`)
	ctl(t, r, "group", "ls").expect(t, "groups", 0, `^GROUP +TASKS\ng +1\n$`, "")
	ctl(t, r, "task", "inspect", "d").expect(t, "inspect", 0, `(?s)^id +d\n.*state +pending.*payload +from standard input`, "")
	ctl(t, r, "task", "inspect", "none").expect(t, "inspect nothing", 3, "", `task "none" not found`)
	task := ctl(t, r, "task", "ls", "-s", "scheduled", "--json").document(t).([]any)[0].(M)
	equal(t, "id", task["id"], any("b"))
	equal(t, "max retries", task["max_retry"], any(0.0))
	equal(t, "payload", task["payload"], any(`{"to":"b"}`))
	queue := ctl(t, r, "queue", "ls", "--json").document(t).([]any)[0].(M)
	equal(t, "sizes", fmt.Sprint(queue["size"], queue["pending"], queue["scheduled"], queue["aggregating"]), "4 2 1 1")
	ctl(t, r, "stats").expect(t, "stats", 0, `QUEUES +SIZE.*\n +1 +4 +0 +2`, "")

	ctl(t, r, "task", "update", "b", "-l", "new").expect(t, "update", 0, "new payload", "")
	ctl(t, r, "task", "run", "b").expect(t, "run", 0, `task "b" is set to run`, "")
	ctl(t, r, "task", "run", "b").expect(t, "run again", 1, "", "already in pending state")
	ctl(t, r, "task", "archive", "a", "b").expect(t, "archive two", 0, `"a" is archived\ntask "b" is archived`, "")
	ctl(t, r, "task", "delete", "a").expect(t, "nobody to ask", 4, "", "give --yes")
	equal(t, "a is there", r.Int("EXISTS", QueueKey("default", "t:a")), 1)
	ctl(t, r, "task", "rm", "a", "--yes").expect(t, "delete", 0, `"a" is deleted`, "")
	equal(t, "a has gone", r.Int("EXISTS", QueueKey("default", "t:a")), 0)

	ctl(t, r, "queue", "pause", "default").expect(t, "pause", 0, "is paused", "")
	ctl(t, r, "queue", "pause", "default").expect(t, "pause again", 1, "", "already paused")
	ctl(t, r, "queue", "inspect", "default").expect(t, "inspect", 0, `state +paused\nsize +3`, "")
	ctl(t, r, "queue", "resume", "default").expect(t, "resume", 0, "runs again", "")
	ctl(t, r, "queue", "history", "default", "--days", "3").expect(t, "history", 0, `^QUEUE.*\n(default .*\n){3}$`, "")
	ctl(t, r, "queue", "rm", "default", "-y").expect(t, "not empty", 1, "", "is not empty; --force")
	ctl(t, r, "queue", "rm", "default", "-y", "-f").expect(t, "delete queue", 0, "is deleted", "")
	equal(t, "keys", strings.Join(r.Keys(), " "), "")
	ctl(t, r, "server", "ls").expect(t, "servers", 0, "", "no server runs")
	ctl(t, r, "cron", "ls").expect(t, "entries", 0, "", "no scheduler has entries")
}

// TestAsynqctlCommandLine: what is wrong is named, with the nearest right word.
func TestAsynqctlCommandLine(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	for line, complaint := range map[string]string{
		"":                               "usage: asynqctl COMMAND",
		"queu ls":                        `no command "queu"; did you mean "asynqctl queue"`,
		"queue lst":                      `no command "queue lst"; did you mean "asynqctl queue ls"`,
		"task":                           "usage: asynqctl task COMMAND",
		"task ls":                        "--state STATE is needed",
		"task ls -s pendin":              `--state: "pendin" is not one of active, pending`,
		"task ls -s pending --sise 3":    "no flag --sise; did you mean --size",
		"task ls -s pending --size":      "--size needs a value: N",
		"task ls -s pending --size x":    `--size: "x" is not a whole number`,
		"task ls -s pending more":        `takes no arguments; "more" is too much`,
		"task wait x --for 10q":          `--for: "10q" is not a duration`,
		"task find -s retry --from now-": `--from: "now-" is not a time`,
		"queue ls --json=1":              "--json takes no value",
		"queue pause":                    "asynqctl queue pause needs QUEUE...",
		"queue history q --days 1000":    "--days: Redis keeps 90 days",
		"task run":                       "give the ids",
		"queue ls -Z":                    "no flag -Z",
	} {
		ctl(t, r, strings.Fields(line)...).expect(t, line, 2, "", complaint)
	}
	for _, line := range []string{"--help", "queue --help", "task ls --help", "-h"} {
		ctl(t, r, strings.Fields(line)...).expect(t, line, 0, "usage: asynqctl", "")
	}
	ctl(t, r, "--version").expect(t, "version", 0, `^asynqctl \d`, "")
	ctl(t, r, "queue", "ls", "--uri", "redis://127.0.0.1:1", "--timeout", "300ms").expect(t, "no Redis", 1, "", "Redis cannot be reached")
	ctl(t, r, "queue", "ls", "--uri", "http://x").expect(t, "a wrong URI", 2, "", "http")
}

// TestAsynqctlBulk: searching and acting by filter; an archive that would overflow is asked for.
func TestAsynqctlBulk(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const count = 11000
	pipe := r.Client.Pipeline()
	for n := range count {
		id := fmt.Sprintf("%05d", n)
		message := &base.TaskMessage{Type: "t", ID: id, Queue: "default", ErrorMsg: "time-out", Payload: []byte("p\x1b[31m")}
		if n%1000 == 3 {
			message.ErrorMsg = "disk full"
		}
		pipe.HSet(Ctx, QueueKey("default", "t:"+id), "msg", Encode(t, message), "state", "retry")
		pipe.Do(Ctx, "ZADD", QueueKey("default", "retry"), 4000000000+n, id)
	}
	pipe.SAdd(Ctx, "asynq:queues", "default")
	if _, err := pipe.Exec(Ctx); err != nil {
		t.Fatal(err)
	}
	found := ctl(t, r, "task", "find", "-s", "retry", "-e", "disk", "--json")
	equal(t, "lines", strings.Count(found.out, "\n"), 11)
	equal(t, "an escape character reaches the terminal", strings.Contains(ctl(t, r, "task", "find", "-s", "retry", "-n", "3").out, "\x1b"), false)
	ctl(t, r, "task", "find", "-s", "retry", "-e", "disk").expect(t, "find", 0, `(?s)^ID .*00003.*10003`, "11 tasks found")
	ctl(t, r, "task", "find", "-s", "retry", "-n", "3").expect(t, "limit", 0, "^ID", "^3 tasks found")
	ctl(t, r, "task", "retry", "-s", "retry", "-e", "disk").expect(t, "run by filter", 0, "^11 tasks set to run\n$", "")
	ctl(t, r, "task", "archiveall", "-s", "retry").expect(t, "nobody to ask", 4, "", "keeps 9999: up to 990 will be deleted")
	ctl(t, r, "task", "archiveall", "-s", "retry", "--yes").expect(t, "archive", 0, "^10989 tasks archived, 990 deleted", "")
	equal(t, "archived", r.Int("ZCARD", QueueKey("default", "archived")), 9999)
	equal(t, "tasks", tasksLeft(r), 9999+11)
	ctl(t, r, "task", "deleteall", "-s", "archived", "--yes", "--json").expect(t, "delete", 0, `"deleted": 9999`, "")
	ctl(t, r, "task", "runall", "-s", "pending").expect(t, "run pending", 1, "", "pending already")
}

// TestExportAndImport: what was exported and is imported again is in Redis as before, to the byte.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	put := func(id, state string, score int64, message *base.TaskMessage) {
		t.Helper()
		message.ID, message.Queue = id, "q-"+state
		key, fields := QueueKey(message.Queue, state), []any{"state", state}
		r.Do("SADD", "asynq:queues", message.Queue)
		switch state {
		case "pending":
			r.Do("LPUSH", key, id)
			fields = append(fields, "pending_since", int64(1_700_000_000_123_000_000))
		case "aggregating":
			message.GroupKey = "g"
			r.Do("SADD", QueueKey(message.Queue, "groups"), "g")
			r.Do("ZADD", QueueKey(message.Queue, "g:g"), score, id)
			fields = append(fields, "group", "g")
		default:
			r.Do("ZADD", key, score, id)
		}
		if state == "completed" {
			fields = append(fields, "result", "\x00\xffbinary")
		}
		r.Do(append([]any{"HSET", QueueKey(message.Queue, "t:"+id), "msg", Encode(t, message)}, fields...)...)
	}
	binary := string([]byte{0, 1, 2, 0xff, 0xfe, '"', '\n'})
	for _, state := range []string{"pending", "scheduled", "retry", "archived", "completed", "aggregating"} {
		put("plain", state, 4000000000, &base.TaskMessage{Type: "t"})
		put("full", state, 4000000001, &base.TaskMessage{Type: "ä", Payload: []byte(binary), Retry: 25, Retried: 3,
			ErrorMsg: "no\n\"such\" thing", LastFailedAt: 1700000000, Timeout: 1800, Deadline: 4100000000, Retention: 60,
			CompletedAt: 1700000001, UniqueKey: "asynq:{q}:unique:x", Headers: map[string]string{"a": "1", "b": "ü"}})
	}
	before := r.Snapshot()
	exported := ctl(t, r, "export")
	exported.expect(t, "export", 0, "^{", "^12 tasks exported\n$")
	ctlWith(t, r, exported.out, "import").expect(t, "import onto itself", 0, "^0 tasks imported, 12 existed already, 0 lines are bad\n$", "")
	ctlWith(t, r, exported.out, "import", "--check").expect(t, "check", 0, "^12 tasks can be imported", "")
	r.Do("FLUSHALL")
	ctlWith(t, r, exported.out, "import", "-").expect(t, "import", 0, "^12 tasks imported, 0 existed already, 0 lines are bad\n$", "")
	after := r.Snapshot()
	for key, text := range before {
		if after[key] != text {
			t.Errorf("%s: got\n%s\nwant\n%s", key, after[key], text)
		}
	}
	equal(t, "keys", len(after), len(before))

	ctl(t, r, "export", "-q", "q-retry", "-s", "retry", "-e", "such").expect(t, "export by filter", 0, `^{"id":"full"[^\n]*}\n$`, "^1 tasks exported")
	bad := "{}\nnot JSON\n\n[1]\n{\"id\":\"x\",\"queue\":\"q\",\"type\":\"t\",\"deadline\":\"soon\"}\n" +
		"{\"id\":\"x\",\"queue\":\"q\",\"type\":5}\n{\"id\":\"x\",\"queue\":\"q\",\"type\":\"t\"}\n"
	ctlWith(t, r, bad, "import").expect(t, "bad lines", 1, "^1 tasks imported, 0 existed already, 5 lines are bad",
		`(?s)line 1: .*no id.*line 2: not an object.*line 4: not an object.*line 5: "deadline" is not a time.*line 6: "type" is not a text`)
	equal(t, "the good line", r.Text("HGET", QueueKey("q", "t:x"), "state"), "pending")
	ctl(t, r, "import", "/does/not/exist").expect(t, "no file", 1, "", "cannot be opened")
}

// TestCluster: where a queue is in a Redis Cluster, as Go's inspector says it.
func TestCluster(t *testing.T) {
	t.Parallel()
	port := ClusterPort(t)
	r := StartRedis(t, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes")
	slots := []any{"CLUSTER", "ADDSLOTS"}
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	equal(t, "slots", r.Text(slots...), "OK")
	inspector := asynq.NewInspector(asynq.RedisClusterClientOpt{Addrs: []string{fmt.Sprintf("127.0.0.1:%d", port)}})
	defer inspector.Close()
	for _, queue := range []string{"default", "critical", "low", "with space"} {
		slot, err := inspector.ClusterKeySlot(queue)
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := inspector.ClusterNodes(queue)
		if err != nil || len(nodes) != 1 {
			t.Fatal(nodes, err)
		}
		found := ctl(t, r, "queue", "nodes", queue, "--json").document(t).([]any)[0].(map[string]any)
		equal(t, "slot of "+queue, found["slot"], any(float64(slot)))
		node := found["nodes"].([]any)[0].(map[string]any)
		equal(t, "node", node["id"], any(nodes[0].ID))
		_, foundPort, _ := strings.Cut(node["address"].(string), ":") // Go's client puts a host in place of an unknown one
		equal(t, "port", foundPort, fmt.Sprint(port))
	}
	ctl(t, r, "queue", "nodes", "default").expect(t, "table", 0, `QUEUE +SLOT +NODE +ADDRESS\ndefault +5718 +[0-9a-f]{40} +\S*:[0-9]+\n$`, "")
	r.Do("CLUSTER", "DELSLOTS", 5718)
	ctl(t, r, "queue", "nodes", "default").expect(t, "no node", 3, "", "no node of the cluster has slot 5718")
	alone := StartRedis(t)
	ctl(t, alone, "queue", "nodes", "default").expect(t, "no cluster", 1, "", "cluster support disabled")
}

// TestAsynqctlCronNext: times in the zone of the specification; mistakes say where they are. Redis is not asked.
func TestAsynqctlCronNext(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Kill()
	ctl(t, r, "cron", "next", "30 2 * * *", "--zone", "America/New_York", "--from", "2025-03-09T00:00:00Z", "-n", "2").
		expect(t, "a night without 02:30", 0, `Mon 2025-03-10 02:30:00 EDT.*\nTue 2025-03-11 02:30:00 EDT`, "")
	ctl(t, r, "cron", "next", "TZ=Asia/Tokyo @daily", "--from", "2025-03-09T00:00:00Z", "-n", "1", "--json").
		expect(t, "JSON", 0, `\[\s*"2025-03-09T15:00:00Z"\s*\]`, "")
	ctl(t, r, "cron", "next", "0 0 30 2 *").expect(t, "never", 0, "", "not in the next five years")
	ctl(t, r, "cron", "next", "61 * * * *").expect(t, "a mistake", 2, "", `minute "61": the values go from 0 to 59`)
	ctl(t, r, "cron", "next", "@daily", "--zone", "Mars").expect(t, "no zone", 2, "", `unknown time zone "Mars"`)
}
