package system

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/redis/go-redis/v9"
)

// TestManyLostTasks: all tasks that a dead server had are recovered, also behind some that are to be left out or dropped, and
// in the order in which their leases ended. What a round passes over is found by a later one, so only the order tells
// that nothing was passed over.
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
	settled := changesOfTasks(t, r)
	StartCServer(t, r.URI(), ServerOptions{Concurrency: 2, RetriesLost: true})
	Eventually(t, 60*time.Second, "all to be archived", func() bool {
		return r.Int("ZCARD", QueueKey("default", "archived")) == count-count/50
	})
	equal(t, "active", r.Int("LLEN", QueueKey("default", "active")), int64(0))
	equal(t, "leases", r.Int("ZCARD", QueueKey("default", "lease")), int64(0))
	IsWell(t, r)
	Eventually(t, 30*time.Second, "all changes to be told", func() bool { return len(settled) >= count-count/50 })
	last := ""
	for range count - count/50 {
		id := <-settled
		if id < last {
			t.Errorf("%s was passed over: %s came first", id, last)
			break
		}
		last = id
	}
}

// changesOfTasks sends the id of each task of the queue "default" whose hash is written to from now on.
func changesOfTasks(t *testing.T, r *Redis) <-chan string {
	t.Helper()
	const prefix = "__keyspace@0__:"
	r.Do("CONFIG", "SET", "notify-keyspace-events", "Kh")
	subscription := r.Client.PSubscribe(context.Background(), prefix+QueueKey("default", "t:*"))
	t.Cleanup(func() { subscription.Close() })
	if _, err := subscription.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	ids := make(chan string, 10_000)
	go func() {
		for message := range subscription.Channel(redis.WithChannelSize(cap(ids))) {
			if message.Payload == "hset" {
				ids <- strings.TrimPrefix(message.Channel, prefix+QueueKey("default", "t:"))
			}
		}
	}()
	return ids
}
