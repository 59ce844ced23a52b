package daemon

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestProgress: what a worker, a plug-in and a plug-in that runs apart say of how far they are is what asynqctl shows of
// their tasks while they run; to readers in Go it is nothing.
func TestProgress(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	plugin := buildPlugin(t)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "py:", worker: python}
  - {type: "p:progress", plugin: {path: `+plugin+`}}
  - {type: "p:progress:apart", plugin: {path: `+plugin+`, isolate: true}}
workers:
  python: {argv: [/usr/bin/python3, `+program("worker.py")+`]}
`)
	asynqctl := func(words ...string) string {
		output, err := exec.Command(filepath.Join(BuildDir(), "asynqctl"), append([]string{"--uri", r.URI()}, words...)...).CombinedOutput()
		if err != nil {
			t.Errorf("asynqctl %v: %v: %s", words, err, output)
		}
		return string(output)
	}
	types := []string{"py:progress", "p:progress", "p:progress:apart"}
	file := filepath.Join(t.TempDir(), "more")
	for _, taskType := range types {
		enqueue(t, r, taskType, taskType, file)
	}
	all := func(words string, shown string) bool { return strings.Count(words, shown) == len(types) }
	Eventually(t, 60*time.Second, "progress", func() bool { return all(asynqctl("task", "ls", "-s", "active"), "42%, the second file") })
	os.WriteFile(file, nil, 0o644)
	Eventually(t, 60*time.Second, "more progress", func() bool {
		return all(asynqctl("server", "ls", "--json"), `"progress_text": "\u001B[31malmost"`) && all(asynqctl("server", "ls", "--json"), `"progress": 0.9,`)
	})
	for _, taskType := range types {
		if text := asynqctl("task", "inspect", taskType); !strings.Contains(text, `90%, \x1b[31malmost`) {
			t.Errorf("%s: %s", taskType, text)
		}
		var task struct {
			Progress float64 `json:"progress"`
		}
		if text := asynqctl("task", "inspect", taskType, "--json"); json.Unmarshal([]byte(text), &task) != nil || task.Progress != 0.9 {
			t.Errorf("%s: %s", taskType, text)
		}
	}
	seen := 0
	servers, err := asynq.NewInspector(r.Opt()).Servers()
	for _, server := range servers {
		for _, worker := range server.ActiveWorkers {
			if worker.TaskID == worker.TaskType && string(worker.TaskPayload) == file && worker.Queue == "default" && !worker.Started.IsZero() {
				seen++
			}
		}
	}
	if err != nil || seen != len(types) {
		t.Errorf("Go sees %d workers: %v, %v", seen, servers, err)
	}
	os.Remove(file)
	for _, taskType := range types {
		if line := d.Attempt(taskType, 1); line["outcome"] != "completed" {
			t.Errorf("%s: %v", taskType, line)
		}
	}
	Eventually(t, 60*time.Second, "nothing is left of it", func() bool { return !strings.Contains(asynqctl("server", "ls", "--json"), "almost") })
}
