package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

func status(t *testing.T, r *Redis) string {
	t.Helper()
	keys := r.Strings("KEYS", "asynq:servers:{*")
	if len(keys) != 1 {
		return ""
	}
	info, err := base.DecodeServerInfo([]byte(r.Text("GET", keys[0])))
	if err != nil {
		t.Fatal(err)
	}
	return info.Status
}

// TestSignals: the trace worker, a program made with asynq_serve(), obeys Asynq's signals.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, last := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run("S-04 "+last.String(), func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			worker := exec.Command(filepath.Join(BuildDir(), "trace-worker"), "--redis", r.URI(), "--concurrency", "3")
			var log strings.Builder
			worker.Stderr = &log
			if err := worker.Start(); err != nil {
				t.Fatal(err)
			}
			defer worker.Process.Kill()
			Eventually(t, 5*time.Second, "an active server", func() bool { return status(t, r) == "active" })
			e := NewGoEnqueuer(t, r)
			e.Enqueue(Task{Type: "cost:calculate", Payload: P(`{"model":"medium","input_tokens":1000000}`),
				Own: Options{ID: P("cost"), Queue: P("critical"), Retention: P(time.Hour)}})
			Eventually(t, 5*time.Second, "the result", func() bool {
				return r.Text("HGET", TaskKey("critical", "cost"), "result") == `{"dollars":2.5}`
			})
			worker.Process.Signal(syscall.SIGTSTP)
			Eventually(t, 10*time.Second, "a stopped server", func() bool { return status(t, r) == "stopped" })
			worker.Process.Signal(last)
			if err := worker.Wait(); err != nil {
				t.Errorf("exit: %v\n%s", err, log.String())
			}
			equal(t, "records", len(r.Strings("KEYS", "asynq:servers*"))+len(r.Strings("KEYS", "asynq:workers*")), 0)
			if !strings.Contains(log.String(), "INFO: server shutting down: ") {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}
