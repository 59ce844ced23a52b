package system

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestLackOfThreads: when a server cannot start the threads that it needs, no task fails for it and none begins after it
// was given up; the server takes as many tasks as it has threads, and all that it may when threads can be had again.
func TestLackOfThreads(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(before, " threads"), func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 4, LedgerPath: filepath.Join(r.Dir, "ledger")})
			notes := notesOf(server)
			client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
			defer client.Close()
			defer inspector.Close()
			enqueue := func(prefix string, count int) {
				for i := range count {
					task := asynq.NewTask("t", []byte(`{"sleep_ms":700}`))
					_, err := client.Enqueue(task, asynq.TaskID(fmt.Sprint(prefix, i)), asynq.Timeout(time.Second),
						asynq.Retention(time.Hour), asynq.MaxRetry(0))
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			completed := func() int64 { return r.Int("ZCARD", QueueKey("default", "completed")) }
			active := func() int64 { return r.Int("LLEN", QueueKey("default", "active")) }
			enqueue("first-", before)
			Eventually(t, 20*time.Second, "the first", func() bool { return completed() == int64(before) })

			server.Must("process.threads", M{"allowed": false})
			enqueue("lacking-", 5)
			if before > 0 {
				Eventually(t, 60*time.Second, "those that there are threads for", func() bool {
					return r.Int("LLEN", QueueKey("default", "pending"))+active() == 0
				})
			}
			for id, count := range Starts(server.Ledger()) {
				equal(t, "starts of "+id, count, 1)
			}
			equal(t, "failed for lack of threads", r.Text("GET", QueueKey("default", "failed")), "")
			complaint := fmt.Sprintf("log threads exhausted: %d tasks at a time instead of 4", before)
			Eventually(t, 20*time.Second, complaint, func() bool { return containsPrefix(notes(), complaint) })
			Eventually(t, 30*time.Second, "its record to tell", func() bool {
				servers, err := inspector.Servers()
				return err == nil && len(servers) == 1 && servers[0].Concurrency == before
			})

			server.Must("process.threads", M{"allowed": true})
			Eventually(t, 60*time.Second, "all the threads", func() bool {
				servers, err := inspector.Servers()
				return err == nil && len(servers) == 1 && servers[0].Concurrency == 4
			})
			enqueue("last-", 8)
			Eventually(t, 20*time.Second, "four at a time", func() bool { return active() == 4 })
			Eventually(t, 30*time.Second, "all", func() bool { return completed() == int64(before+13) })
			for id, count := range Starts(server.Ledger()) {
				equal(t, "starts of "+id, count, 1)
			}
			equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
			IsWell(t, r)
		})
	}
}
