package system

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestSetConcurrency: how many tasks run at the same time changes while the server runs; down to none, and up again; with
// handlers in threads and without.
func TestSetConcurrency(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"task", "async:"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 2, LedgerPath: filepath.Join(r.Dir, "ledger")})
			client := asynq.NewClient(r.Opt())
			defer client.Close()
			set := func(n int) {
				t.Helper()
				server.Must("server.set_concurrency", M{"n": n})
			}
			active := func() int64 { return r.Int("LLEN", QueueKey("default", "active")) }
			ended := func() (count int) {
				for _, line := range server.Ledger() {
					if line.What == "end" {
						count++
					}
				}
				return count
			}
			for i := range 40 {
				task := asynq.NewTask(kind, []byte(`{"sleep_ms":300}`))
				if _, err := client.Enqueue(task, asynq.TaskID(fmt.Sprint(i)), asynq.Retention(time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			Eventually(t, 10*time.Second, "two to run", func() bool { return active() == 2 })
			set(8)
			Eventually(t, 10*time.Second, "eight to run", func() bool { return active() == 8 })
			set(0)
			Eventually(t, 10*time.Second, "none to run", func() bool { return active() == 0 })
			done := ended()
			time.Sleep(600 * time.Millisecond)
			if active() != 0 || ended() != done {
				t.Errorf("tasks run with a concurrency of 0: %d, then %d have ended", done, ended())
			}
			inspector := asynq.NewInspector(r.Opt())
			defer inspector.Close()
			Eventually(t, 20*time.Second, "the record to tell", func() bool {
				servers, err := inspector.Servers()
				return err == nil && len(servers) == 1 && servers[0].Concurrency == 0
			})
			set(3)
			highest := int64(0)
			Eventually(t, 30*time.Second, "all to be completed", func() bool {
				highest = max(highest, active())
				return r.Int("ZCARD", QueueKey("default", "completed")) == 40
			})
			if highest != 3 {
				t.Errorf("%d ran at the same time with a concurrency of 3", highest)
			}
			if answer := server.Do("server.set_concurrency", M{"n": -1}); Status(answer) == 0 {
				t.Errorf("a concurrency of -1 is taken: %v", answer)
			}
			IsWell(t, r)
		})
	}
}
