package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
)

// Finding is one line of what "asynqctl fsck" finds.
type Finding struct {
	Fault, Queue, Key, Detail, Repaired string
	TaskID                              string `json:"task_id"`
}

// FsckSummary is its last line.
type FsckSummary struct{ Tasks, Keys, Findings, Repaired int }

// Fsck runs "asynqctl fsck" and returns what it prints, and its exit status.
func Fsck(t testing.TB, r *Redis, args ...string) (findings []Finding, summary FsckSummary, status int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(BuildDir(), "asynqctl"), append([]string{"fsck", "--json", "--uri", r.URI()}, args...)...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	var ended *exec.ExitError
	if (err != nil && !errors.As(err, &ended)) || problem.Len() > 0 {
		t.Fatalf("fsck: %v %s", err, problem.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	findings = make([]Finding, len(lines)-1)
	for i, line := range lines {
		var into any = &summary
		if i < len(findings) {
			into = &findings[i]
		}
		if err := json.Unmarshal(line, into); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if summary.Findings != len(findings) {
		t.Errorf("fsck counts %d findings and prints %d", summary.Findings, len(findings))
	}
	return findings, summary, cmd.ProcessState.ExitCode()
}

// IsWell is the last question of a test about what is left in Redis: does it keep every invariant? Records of servers
// that were killed stay until somebody lists servers; that is as it should be.
func IsWell(t testing.TB, r *Redis) {
	t.Helper()
	findings, _, _ := Fsck(t, r)
	for _, finding := range findings {
		if finding.Fault != "stale-record" {
			t.Errorf("fsck: %+v (one of %d)", finding, len(findings))
			return
		}
	}
}
