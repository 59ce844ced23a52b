package harness

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/internal/rdb"
	"github.com/hibiken/asynq/internal/timeutil"
)

// Enqueued is what an enqueue call reports.
type Enqueued struct {
	Class         string // "", "duplicate", "conflict" or "error"
	Text          string
	ID            string
	State         int
	MaxRetry      int
	Timeout       time.Duration
	Deadline      int64
	Retention     time.Duration
	NextProcessAt time.Time
}

// Enqueuer is a client under test.
type Enqueuer interface {
	Name() string
	Redis() *Redis
	Enqueue(task Task) Enqueued
}

type goEnqueuer struct {
	redis  *Redis
	client *asynq.Client
}

// NewGoEnqueuer is Go's client.
func NewGoEnqueuer(t testing.TB, r *Redis) Enqueuer {
	client := asynq.NewClient(r.Opt())
	t.Cleanup(func() { client.Close() })
	return &goEnqueuer{r, client}
}

func (e *goEnqueuer) Name() string  { return "go" }
func (e *goEnqueuer) Redis() *Redis { return e.redis }

func (e *goEnqueuer) Enqueue(task Task) Enqueued {
	goTask, options := task.ForGo()
	info, err := e.client.Enqueue(goTask, options...)
	switch {
	case errors.Is(err, asynq.ErrDuplicateTask):
		return Enqueued{Class: "duplicate", Text: err.Error()}
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return Enqueued{Class: "conflict", Text: err.Error()}
	case err != nil:
		return Enqueued{Class: "error", Text: err.Error()}
	}
	deadline := int64(0)
	if !info.Deadline.IsZero() {
		deadline = info.Deadline.Unix()
	}
	return Enqueued{ID: info.ID, State: int(info.State), MaxRetry: info.MaxRetry, Timeout: info.Timeout,
		Deadline: deadline, Retention: info.Retention, NextProcessAt: info.NextProcessAt}
}

type cEnqueuer struct {
	redis *Redis
	peer  *Peer
}

// NewCEnqueuer is our client.
func NewCEnqueuer(t testing.TB, r *Redis) Enqueuer { return &cEnqueuer{r, StartPeer(t, r.URI())} }

func (e *cEnqueuer) Name() string  { return "c" }
func (e *cEnqueuer) Redis() *Redis { return e.redis }

func (e *cEnqueuer) Enqueue(task Task) Enqueued {
	return ReadEnqueued(e.peer.Do("enqueue", task.ForC()))
}

// ReadEnqueued reads one result of our peer.
func ReadEnqueued(answer M) Enqueued {
	classes := map[int]string{0: "", -2: "duplicate", -3: "conflict"}
	class, known := classes[Status(answer)]
	if !known {
		class = "error"
	}
	if class != "" {
		return Enqueued{Class: class, Text: answer["error"].(string)}
	}
	next := time.Time{}
	if ms := Number(answer, "next_process_at_ms"); ms != 0 {
		next = time.UnixMilli(ms)
	}
	return Enqueued{ID: answer["id"].(string), State: int(Number(answer, "state")),
		MaxRetry: int(Number(answer, "max_retry")), Timeout: time.Duration(Number(answer, "timeout_ms")) * time.Millisecond,
		Deadline:      Number(answer, "deadline_ms") / 1000,
		Retention:     time.Duration(Number(answer, "retention_ms")) * time.Millisecond,
		NextProcessAt: next}
}

// Enqueuers runs a test with each library's client, each on an empty Redis of its own. The run with Go's shows that
// the test itself is right.
func Enqueuers(t *testing.T, test func(t *testing.T, e Enqueuer)) {
	t.Run("go", func(t *testing.T) { test(t, NewGoEnqueuer(t, StartRedis(t))) })
	t.Run("c", func(t *testing.T) { test(t, NewCEnqueuer(t, StartRedis(t))) })
}

// GoBroker is Go's own broker with a clock that stands still.
func GoBroker(r *Redis, now time.Time) *rdb.RDB {
	broker := rdb.NewRDB(r.Client)
	broker.SetClock(timeutil.NewSimulatedClock(now))
	return broker
}

// Encode is Go's encoding of a message.
func Encode(t testing.TB, message *base.TaskMessage) string {
	t.Helper()
	raw, err := base.EncodeMessage(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Ctx is a context for calls that need none.
var Ctx = context.Background()
