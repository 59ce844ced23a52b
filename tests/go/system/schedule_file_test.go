package system

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// shownTypes are the types of the entries that a user interface shows, sorted by the scheduler.
func shownTypes(t *testing.T, r *Redis) string {
	var types []string
	for _, entry := range ShownEntries(t, r) {
		types = append(types, entry.TaskType)
	}
	return strings.Join(types, " ")
}

// TestScheduleFile: a file is read at the start and when it changes; while it is missing or wrong, all goes on.
func TestScheduleFile(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	path := filepath.Join(r.Dir, "schedule.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	await := func(types string) {
		t.Helper()
		Eventually(t, 20*time.Second, "entries "+types, func() bool { return shownTypes(t, r) == types })
	}
	options := M{"file": path, "heartbeat_ms": 200, "notes": true}

	p := StartPeer(t, r.URI())
	p.Must("scheduler.new", options)
	answer := p.Do("scheduler.start", nil)
	if Status(answer) == 0 || !strings.Contains(answer["error"].(string), path+": No such file") {
		t.Errorf("without a file: %v", answer)
	}
	write("entries:\n  - spec: '@daily'\n    type: first\n    speck: 1\n")
	answer = p.Do("scheduler.start", nil)
	if Status(answer) == 0 || !strings.Contains(answer["error"].(string), path+`:4: entries[0]: there is no key "speck"; did you mean "spec"?`) {
		t.Errorf("with a wrong file: %v", answer)
	}

	write("entries:\n  - {spec: '@daily', type: first}\n")
	p.Must("scheduler.start", nil)
	await("first")
	write("entries:\n  - {spec: '@daily', type: first}\n  - {spec: '@every 1s', type: second, payload: {n: 1}}\n")
	await("first second")
	Eventually(t, 20*time.Second, "a tick", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) > 0 })
	id := r.Strings("LRANGE", QueueKey("default", "pending"), 0, 0)[0]
	if message := r.Text("HGET", TaskKey("default", id), "msg"); !strings.Contains(message, `{"n": 1}`) {
		t.Errorf("payload: %q", message)
	}

	for _, spoil := range []func(){func() { write("entries: [") }, func() { os.Remove(path) }} {
		spoil()
		time.Sleep(2 * time.Second)
		fired := r.Int("LLEN", QueueKey("default", "pending"))
		answer = p.Do("scheduler.sync", nil)
		if Status(answer) == 0 {
			t.Errorf("a wrong file is taken")
		}
		Eventually(t, 20*time.Second, "ticks to go on", func() bool {
			return r.Int("LLEN", QueueKey("default", "pending")) > fired+1
		})
		equal(t, "entries", shownTypes(t, r), "first second")
	}

	// Renamed into place, as editors and configuration tools do.
	if err := os.WriteFile(path+".new", []byte(`{"entries": [{"spec": "@hourly", "type": "third"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	await("third")
	write("entries: []\n")
	await("")
	IsWell(t, r)
}

// TestScheduleFileMistakes: each is told with its line and what to write instead, by `asynqctl cron check`.
func TestScheduleFileMistakes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	path := filepath.Join(r.Dir, "schedule.yaml")
	item := func(text string) string { return "entries:\n- {spec: '@daily', type: t, " + text + "}\n" }
	for _, mistake := range []struct{ text, problem string }{
		{"", ": is empty"},
		{"\n  # nothing\n", ": is empty"},
		{"entries:\n- {spec: '@daily', type: t}\n# caf\xe9\n- {spec: '@daily', type: u}\n", ":3: byte 6 of the line is 0xe9, which is not UTF-8"},
		{"entries:\n- {spec: '@daily', type: t}\n\x00\n- {spec: '@daily', type: u}\n", ":3: byte 1 of the line is 0x00"},
		{"entries: [\n", ":2: flow sequence without a closing bracket"},
		{"entries: []\nentries: []\n", ":2: duplicate key"},
		{"entries: []\n---\nentries: []\n", ":3: a second document begins"},
		{"- 1\n", ":1: keys with values are wanted here"},
		{"zone: UTC\n", ":1: entries is missing"},
		{"entires: []\n", `:1: there is no key "entires"; did you mean "entries"?`},
		{"entries: 5\n", ":1: a list is wanted here"},
		{"entries: [5]\n", ":1: keys with values are wanted here"},
		{"entries:\n- {type: t}\n", ":2: spec is missing"},
		{"entries:\n- {spec: '@daily'}\n", ":2: type is missing"},
		{"entries:\n- {spec: '@daily', type: ' '}\n", ":2: "},
		{"entries:\n- {spec: '* * * *', type: t}\n", `:2: "* * * *" has 4 fields; five are wanted`},
		{"entries:\n- {spec: '@daily', cronspec: '@daily', type: t}\n", ":2: spec and cronspec are the same"},
		{"zone: Mars\nentries:\n- {spec: '@daily', type: t}\n", `:3: unknown time zone "Mars"`},
		{item("timeout: 90"), `:2: timeout: "90" is not a duration such as 90s`},
		{item("retention: -1s"), `:2: retention: "-1s" is not a duration`},
		{item("max_retry: many"), `:2: max_retry: "many" is not a whole number`},
		{item("catch_up: never"), `:2: catch_up: "never" is none of once, all, skip`},
		{item("queue: [a]"), ":2: queue: is no plain value"},
		{item("queue: \"a\\0b\""), ":2: queue: has a NUL byte"},
		{item("headers: [a]"), ":2: keys with values are wanted here"},
		{item("headers: {a: {}}"), ":2: a: is no plain value"},
		{item("name: &n x, payload: [*n]"), ":2: aliases (*name) are not taken; write the value here again"},
		{item("name: a") + "- {spec: '@hourly', type: t, name: a}\n", ":3: another entry of its name"},
		{"entries:\n- {spec: \"\xff\", type: t}\n", ":2: "},
	} {
		if err := os.WriteFile(path, []byte(mistake.text), 0o600); err != nil {
			t.Fatal(err)
		}
		// The entry stands between the line and what is wrong there.
		line, problem, _ := strings.Cut(mistake.problem, ": ")
		want := regexp.QuoteMeta(path+line) + `: (entries(\[\d\])?: )?` + regexp.QuoteMeta(problem)
		ctl(t, r, "cron", "check", path).expect(t, mistake.text, 1, "", want)
	}
	all := `zone: Asia/Tokyo
configs:
- cronspec: "@every 1h"
  task_type: t
  payload: "text"
  name: n
  zone: Europe/Berlin
  catch_up: all
  catch_up_limit: 0
  jitter: 1m30s
  queue: q
  task_id: i
  max_retry: 0
  timeout: 0
  unique: 1h
  process_in: 5s
  retention: 1.5d
  group: g
  headers: {k: v, "1": 2}
`
	if err := os.WriteFile(path, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	entry := ctl(t, r, "cron", "check", "--json", path).document(t).([]any)[0].(map[string]any)
	equal(t, "zone", entry["zone"], any("Europe/Berlin"))
	equal(t, "payload", entry["payload"], any("text"))
	var options []string
	for _, option := range entry["options"].([]any) {
		options = append(options, option.(string))
	}
	equal(t, "options", strings.Join(options, " "), `Queue("q") MaxRetry(0) TaskID("i") Timeout(0s) Unique(1h0m0s) `+
		`ProcessIn(5s) Retention(36h0m0s) Group("g") Header(["k","v"]) Header(["1","2"])`)
}

// TestCoreSchemaPayload: plain words in a payload are what YAML 1.2's core schema says; numbers that JSON can have keep their
// characters.
func TestCoreSchemaPayload(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	path := filepath.Join(t.TempDir(), "schedule.yaml")
	for written, want := range map[string]string{
		"True": "true", "TRUE": "true", "true": "true", "False": "false", "~": "null", "Null": "null", "NULL": "null", "": "null",
		"0x1F": "31", "0o17": "15", "012": "12", "+5": "5", "-0": "-0", ".5": "0.5", "-.5E-3": "-0.5E-3", "5.": "5", "1.10": "1.10", "1e3": "1e3",
		"18446744073709551616": "18446744073709551616", "00": "0",
		`"True"`: `"True"`, "'null'": `"null"`, `"12"`: `"12"`, "yes": `"yes"`, "1_000": `"1_000"`, "2026-01-02": `"2026-01-02"`, "0x": `"0x"`,
		"1.2.3": `"1.2.3"`, "--1": `"--1"`, ".": `"."`, "tRUE": `"tRUE"`, `"a\tb\"c\\"`: `"a\u0009b\"c\\"`, "é": `"é"`,
		"[NULL, {a: True}]": `[null, {"a": true}]`, "{}": "{}", "[]": "[]",
	} {
		if err := os.WriteFile(path, []byte("entries:\n- spec: '@daily'\n  type: t\n  payload:\n    v: "+written+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		checked := ctl(t, r, "cron", "check", path, "--json")
		if checked.status != 0 {
			t.Errorf("%s: %s", written, checked.err)
			continue
		}
		entry := checked.document(t).([]any)[0].(map[string]any)
		equal(t, written, entry["payload"], any(`{"v": `+want+`}`))
	}
	for _, written := range []string{".inf", "-.INF", ".NaN"} {
		os.WriteFile(path, []byte("entries:\n- spec: '@daily'\n  type: t\n  payload: {v: "+written+"}\n"), 0o600)
		ctl(t, r, "cron", "check", path).expect(t, written, 1, "", "is no number that JSON has")
	}
}
