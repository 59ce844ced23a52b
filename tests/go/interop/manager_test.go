package interop

import (
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// yearly is an entry that does not become due during a test.
func yearly(taskType string) Entry { return Entry{Spec: "0 0 1 1 *", Task: Task{Type: taskType}} }

// shownEntries are the types of the entries that a user interface shows, with their ids.
func shownEntries(t *testing.T, r *Redis) map[string][]string {
	shown := map[string][]string{}
	for _, entry := range ShownEntries(t, r) {
		shown[entry.TaskType] = append(shown[entry.TaskType], entry.Id)
	}
	return shown
}

// awaitShown waits until the types of the shown entries are these, in any order.
func awaitShown(t *testing.T, r *Redis, want map[string]int) map[string][]string {
	t.Helper()
	Eventually(t, 20*time.Second, "the entries to be shown", func() bool {
		shown := shownEntries(t, r)
		for taskType, ids := range shown {
			if want[taskType] != len(ids) {
				return false
			}
		}
		return len(shown) == len(want)
	})
	return shownEntries(t, r)
}

// TestManagerCases: H-12 and H-14 of the specification, and what follows from its section 11.3.
func TestManagerCases(t *testing.T) {
	t.Parallel()
	t.Run("H-12", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			m := NewManager(t, kind, r)
			m.Provide([]Entry{yearly("a"), yearly("b")}, "")
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			before := awaitShown(t, r, map[string]int{"a": 1, "b": 1})
			m.Provide([]Entry{yearly("b"), yearly("c")}, "")
			after := awaitShown(t, r, map[string]int{"b": 1, "c": 1})
			equal(t, "id of b", after["b"][0], before["b"][0])
		})
	})
	t.Run("H-14", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			first, later := 1, map[string]int{}
			if kind == "go" {
				first, later = 2, map[string]int{"a": 1}
			}
			r := StartRedis(t)
			m := NewManager(t, kind, r)
			m.Provide([]Entry{yearly("a"), yearly("a")}, "")
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			awaitShown(t, r, map[string]int{"a": first})
			m.Provide(nil, "")
			awaitShown(t, r, later)
		})
	})
	t.Run("first call fails", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			m := NewManager(t, kind, StartRedis(t))
			m.Provide(nil, "no database")
			if err := m.Start(); err == nil || !strings.Contains(err.Error(), "no database") {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("an item without a specification", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			m := NewManager(t, kind, StartRedis(t))
			m.Provide([]Entry{yearly("a"), {Task: Task{Type: "b"}}}, "")
			if err := m.Start(); err == nil {
				t.Error("started")
			}
		})
	})
	t.Run("a wrong specification", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			m := NewManager(t, kind, r)
			m.Provide([]Entry{yearly("a"), {Spec: "61 * * * *", Task: Task{Type: "b"}}}, "")
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			awaitShown(t, r, map[string]int{"a": 1})
		})
	})
	t.Run("a later call fails", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			m := NewManager(t, kind, r)
			m.Provide([]Entry{{Spec: "@every 1s", Task: Task{Type: "a"}}}, "")
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			awaitShown(t, r, map[string]int{"a": 1})
			m.Provide(nil, "no database")
			time.Sleep(4 * ManagerInterval)
			fired := r.Int("LLEN", QueueKey("default", "pending"))
			Eventually(t, 20*time.Second, "further ticks", func() bool {
				return r.Int("LLEN", QueueKey("default", "pending")) > fired+1
			})
			equal(t, "entries", len(shownEntries(t, r)["a"]), 1)
			m.Provide([]Entry{yearly("b")}, "")
			awaitShown(t, r, map[string]int{"b": 1})
			m.Shutdown()
			IsWell(t, r)
		})
	})
}

// TestManagerChanges: what is said of a named entry changes, and it stays the same entry.
func TestManagerChanges(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	m := NewManager(t, "c-elected", r)
	entry := Entry{Name: "report", Spec: "@every 1s", Task: Task{Type: "a"}}
	m.Provide([]Entry{entry}, "")
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	before := awaitShown(t, r, map[string]int{"a": 1})
	Eventually(t, 20*time.Second, "a tick", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) > 0 })
	entry.Task.Type = "b"
	m.Provide([]Entry{entry}, "")
	after := awaitShown(t, r, map[string]int{"b": 1})
	equal(t, "id", after["b"][0], before["a"][0])
	entry.Task.Type, entry.Spec = "c", "0 0 1 1 *"
	m.Provide([]Entry{entry}, "")
	awaitShown(t, r, map[string]int{"c": 1})
	time.Sleep(1500 * time.Millisecond) // what was under way ends
	fired := r.Int("ZCARD", "asynq:scheduler_history:"+after["b"][0])
	time.Sleep(2500 * time.Millisecond)
	equal(t, "events", r.Int("ZCARD", "asynq:scheduler_history:"+after["b"][0]), fired)
	equal(t, "tasks", r.Int("LLEN", QueueKey("default", "pending")), fired)
	IsWell(t, r)
}
