package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// buildPlugin compiles the tests' plug-in, as its author would.
func buildPlugin(t testing.TB, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin.so")
	words := append([]string{"-shared", "-fPIC", "-Wall", "-Wno-unused", "-Wno-override-init"}, flags...)
	words = append(words, "-I", "../../../include", "-I", filepath.Join(BuildDir(), "include"), "-o", path, "../../plugins/plugin.c")
	if output, err := exec.Command("gcc", words...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, output)
	}
	return path
}

// TestPluginOfNewerHeaders: the plug-in's routes, and what they have inside, are larger than asynqd's.
func TestPluginOfNewerHeaders(t *testing.T) {
	t.Parallel()
	headers := t.TempDir()
	files, _ := filepath.Glob("../../../include/asynq/*.h")
	files = append(files, filepath.Join(BuildDir(), "include/asynq/version.h"))
	words := append([]string{filepath.Join(headers, "asynq")}, files...)
	if output, err := exec.Command("../../abi/grow-headers", words...).CombinedOutput(); err != nil {
		t.Fatalf("grow-headers: %v\n%s", err, output)
	}
	r := StartRedis(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "p:", plugin: {path: `+buildPlugin(t, "-I", headers)+`, config: "some text"}}
`)
	enqueue(t, r, "task", "p:later", "")
	if line := d.Attempt("task", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
}

// TestPlugin: handlers from a shared object run in asynqd's threads and in processes alike.
func TestPlugin(t *testing.T) {
	t.Parallel()
	path := buildPlugin(t)
	for _, isolated := range []string{"false", "true"} {
		t.Run("isolate: "+isolated, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			d := StartDaemon(t, `
redis: `+r.URI()+`
concurrency: 20
routes:
  - {type: "p:", plugin: {path: `+path+`, config: "some text", isolate: `+isolated+`, size: 2}}
  - {type: "p:fail:slowly", plugin: {path: `+path+`, config: "some text", isolate: `+isolated+`}, retry: {policy: constant, initial_delay: 500s}}
`)
			for i, test := range []struct{ taskType, payload, outcome, result, failure string }{
				{"p:echo", "\x00binary\xff", "completed", "\x00binary\xff", ""},
				{"p:later", "", "completed", "later", ""},
				{"p:fail", "", "retried", "", "no such thing"},
				{"p:fail", "skip", "archived", "", "never"},
				{"p:fail", "revoke", "revoked", "", "not wanted"},
				{"p:fail", "snooze", "snoozed", "", "asleep"},
				{"p:unheard-of", "", "retried", "", `handler not found for task "p:unheard-of"`},
			} {
				id := fmt.Sprint("task-", i)
				enqueue(t, r, id, test.taskType, test.payload, asynq.MaxRetry(7))
				line := d.Attempt(id, 1)
				if text, _ := line["error"].(string); line["outcome"] != test.outcome || text != test.failure {
					t.Errorf("%s: %v", id, line)
				}
				if test.outcome == "completed" {
					if got := string(settled(t, r, d, id).Result); got != test.result {
						t.Errorf("%s: result %q", id, got)
					}
				}
			}
			enqueueTask(t, r, "describe", asynq.NewTaskWithHeaders("p:describe", nil, map[string]string{"who": "me"}), asynq.MaxRetry(7))
			got := string(settled(t, r, d, "describe").Result)
			if want := "describe p:describe default 0 7 me some text argument "; !strings.HasPrefix(got, want) ||
				(isolated == "true") == strings.HasSuffix(got, fmt.Sprint(" ", d.Pid())) {
				t.Errorf("%q in %d", got, d.Pid())
			}
			for id, seconds := range map[string]float64{"p:fail": 77, "p:fail:slowly": 500} {
				payload := map[string]string{"p:fail": "later"}[id]
				enqueue(t, r, id, id, payload, asynq.MaxRetry(7))
				if pause := d.Attempt(id, 1)["next_in_ms"].(float64) / 1000; pause < seconds-2 || pause > seconds {
					t.Errorf("%s: again in %v s", id, pause)
				}
			}
			file := filepath.Join(d.Dir, "wait")
			enqueue(t, r, "wait", "p:wait", file)
			content := func(want string) {
				t.Helper()
				Eventually(t, 20*time.Second, "the handler to be "+want, func() bool { text, _ := os.ReadFile(file); return string(text) == want })
			}
			content("waiting")
			inspector := asynq.NewInspector(r.Opt())
			defer inspector.Close()
			if err := inspector.CancelProcessing("wait"); err != nil {
				t.Fatal(err)
			}
			content("cancelled")
			if isolated == "true" {
				enqueue(t, r, "crash", "p:crash", "", asynq.MaxRetry(7))
				line := d.Attempt("crash", 1)
				if text, _ := line["error"].(string); line["outcome"] != "retried" ||
					!strings.HasSuffix(text, ": killed by signal 11 (Segmentation fault): about to crash") {
					t.Errorf("%v", line)
				}
				enqueue(t, r, "after", "p:echo", "x")
				settled(t, r, d, "after")
			}
			d.End()
			if !strings.Contains(d.Text(), "stopped") {
				t.Errorf("the plug-in was not stopped: %s", d.Text())
			}
			IsWell(t, r)
		})
	}
}

// TestPluginMistakes: what does not fit is told with file, line and reason.
func TestPluginMistakes(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage.so")
	if err := os.WriteFile(garbage, []byte("no object"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{"/no/such.so", "/no/such.so: cannot open shared object file: No such file or directory"},
		{garbage, "garbage.so: file too short"},
		{buildPlugin(t, "-DWRONG_ENTRY"), "plugin.so: is no plug-in of asynqd, as it has no asynq_plugin_1"},
		{buildPlugin(t, "-DWRONG_VERSION"), "plugin.so: is a plug-in of version 7; this asynqd takes version 1"},
		{buildPlugin(t, "-DWITHOUT_SIZES"), "plugin.so: the plug-in has no sizes; define it with ASYNQ_PLUGIN()"},
		{buildPlugin(t, "-DWRONG_SYMBOL"), "plugin.so: undefined symbol: missing_function"},
	} {
		output, ok := asynqd(t, "routes:\n- type: t\n  plugin: "+test.path+"\n", nil, "--check-config")
		if ok || !strings.Contains(output, ":3: routes[0].plugin: path: ") && !strings.Contains(output, ":2: routes[0].plugin: path: ") ||
			!strings.Contains(output, test.want) {
			t.Errorf("%s: %s", test.want, output)
		}
	}
	refusing := "redis: unix:///none\nroutes: [{type: t, plugin: {path: " + buildPlugin(t) + ", config: refuse}}]\n"
	path := filepath.Join(t.TempDir(), "asynqd.yaml")
	if err := os.WriteFile(path, []byte(refusing), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := DaemonCommand("--config", path, "--endpoints-listen", "").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "plugin.so: it does not want to") {
		t.Errorf("%v: %s", err, output)
	}
}

// badPlugin compiles an object that does something when it is loaded.
func badPlugin(t testing.TB, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bad.so")
	source := strings.TrimSuffix(path, ".so") + ".c"
	os.WriteFile(source, []byte("#include <signal.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"+
		"__attribute__((constructor)) static void begin(void) { "+body+" }\n"), 0o600)
	if output, err := exec.Command("gcc", "-shared", "-fPIC", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, output)
	}
	return path
}

// TestPluginThatCrashes: a plug-in, isolated or not, that crashes, ends, hangs or talks when it is loaded does so in a process of its
// own, also when the configuration is only looked at; that takes 5 s at most, and asynqd works meanwhile.
func TestPluginThatCrashes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, says string }{
		"crash":    {"abort();", "it crashes when it is loaded: signal 6"},
		"end":      {"_exit(0);", "it ends the process that loads it, with status 0"},
		"failure":  {"_exit(7);", "it ends the process that loads it, with status 7"},
		"hang":     {"pause();", "it was not loaded within 5 s"},
		"closed":   {"for (int i = 0; i < 64; i++) close(i); for (;;) pause();", "it was not loaded within 5 s"},
		"flood":    {"signal(SIGPIPE, SIG_IGN); for (;;) for (int i = 1; i < 64; i += 2) (void)!write(i, \"spam\\n\", 5);", "it was not loaded within 5 s"},
		"deaf":     {"for (int i = 1; i < 32; i++) signal(i, SIG_IGN); for (;;) pause();", "it was not loaded within 5 s"},
		"talk":     {"puts(\"fine\"); fflush(stdout);", "bad.so: is no plug-in of asynqd"},
		"children": {"if (!fork()) for (;;) pause();", "bad.so: is no plug-in of asynqd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pluginCrashes(t, test.body, test.says, "true")
		})
		if name == "crash" || name == "end" || name == "hang" {
			t.Run(name+" in asynqd", func(t *testing.T) {
				t.Parallel()
				pluginCrashes(t, test.body, test.says, "false")
			})
		}
	}
}

const staysAsItIs = "reload failed: "

// worksMeanwhile has the configuration read again, and tells whether a task ran before that had an end.
func worksMeanwhile(t *testing.T, r *Redis, d *Daemon, try int) bool {
	before := len(d.Find(staysAsItIs))
	d.Signal(syscall.SIGHUP)
	id := fmt.Sprint("meanwhile-", try)
	enqueue(t, r, id, "t", "")
	d.Attempt(id, 1)
	was := len(d.Find(staysAsItIs)) == before
	Eventually(t, 30*time.Second, staysAsItIs, func() bool { return len(d.Find(staysAsItIs)) > before })
	return was
}

func pluginCrashes(t *testing.T, body, says, isolated string) {
	r := StartRedis(t)
	good := "redis: " + r.URI() + "\nroutes: [{type: t, command: {argv: [cat]}}]\n"
	path := badPlugin(t, body)
	config := "redis: " + r.URI() + "\nroutes: [{type: t, plugin: {path: " + path + ", isolate: " + isolated + "}}]\n"
	if output, ok := asynqd(t, config, nil, "--check-config"); ok || !strings.Contains(output, says) {
		t.Errorf("%s: %q", body, output)
	}
	d := StartDaemon(t, good)
	d.Configure(config)
	if !strings.Contains(says, "within 5 s") {
		reload(t, d, config, staysAsItIs)
	} else if !slices.ContainsFunc([]int{1, 2, 3}, func(try int) bool { return worksMeanwhile(t, r, d, try) }) {
		t.Errorf("%s: no task ran until the plug-in was given up, three times", body)
	}
	if len(d.Find(says)) == 0 {
		t.Errorf("%s: nothing is said about it", body)
	}
	enqueue(t, r, "still", "t", "")
	if line := d.Attempt("still", 1); line["outcome"] != "completed" {
		t.Errorf("%v", line)
	}
	if left, _ := exec.Command("pgrep", "-f", path).Output(); len(left) != 0 {
		t.Errorf("processes are left: %s", left)
	}
}

// TestPluginThatWaits: what a plug-in waits for when it starts and stops holds nothing else up.
func TestPluginThatWaits(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	path, file := buildPlugin(t), filepath.Join(t.TempDir(), "file")
	without := "redis: " + r.URI() + "\nroutes:\n  - {type: t, command: {argv: [cat]}}\n"
	with := without + "  - {type: \"p:\", plugin: {path: " + path + ", config: \"wait " + file + "\"}}\n"
	d := StartDaemon(t, without)
	works := func(id string) {
		t.Helper()
		enqueue(t, r, id, "t", "")
		if line := d.Attempt(id, 1); line["outcome"] != "completed" {
			t.Errorf("%s: %v", id, line)
		}
	}
	d.Configure(with)
	read := len(d.Find(wasRead))
	d.Signal(syscall.SIGHUP)
	Eventually(t, 30*time.Second, "it to start", func() bool { return strings.Contains(d.Text(), "waits for .start") })
	works("while it starts")
	os.WriteFile(file+".start", nil, 0o644)
	Eventually(t, 30*time.Second, "the configuration to be read", func() bool { return len(d.Find(wasRead)) > read })
	enqueue(t, r, "p", "p:echo", "x")
	d.Attempt("p", 1)
	reload(t, d, without, wasRead)
	Eventually(t, 30*time.Second, "it to be stopped", func() bool { return strings.Contains(d.Text(), "waits for .stop") })
	works("while it stops")
	os.WriteFile(file+".stop", nil, 0o644)
	Eventually(t, 30*time.Second, "its end", func() bool { return strings.Contains(d.Text(), "stopped\n") })
	reload(t, d, with, wasRead)
	d.End()
}
