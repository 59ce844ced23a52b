package system

import (
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// unpublishable are ways in which a queue's name cannot be made known, and what the error then says.
var unpublishable = map[string]struct {
	refuse func(r *Redis)
	text   string
}{
	"rights": {func(r *Redis) { r.As("~asynq:{*}:*", "&*", "+@all") }, "NOPERM"},
	"type":   {func(r *Redis) { r.Do("DEL", "asynq:queues"); r.Do("SET", "asynq:queues", "x") }, "WRONGTYPE"},
}

func nothingWritten(t *testing.T, r *Redis) {
	t.Helper()
	for _, key := range r.Strings("KEYS", "*") {
		if strings.HasPrefix(key, "asynq:{") && !strings.Contains(key, ":libasynq:") {
			t.Errorf("%s is there", key)
		}
	}
}

// TestUnpublishedQueue: what cannot be found by its queue's name is not enqueued, by the client in all its ways, and by
// schedulers; the error says why. When the name can be published again, all is well.
func TestUnpublishedQueue(t *testing.T) {
	t.Parallel()
	for name, way := range unpublishable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			way.refuse(r)
			e := NewCEnqueuer(t, r)
			for _, own := range []Options{{}, {ProcessIn: P(time.Hour)}, {Unique: P(time.Hour)}, {Group: P("g")}} {
				for range 2 { // what follows at once fails as well
					done := e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: own})
					if done.Class != "error" || !strings.Contains(done.Text, way.text) || !strings.Contains(done.Text, "asynq:queues") {
						t.Errorf("%+v", done)
					}
				}
			}
			for _, kind := range []string{"c-independent", "c-elected"} {
				s := NewScheduler(t, kind, r, SchedulerOptions{})
				if _, err := s.Register(Entry{Name: kind, Spec: "@every 1s", Task: Task{Type: "t", Payload: P("{}")}}); err != nil {
					t.Fatal(err)
				}
				s.Start()
				if kind == "c-independent" {
					Eventually(t, 30*time.Second, "a tick that failed", func() bool {
						for _, note := range s.Notes() {
							if note.Hook == "post" && strings.Contains(note.Error, way.text) {
								return true
							}
						}
						return false
					})
				} else {
					time.Sleep(2500 * time.Millisecond)
				}
				s.Shutdown()
			}
			nothingWritten(t, r)
			if name == "type" {
				r.Do("DEL", "asynq:queues")
			} else {
				r.As("~asynq:*", "&*", "+@all")
			}
			if done := e.Enqueue(Task{Type: "t", Payload: P("{}")}); done.Class != "" {
				t.Errorf("%+v", done)
			}
			equal(t, "published", r.Int("SISMEMBER", "asynq:queues", "default"), int64(1))
		})
	}
}

// TestNameTakenAway: a name that others have removed is there again after a few seconds of enqueueing; one that cannot be
// set again stops what comes then.
func TestNameTakenAway(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	e := NewCEnqueuer(t, r)
	task := Task{Type: "t", Payload: P("{}")}
	equal(t, "first", e.Enqueue(task).Class, "")
	r.Do("DEL", "asynq:queues")
	Eventually(t, 30*time.Second, "the name", func() bool {
		equal(t, "enqueue", e.Enqueue(task).Class, "")
		time.Sleep(100 * time.Millisecond)
		return r.Int("EXISTS", "asynq:queues") == 1
	})
	r.Do("DEL", "asynq:queues")
	r.Do("SET", "asynq:queues", "x")
	Eventually(t, 30*time.Second, "an enqueue that is refused", func() bool {
		before := r.Int("LLEN", QueueKey("default", "pending"))
		if e.Enqueue(task).Class == "" {
			return false
		}
		equal(t, "pending", r.Int("LLEN", QueueKey("default", "pending")), before)
		return true
	})
}
