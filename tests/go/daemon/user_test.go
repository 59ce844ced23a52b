package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestOtherUser: a command that runs as another user has that user's environment, and ends with a killed asynqd like any
// other.
func TestOtherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	r := StartRedis(t)
	place := t.TempDir()
	os.Chmod(filepath.Dir(place), 0o755)
	os.Chmod(place, 0o777)
	d := StartDaemon(t, `
redis: `+r.URI()+`
routes:
  - {type: "who", command: {shell: 'echo "$HOME $USER $LOGNAME $(id -un) $LANG"', process: {user: nobody, env: {LANG: xx}}}}
  - {type: "own", command: {shell: 'echo "$HOME $USER"', process: {user: nobody, env: {HOME: /own}}}}
  - {type: "long", command: {shell: 'echo $$ > `+place+`/pid; exec sleep 300', process: {user: nobody}}}
`)
	for id, wanted := range map[string]string{"who": "/nonexistent nobody nobody nobody xx", "own": "/own nobody"} {
		enqueue(t, r, id, id, "", asynq.Retention(time.Hour))
		if task := settled(t, r, d, id); strings.TrimSpace(string(task.Result)) != wanted {
			t.Errorf("%s: %q, %q", id, task.Result, task.LastErr)
		}
	}
	enqueue(t, r, "long", "long", "")
	pid := ""
	Eventually(t, 20*time.Second, "the command to run", func() bool {
		text, _ := os.ReadFile(filepath.Join(place, "pid"))
		pid = strings.TrimSpace(string(text))
		return pid != ""
	})
	d.Kill()
	Eventually(t, 20*time.Second, "the command to end", func() bool {
		state, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}

// TestUserWithoutRoom: the command's user may have no more processes, a limit that asynqd has from outside. The task waits.
func TestUserWithoutRoom(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a process as another user")
	}
	r := StartRedis(t)
	other := exec.Command("sleep", "600") // the kernel counts those that were there before
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	d := StartDaemonAfter(t, "prlimit --pid $$ --nproc=0", `
redis: `+r.URI()+`
shutdown_timeout: 1s
routes:
  - {type: "theirs", command: {argv: ["true"], process: {user: nobody}}}
  - {type: "own", command: {argv: ["true"], process: {user: nobody, limits: {processes: 0}}}}
`)
	for _, test := range []struct{ id, wanted string }{{"own", "retried"}, {"theirs", "requeued"}} {
		enqueue(t, r, test.id, test.id, "", asynq.MaxRetry(5))
		if line := d.Attempt(test.id, 1); line["outcome"] != test.wanted {
			t.Errorf("%v", line)
		}
	}
	if len(d.Find("resources exhausted: cannot run it: Resource temporarily unavailable")) == 0 {
		t.Errorf("nothing is said: %s", d.Text())
	}
}
