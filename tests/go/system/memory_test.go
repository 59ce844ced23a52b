package system

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestWantOfMemory: while allocations fail, tasks come back later; none is taken for malformed, and none is archived,
// though each may run but once.
func TestWantOfMemory(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	peer.Must("starve", M{"every": 0})
	s := StartCServerIn(peer, ServerOptions{Concurrency: 8, LedgerPath: filepath.Join(r.Dir, "ledger")})
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	peer.Must("starve", M{"every": 100})
	const count = 400
	for i := range count {
		if _, err := client.Enqueue(asynq.NewTask("t", []byte("{}")), asynq.TaskID(fmt.Sprint("m", i)), asynq.MaxRetry(0)); err != nil {
			t.Fatal(err)
		}
	}
	archived := func() int64 { return r.Int("ZCARD", QueueKey("default", "archived")) }
	Eventually(t, 180*time.Second, "half of the tasks to run, or some to come back", func() bool {
		return r.Int("ZCARD", QueueKey("default", "retry")) > 0 || len(Starts(s.Ledger())) > count/2
	})
	peer.Must("starve", M{"every": 0})
	Eventually(t, 120*time.Second, "all tasks to run", func() bool { return len(Starts(s.Ledger())) == count || archived() > 0 })
	equal(t, "archived", archived(), 0)
}
