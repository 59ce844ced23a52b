package daemon

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// fakeTools is a PATH in which the programs of the examples are.
func fakeTools(t testing.TB) string {
	t.Helper()
	tools := t.TempDir()
	for _, tool := range []string{"convert", "python3"} {
		if err := os.WriteFile(filepath.Join(tools, tool), []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return tools + ":" + os.Getenv("PATH")
}

// TestCheckTellsAll: what a start would refuse, or what could never work, --check-config tells.
func TestCheckTellsAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bad := write("bad.yaml", "entries:\n- {spec: x, type: t}\n", 0o600)
	good := write("good.yaml", "entries:\n- {spec: '@daily', type: t}\n", 0o600)
	write("tool", "#!/bin/sh\n", 0o700)
	plain := write("plain", "text", 0o600)
	command := func(words string) string { return "routes: [{type: a, command: {" + words + "}}]\n" }
	http := func(words string) string { return "routes: [{type: a, http: {url: http://a/, " + words + "}}]\n" }
	for _, test := range []struct{ config, want string }{ // without a complaint: it is fine
		{"schedule: {file: /nowhere.yaml}\n", `:1: schedule.file: /nowhere.yaml: No such file`},
		{"schedule: {file: " + dir + "}\n", `:1: schedule.file: ` + dir + `: Is a directory`},
		{"schedule: {file: " + bad + "}\n", `bad.yaml:2: entries[0]: "x" has 1 fields`},
		{"schedule: {file: " + good + "}\n", ``},
		{"schedule: {file: " + good + "}\nroutes: [{type: t, command: {argv: [cat]}, defaults: {queue: q}}]\n", ``},
		{command("argv: [no-such-program]"), `:1: routes[0]: argv: no-such-program: there is no such program in the PATH`},
		{command("argv: [/no/such/program]"), `argv: /no/such/program: No such file`},
		{command("argv: [" + dir + "]"), `Is a directory`},
		{command("argv: [" + plain + "]"), ``}, // root may; see below
		{command("argv: [tool]"), `there is no such program`},
		{command("argv: [tool], process: {env: {PATH: " + dir + "}}"), ``},
		{command("argv: [cat], process: {env: {PATH: " + dir + "}}"), `cat: there is no such program in the PATH`},
		{command("argv: [./tool], process: {working_directory: " + dir + "}"), ``},
		{command("argv: [./toll], process: {working_directory: " + dir + "}"), `./toll: No such file`},
		{command("argv: ['{{payload.program}}']"), ``},
		{command("shell: 'no-such-program'"), ``},
		{command("argv: 'echo hello'"), `argv: "echo hello" is one word with spaces in it`},
		{command("argv: ['echo hello']"), `is one word with spaces in it`},
		{command("argv: cat"), ``},
		{"workers: {w: {argv: [no-such-program]}}\n", `:1: workers.w: argv: no-such-program: there is no such program`},
		{"workers: {w: {argv: 'python3 worker.py'}}\n", `argv: "python3 worker.py" is one word`},
		{http("tls: {ca_file: /nowhere.pem}"), `:1: routes[0]: tls.ca_file: /nowhere.pem: No such file`},
		{http("tls: {cert_file: /nowhere.pem, key_file: " + plain + "}"), `tls.cert_file: /nowhere.pem: No such file`},
		{http("tls: {ca_file: " + plain + "}"), ``},
		{http("proxy: foo"), `proxy: is no URL`},
		{http("proxy: 'foo:80'"), `proxy: is no URL`},
		{http("proxy: 'gopher://foo'"), `proxy: is no URL`},
		{http("proxy: 'http://bad host'"), `proxy: is no URL`},
		{http("proxy: 'http://u:p@proxy:3128'"), ``},
		{http("proxy: 'socks5h://proxy'"), ``},
		{http(`body: '{"a": {{payload.a}} '`), `body: is no JSON`},
		{http(`body: '{"a": {{payload.a}},}'`), `body: is no JSON`},
		{http(`body: 'a={{payload.a}}'`), `body: is no JSON`},
		{http(`body: '{"a": "x {{payload.a}}", "b": [{{payload.b}}, {{payload.c?}}], "{{task.id}}": 1}'`), ``},
		{http(`body: '{ {{payload.key}}: 1}'`), ``},
		{http(`body: 'a={{payload.a}}', content_type: text/plain`), ``},
		{http(`body: "{}\n{}", content_type: application/x-ndjson`), ``},
		{http(`body: "{}\n{}", content_type: "application/vnd.x+json; charset=utf-8"`), `body: is no JSON`},
		{"endpoints: {cert_file: /nowhere.pem, key_file: /nowhere.key}\n", `endpoints.cert_file: /nowhere.pem: `},
		{"endpoints: {cert_file: " + plain + ", key_file: " + plain + "}\n", `endpoints.cert_file: ` + plain + `: `},
		{"routes:\n- {type: a, command: {argv: [cat]}, limit: {scope: s, max: 1}}\n- {type: b, command: {argv: [cat]}, limit: {scope: s, max: 2}}\n",
			`:3: routes[1]: limit: the scope "s" has 2 here and 1 in the route "a"`},
		{"routes:\n- {type: a, command: {argv: [cat]}, limit: {scope: s, max: 2}}\n- {type: b, command: {argv: [cat]}, limit: {scope: s, max: 2}}\n", ``},
		{"redis: 'redis://u:secret@bad host/0'\n", `in the host`},
		{"redis: redis://a\nredis_host: bad host\n", `redis_host: Redis URI: there is a space`},
		{"redis: private\nprivate_redis: {program: no-such-redis}\n", `private_redis.program: no-such-redis: there is no such program`},
	} {
		if test.config[:6] != "redis:" {
			test.config += "redis: redis://a\n"
		}
		output, ok := asynqd(t, test.config, nil, "--check-config")
		if ok != (test.want == "") || !strings.Contains(output, test.want) {
			if !(strings.Contains(test.config, plain+"]") && strings.Contains(output, "Permission denied")) {
				t.Errorf("%s: %v %s", test.config, ok, output)
			}
		}
		if strings.Contains(output, "secret") {
			t.Errorf("a password: %s", output)
		}
	}
}

// TestMissingProgramAtStart: one program that is not there is a warning, and the other routes work; it may come later.
func TestMissingProgramAtStart(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: a, command: {argv: [no-such-program]}}, {type: b, command: {argv: [cat]}}]\n")
	if lines := d.Find("argv: no-such-program: there is no such program"); len(lines) != 1 || lines[0]["level"] != "warn" {
		t.Errorf("%v", lines)
	}
	enqueue(t, r, "fine", "b", "")
	if d.Attempt("fine", 1)["outcome"] != "completed" {
		t.Error("the other route does not work")
	}
}

// TestExamplesStart: the configurations of the README, the manual and contrib are fine, and asynqd starts with them as they stand
// there; only Redis is another one.
func TestExamplesStart(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("../../..", path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	examples := map[string]string{}
	if block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindStringSubmatch(read("README.md")); block != nil {
		examples["README.md"] = block[1]
	}
	for _, block := range regexp.MustCompile(`(?s)\.Bd -literal[^\n]*\n(.*?)\.Ed`).FindAllStringSubmatch(read("docs/asynqd.8"), -1) {
		if strings.Contains(block[1], "routes:") {
			examples["asynqd.8"] = block[1]
		}
	}
	if len(examples) != 2 {
		t.Fatalf("examples: %v", examples)
	}
	tools := t.TempDir()
	for name, text := range examples {
		output, ok := asynqd(t, text, []string{"PATH=" + fakeTools(t)}, "--check-config")
		if !ok {
			t.Errorf("%s: %s", name, output)
		}
		d := StartDaemon(t, text, "--redis", r.URI(), "--shutdown-timeout", "1s")
		if got := d.Find("asynqd ready: "); len(got) != 1 {
			t.Errorf("%s: %s", name, d.Text())
		}
	}
	schedule := regexp.MustCompile(`(?s)\.Bd -literal[^\n]*\n(zone:.*?)\.Ed`).FindStringSubmatch(read("docs/asynq-schedule.5"))
	if schedule == nil {
		t.Fatal("asynq-schedule(5) has no example")
	}
	file := filepath.Join(tools, "schedule.yaml")
	os.WriteFile(file, []byte(schedule[1]), 0o600)
	d := StartDaemon(t, "redis: "+r.URI()+"\nschedule: {file: "+file+"}\n")
	Eventually(t, 20*time.Second, "the entries", func() bool { return r.Int("EXISTS", "asynq:schedulers") == 1 })
	d.End()
}
