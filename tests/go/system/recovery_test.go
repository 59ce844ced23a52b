package system

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestManyLostTasks: all tasks that a dead server had are recovered, also behind some that are to be left
// out or dropped: not only every other chunk of them.
func TestManyLostTasks(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const count = 1500
	r.Do("SADD", "asynq:queues", "default")
	for i := range count {
		id := fmt.Sprintf("lost-%05d", i)
		message := Encode(t, &base.TaskMessage{Type: "t", ID: id, Queue: "default", Retry: 0})
		if i%50 == 7 {
			message = "no message"
		}
		if i%50 != 8 {
			r.Do("HSET", QueueKey("default", "t:"+id), "msg", message, "state", "active")
		}
		r.Do("LPUSH", QueueKey("default", "active"), id)
		r.Do("ZADD", QueueKey("default", "lease"), time.Now().Unix()-1000+int64(i)/10, id)
	}
	StartCServer(t, r.URI(), ServerOptions{Concurrency: 2})
	Eventually(t, 60*time.Second, "all to be archived", func() bool {
		return r.Int("ZCARD", QueueKey("default", "archived")) == count-count/50
	})
	equal(t, "active", r.Int("LLEN", QueueKey("default", "active")), int64(0))
	equal(t, "leases", r.Int("ZCARD", QueueKey("default", "lease")), int64(0))
	IsWell(t, r)
}
