package daemon

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"gopkg.in/yaml.v3"
)

// TestValuesFromElsewhere: values come from the environment and from files, everywhere; what cannot be had is told, and neither
// --print-config nor a complaint shows what came from there.
func TestValuesFromElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, nul, latin, empty := write("token", "s3cret-file\n"), write("nul", "a\x00b"), write("latin", "\xfcber"), write("empty", "\n")
	variables := []string{"PW=s3cret-pw", "N=7", "Q=mail-*", "TOKEN=s3cret-token", "EMPTY=", "LATIN=\xfc", "WRONG=s3cret wrong"}
	config := `
redis: "redis://u:${PW}@h:1/0"
concurrency: ${N}
queues: {a: "${N}", b: 2}
endpoints: {token: {file: ` + token + `}, queues: ["${Q}", own]}
routes:
- type: "x:"
  http:
    url: "https://h/${TOKEN}"
    headers: {Authorization: "Bearer ${TOKEN}", X-Key: {file: ` + token + `}, X-Mixed: "s3cret-${TOKEN}", X-Plain: s3cret-plain}
    proxy: "http://u:${PW}@p:1"
    tls: {verify: False}
- type: "y:"
  command: {argv: [sh, -c, "echo $${HOME} $x $$", "${TOKEN}", {file: ` + token + `}, "${EMPTY}"], process: {env: {A: "${TOKEN}"}}}
- {type: "w:", command: {argv: [env, "A=${N}", bash, -euc, "echo ${TOKEN} ${A:-x} ${#A}", "${TOKEN}"]}}
- {type: "z:", command: {shell: "echo ${NOT_OURS}"}, retry: {initial_delay: "${N}s"}}
`
	output, ok := asynqd(t, config, variables, "--print-config")
	if !ok || strings.Contains(output, "s3cret") {
		t.Fatalf("%v: %s", ok, output)
	}
	for _, want := range []string{`redis: "redis://u:${PW}@h:1/0"`, `concurrency: "${N}"`, `queues: {a: "${N}", b: 2}`, `token: {file: ` + token + `}`,
		`queues: ["${Q}", own]`, `url: "https://h/${TOKEN}"`, `Authorization: "Bearer ${TOKEN}"`, `X-Key: {file: ` + token + `}`, `X-Mixed: "***"`,
		`X-Plain: "***"`, `proxy: "http://u:${PW}@p:1"`, `verify: false`, `"echo $${HOME} $x $$", "${TOKEN}", {file: ` + token + `}, "${EMPTY}"]`,
		`[env, "A=${N}", bash, "-euc", "echo $${TOKEN} $${A:-x} $${#A}", "${TOKEN}"]`, `env: {A: "${TOKEN}"}`, `shell: "echo ${NOT_OURS}"`} {
		if !strings.Contains(output, want) {
			t.Errorf("there is no %s in\n%s", want, output)
		}
	}
	again, ok := asynqd(t, output, variables, "--print-config")
	if strip := func(s string) string { return regexpOrigins.ReplaceAllString(s, "") }; !ok || strip(again) != strip(output) {
		t.Errorf("what is printed is read as\n%s", again)
	}
	for _, test := range []struct{ config, want string }{
		{"concurrency: ${NONE}\n", `:1: concurrency: there is no $NONE in the environment`},
		{"redis: redis://a\nroutes:\n- {type: a, http: {url: http://a/, headers: {A: \"b ${NONE}\"}}}\n", `:3: routes[0].http.headers: A: there is no $NONE`},
		{"routes: [{type: a, command: {argv: [a, '${NONE}']}}]\n", `argv[1]: there is no $NONE`},
		{"state_directory: ${}\n", `"${" begins a variable`},
		{"state_directory: ${1A}\n", `"${" begins a variable`},
		{"state_directory: ${A\n", `"${" begins a variable`},
		{"state_directory: ${LATIN}\n", `$LATIN is not UTF-8`},
		{"concurrency: ${EMPTY}\n", `"" is not a whole number`},
		{"concurrency: ${WRONG}\n", `"${WRONG}" is not a whole number`},
		{"queues: {a: {file: " + token + "}}\n", `"{file: ` + token + `}" is no priority`},
		{"routes: [{type: a, http: {url: '${WRONG}'}}]\n", `url: "${WRONG}" does not begin with`},
		{"state_directory: {file: /nowhere}\n", `state_directory: /nowhere: No such file`},
		{"state_directory: {file: " + nul + "}\n", `nul: has a NUL byte`},
		{"state_directory: {file: " + latin + "}\n", `latin: is not UTF-8`},
		{"state_directory: {file: " + empty + "}\n", `empty: is empty`},
		{"state_directory: {file: " + dir + "}\n", `Is a directory`},
		{"state_directory: {fil: x}\n", `is no plain value`},
		{"state_directory: {file: x, more: y}\n", `is no plain value`},
	} {
		output, ok := asynqd(t, test.config, variables, "--check-config")
		if ok || !strings.Contains(output, test.want) || strings.Contains(output, "s3cret") {
			t.Errorf("%s: %v %s", test.config, ok, output)
		}
	}
	// Wherever the YAML stands, and who finds the mistake.
	for _, test := range []struct{ routes, want string }{
		{`[{type: a, worker: {pool: "${TOKEN}"}}]`, `there is no worker pool "${TOKEN}"`},
		{`[{type: a, worker: {pool: {file: ` + token + `}}}]`, `there is no worker pool "{file: ` + token + `}"`},
		{`[{type: a, command: {argv: ["/${TOKEN}"]}}]`, `argv: /${TOKEN}: No such file`},
		{`[{type: a, command: {argv: ["${TOKEN}"]}}]`, `argv: ${TOKEN}: there is no such program`},
		{`[{type: a, limit: {scope: "${TOKEN}", max: 1}, command: {argv: [cat]}}, {type: b, limit: {scope: "${TOKEN}", max: 2}, command: {argv: [cat]}}]`,
			`the scope "${TOKEN}" has`},
	} {
		for origin, given := range map[string][2]string{":2: ": {"redis: redis://a\nroutes: " + test.routes + "\n", ""}, "$ASYNQD_ROUTES:": {"redis: redis://a\n", "ASYNQD_ROUTES=" + test.routes}} {
			output, ok := asynqd(t, given[0], append([]string{given[1]}, variables...), "--check-config")
			if ok || !strings.Contains(output, test.want) || !strings.Contains(output, origin) || strings.Contains(output, "s3cret") {
				t.Errorf("%s: %v %s", given, ok, output)
			}
		}
	}
	// They are what they are when asynqd works with them.
	r := StartRedis(t)
	t.Run("at work", func(t *testing.T) {
		d := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [sh, -c, 'echo \"$1 $2 $${0} ${X}\"', zero, {file: "+token+"}, '${HOME}'], process: {env: {X: \"the shell's\"}}}}]\n")
		enqueue(t, r, "one", "t", "")
		d.Attempt("one", 1)
		Eventually(t, 20e9, "the result", func() bool {
			return string(info(t, r, "one").Result) == "s3cret-file "+os.Getenv("HOME")+" zero the shell's\n"
		})
	})
}

// TestPrintedYAML: what --print-config prints means the same to other readers of YAML.
func TestPrintedYAML(t *testing.T) {
	t.Parallel()
	words := []string{"true", "No", "null", "~", "0.3", "1e3", "012", "-1", "2026-01-02", "=", "<<", ".5", "*x", "&x", "!x", "a: b", "a #b", "y", "on", ".inf",
		"\u202e\u009b\x07\ufe0f\u3164", "é", "'", `"`, `\`, "a b", "", " ", "%", "@", "`", "0x1f", "1_000", "12:30:45", "[", "{}", "?", "- a", "${x}", "$", "true "}
	list, _ := yaml.Marshal(words)
	config := "routes:\n- type: t\n  command:\n    argv:\n" + strings.ReplaceAll("      "+strings.ReplaceAll(strings.TrimSpace(string(list)), "\n", "\n      "), "${x}", "$${x}") + "\n"
	output, ok := asynqd(t, config, nil, "--print-config")
	if !ok {
		t.Fatal(output)
	}
	var read struct {
		Routes []struct{ Command struct{ Argv []any } }
	}
	if err := yaml.Unmarshal([]byte(output), &read); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var wanted []any
	for _, word := range words {
		wanted = append(wanted, strings.ReplaceAll(word, "${x}", "$${x}"))
	}
	if !reflect.DeepEqual(read.Routes[0].Command.Argv, wanted) {
		t.Errorf("%q", read.Routes[0].Command.Argv)
	}
	again, ok := asynqd(t, output, nil, "--print-config")
	if strip := func(s string) string { return regexpOrigins.ReplaceAllString(s, "") }; !ok || strip(again) != strip(output) {
		t.Errorf("it is read as\n%s", again)
	}
	if c := strings.IndexFunc(output, func(c rune) bool { return c == 0x202e || c == 0x9b || c == 0xfe0f || c == 0x3164 }); c >= 0 {
		t.Errorf("it steers the terminal: %q", output)
	}
}

// TestCoreSchema: True, TRUE, Null and ~ are what YAML 1.2 says, and what is not taken of YAML is told.
func TestCoreSchema(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"true", "True", "TRUE", "yes", "On", "1"} {
		if output, ok := asynqd(t, "redis: redis://a\nstrict_priority: "+word+"\n", nil, "--print-config"); !ok || !strings.Contains(output, "strict_priority: true") {
			t.Errorf("%s: %s", word, output)
		}
	}
	for _, test := range []struct{ config, want string }{
		{"concurrency: &n 3\nlog: {level: *n}\n", `:2: aliases (*name) are not taken`},
		{"routes:\n- &r {type: a, command: {argv: [cat]}}\n- <<: *r\n  type: b\n", `:3: merge keys (<<) are not taken`},
		{"queues: {<<: {a: 1}, b: 2}\n", `merge keys (<<) are not taken`},
		{"concurrency: " + strings.Repeat("[", 600) + strings.Repeat("]", 600) + "\n", `depth`},
	} {
		if output, ok := asynqd(t, test.config, nil, "--check-config"); ok || !strings.Contains(output, test.want) {
			t.Errorf("%.60s: %v %s", test.config, ok, output)
		}
	}
	// An option that is not given is not, though others of its group are.
	if output, ok := asynqd(t, "redis: redis://a\nendpoints: {readiness_max_heartbeat_age: 20s}\n", nil, "--print-config"); !ok || !strings.Contains(output, "listen: \"127.0.0.1:9273\"  # default") {
		t.Errorf("%s", output)
	}
}
