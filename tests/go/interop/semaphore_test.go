package interop

import (
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const semaphoreKey = "asynq:sema:mail"

// TestSemaphoreCases: of the specification with both libraries, and what a holder of one is to the other.
func TestSemaphoreCases(t *testing.T) {
	t.Parallel()
	later := func() time.Time { return time.Now().Add(time.Hour) }
	acquire := func(t *testing.T, s Semaphore, holder string, deadline time.Time) bool {
		t.Helper()
		held, err := s.Acquire(holder, deadline)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	t.Run("R-01", func(t *testing.T) {
		Servers(t, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewSemaphore(t, kind, r, "mail", 2)
			r.Do("ZADD", semaphoreKey, time.Now().Unix()+60, "a", time.Now().Unix()+60, "b")
			equal(t, "held", acquire(t, s, "c", later()), false)
			equal(t, "holders", strings.Join(r.Strings("ZRANGE", semaphoreKey, 0, -1), " "), "a b")
			equal(t, "a holder that asks again", acquire(t, s, "a", later()), false)
		})
	})
	t.Run("R-02", func(t *testing.T) {
		Servers(t, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewSemaphore(t, kind, r, "mail", 1)
			r.Do("ZADD", semaphoreKey, time.Now().Unix()-10, "stale")
			deadline := later()
			equal(t, "held", acquire(t, s, "a", deadline), true)
			equal(t, "holders", strings.Join(r.Strings("ZRANGE", semaphoreKey, 0, -1), " "), "a")
			equal(t, "score", int64(score(r, semaphoreKey, "a")), deadline.Unix())
			equal(t, "TTL", r.Int("TTL", semaphoreKey), -1)
		})
	})
	t.Run("R-03", func(t *testing.T) {
		Servers(t, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewSemaphore(t, kind, r, "mail", 1)
			if _, err := s.Acquire("a", time.Time{}); err == nil {
				t.Error("no deadline is accepted")
			}
			if _, err := s.Acquire("", later()); err == nil {
				t.Error("no id is accepted")
			}
			equal(t, "keys", len(r.Keys()), 0)
		})
	})
	t.Run("R-04", func(t *testing.T) {
		Servers(t, func(t *testing.T, kind string) {
			s := NewSemaphore(t, kind, StartRedis(t), "mail", 1)
			if err := s.Release("a"); err == nil || err.Error() != `no token found for task "a"` {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("both", func(t *testing.T) {
		r := StartRedis(t)
		ours, theirs := NewSemaphore(t, "c", r, "mail", 2), NewSemaphore(t, "go", r, "mail", 2)
		equal(t, "first", acquire(t, ours, "a", later()), true)
		equal(t, "second", acquire(t, theirs, "b", later()), true)
		equal(t, "third", acquire(t, ours, "c", later()) || acquire(t, theirs, "d", later()), false)
		if err := theirs.Release("a"); err != nil {
			t.Error(err)
		}
		equal(t, "after a release", acquire(t, theirs, "d", later()), true)
		if err := ours.Release("b"); err != nil {
			t.Error(err)
		}
		equal(t, "prolonged", acquire(t, ours, "d", later()), true)
		equal(t, "holders", r.Int("ZCARD", semaphoreKey), 1)
		IsWell(t, r)
	})
	t.Run("options", func(t *testing.T) {
		p := StartPeer(t, StartRedis(t).URI())
		for _, wrong := range []M{{"tokens": 1}, {"scope": " ", "tokens": 1}, {"scope": "a"}, {"scope": "a", "tokens": -1}} {
			if Status(p.Do("semaphore.new", wrong)) == 0 {
				t.Errorf("%v is accepted", wrong)
			}
		}
	})
}
