package harness

import (
	"context"
	"errors"
	"testing"
	"time"

	redis8 "github.com/go-redis/redis/v8"
	"github.com/hibiken/asynq/internal/base"
	asynqcontext "github.com/hibiken/asynq/internal/context"
	"github.com/hibiken/asynq/x/rate"
)

// Semaphore is one of either library.
type Semaphore interface {
	// Acquire takes a token for a task; an empty id or a zero deadline is none.
	Acquire(holder string, deadline time.Time) (bool, error)
	Release(holder string) error
}

// oldClient makes the client that x/rate was written for: it knows no newer one.
type oldClient struct{ redis *Redis }

func (c oldClient) MakeRedisClient() interface{} {
	if nodes := c.redis.nodes; nodes != nil {
		return redis8.NewClusterClient(&redis8.ClusterOptions{ClusterSlots: nodes.slotsForOld})
	}
	return redis8.NewClient(&redis8.Options{Network: "unix", Addr: c.redis.Socket})
}

// slotsForOld tells where slots are: the old client cannot read what Redis 7 answers.
func (c *Cluster) slotsForOld(context.Context) (slots []redis8.ClusterSlot, err error) {
	for i, node := range c.Masters {
		slots = append(slots, redis8.ClusterSlot{Start: c.first(i), End: c.first(i+1) - 1, Nodes: []redis8.ClusterNode{{Addr: c.Address(node)}}})
	}
	return slots, nil
}

// NewGoSemaphore is asynq's x/rate.
func NewGoSemaphore(r *Redis, scope string, tokens int) *rate.Semaphore {
	return rate.NewSemaphore(oldClient{r}, scope, tokens)
}

// NewSemaphore makes one of the given kind, "go" or "c".
func NewSemaphore(t testing.TB, kind string, r *Redis, scope string, tokens int) Semaphore {
	t.Helper()
	if kind == "go" {
		s := NewGoSemaphore(r, scope, tokens)
		t.Cleanup(func() { s.Close() })
		return goSemaphore{s}
	}
	s := cSemaphore{StartPeer(t, r.URI())}
	s.Must("semaphore.new", M{"scope": scope, "tokens": tokens})
	return s
}

type goSemaphore struct{ *rate.Semaphore }

func taskContext(holder string, deadline time.Time) (ctx context.Context, cancel context.CancelFunc) {
	if holder == "" {
		ctx, cancel = context.WithDeadline(context.Background(), deadline)
	} else {
		ctx, cancel = asynqcontext.New(context.Background(), &base.TaskMessage{ID: holder, Queue: "default"}, deadline)
	}
	if deadline.IsZero() {
		ctx = withoutDeadline{ctx}
	}
	return ctx, cancel
}

type withoutDeadline struct{ context.Context }

func (withoutDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }

func (s goSemaphore) Acquire(holder string, deadline time.Time) (bool, error) {
	ctx, cancel := taskContext(holder, deadline)
	defer cancel()
	return s.Semaphore.Acquire(ctx)
}

func (s goSemaphore) Release(holder string) error {
	ctx, cancel := taskContext(holder, time.Now().Add(time.Hour))
	defer cancel()
	return s.Semaphore.Release(ctx)
}

type cSemaphore struct{ *Peer }

func (s cSemaphore) answer(op string, arguments M) (M, error) {
	answer := s.Do(op, arguments)
	if Status(answer) != 0 {
		return answer, errors.New(answer["error"].(string))
	}
	return answer, nil
}

func (s cSemaphore) Acquire(holder string, deadline time.Time) (bool, error) {
	arguments := M{"holder": holder}
	if !deadline.IsZero() {
		arguments["deadline_ms"] = deadline.UnixMilli()
	}
	answer, err := s.answer("semaphore.acquire", arguments)
	held, _ := answer["held"].(bool)
	return held, err
}

func (s cSemaphore) Release(holder string) error {
	_, err := s.answer("semaphore.release", M{"holder": holder})
	return err
}
