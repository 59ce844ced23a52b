package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestPrefix: with another prefix, and a user who has no rights beyond it, all works and nothing is written elsewhere; what has
// the usual prefix sees none of it.
func TestPrefix(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	usual := StartDaemon(t, "redis: "+r.URI()+"\nroutes: [{type: t, command: {argv: [echo, usual]}}]\n")
	schedule := filepath.Join(r.Dir, "schedule.yaml")
	if err := os.WriteFile(schedule, []byte("configs: [{cronspec: '@every 1s', task_type: tick}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri := r.LogInWithPrefix("tenant-1:a", "worker", "client", "scheduler", "operator").URI()
	d := StartDaemon(t, `
redis: `+uri+`
prefix: "tenant-1:a"
endpoints: {queues: [default]}
scale: {interval: 1s}
schedule: {file: `+schedule+`}
routes:
- {type: t, command: {argv: [echo, tenant]}, limit: {scope: one, max: 1}}
- {type: tick, command: {argv: ["true"]}}
`)
	asynqctl := func(words ...string) string {
		t.Helper()
		output, err := exec.Command(filepath.Join(BuildDir(), "asynqctl"), append([]string{"--uri", uri, "--prefix", "tenant-1:a"}, words...)...).CombinedOutput()
		if err != nil {
			t.Errorf("asynqctl %v: %v: %s", words, err, output)
		}
		return string(output)
	}
	asynqctl("task", "enqueue", "--type", "t", "--payload", "1", "--id", "by-ctl")
	if status, body := ask(t, "POST", d.URL()+"/v1/tasks", `{"type": "t", "id": "by-api"}`, asJSON); status != 201 {
		t.Errorf("POST: %d %s", status, body)
	}
	for _, id := range []string{"by-ctl", "by-api"} {
		if outcome := d.Attempt(id, 1)["outcome"]; outcome != "completed" {
			t.Errorf("%s: %v", id, outcome)
		}
	}
	Eventually(t, 20*time.Second, "a tick", func() bool { return strings.Contains(d.Text(), `"type":"tick"`) })
	if text := asynqctl("queue", "ls"); !strings.Contains(text, "default") {
		t.Error(text)
	}
	if text := asynqctl("server", "ls"); !strings.Contains(text, fmt.Sprint(d.Pid())) {
		t.Error(text)
	}
	asynqctl("task", "enqueue", "--type", "t", "--payload", "1", "--in", "1h", "--id", "later")
	asynqctl("task", "delete", "--yes", "later")
	asynqctl("fsck")
	asynqctl("cron", "ls")
	Eventually(t, 20*time.Second, "/scale", func() bool {
		status, _ := ask(t, "GET", d.URL()+"/scale", "")
		return status == 200
	})
	if status, body := ask(t, "GET", d.URL()+"/metrics", ""); status != 200 || !strings.Contains(body, `asynq_queue_size{queue="default"}`) {
		t.Errorf("/metrics: %d %s", status, body)
	}
	for _, key := range r.Strings("KEYS", "*") {
		if strings.HasPrefix(key, "asynq:") == strings.HasPrefix(key, "tenant-1:a:") {
			t.Error("a key of neither:", key)
		}
	}
	if strings.Contains(d.Text(), "NOPERM") || strings.Contains(d.Text(), "lacks a right") {
		t.Error(d.Text())
	}
	if len(usual.Attempts("")) != 0 || r.Int("EXISTS", "asynq:queues") != 0 {
		t.Error("the usual prefix saw tasks of the other")
	}
}
