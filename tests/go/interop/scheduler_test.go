package interop

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	pb "github.com/hibiken/asynq/internal/proto"
	"google.golang.org/protobuf/proto"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const zeroTime = -62135596800

func register(t *testing.T, s Scheduler, entry Entry) string {
	t.Helper()
	id, err := s.Register(entry)
	if err != nil {
		t.Fatalf("%s: %v", entry.Spec, err)
	}
	return id
}

func start(t *testing.T, s Scheduler) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

// entryList is the key with a scheduler's entries; empty until there is one.
func entryList(r *Redis) string {
	for _, key := range r.Keys() {
		if strings.HasPrefix(key, "asynq:schedulers:") {
			return key
		}
	}
	return ""
}

// score is that of a member of a sorted set; 0 if it is none.
func score(r *Redis, key, member string) float64 {
	return r.Client.ZScore(context.Background(), key, member).Val()
}

// TestSchedulerCases: H-01 to H-04, H-11 and H-13 of the specification, with schedulers of both libraries.
func TestSchedulerCases(t *testing.T) {
	t.Parallel()
	history := func(id string) string { return "asynq:scheduler_history:" + id }

	t.Run("H-01", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{})
			id := register(t, s, Entry{Spec: "@every 3s", Task: Task{Type: "t"}})
			started := time.Now()
			start(t, s)
			Eventually(t, 20*time.Second, "3 tasks", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) == 3 })
			if passed := time.Since(started); passed < 6*time.Second {
				t.Errorf("3 ticks in %v", passed)
			}
			Eventually(t, 5*time.Second, "3 events", func() bool { return r.Int("ZCARD", history(id)) == 3 })
			for _, z := range r.Client.ZRangeWithScores(t.Context(), history(id), 0, -1).Val() {
				event := &pb.SchedulerEnqueueEvent{}
				if err := proto.Unmarshal([]byte(z.Member.(string)), event); err != nil {
					t.Fatal(err)
				}
				equal(t, "score", int64(z.Score), event.EnqueueTime.Seconds)
				equal(t, "task of an event exists", r.Int("EXISTS", TaskKey("default", event.TaskId)), 1)
			}
		})
	})
	t.Run("H-02", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{})
			id := register(t, s, Entry{Spec: "0 0 1 1 *", Task: Task{Type: "t", Payload: P("p")}})
			start(t, s)
			Eventually(t, 20*time.Second, "an entry", func() bool {
				key := entryList(r)
				return key != "" && r.Int("LLEN", key) == 1
			})
			key := entryList(r)
			entry := ShownEntries(t, r)[0]
			next := time.Date(time.Now().UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
			equal(t, "previous", entry.PrevEnqueueTime.Seconds, zeroTime)
			equal(t, "next", entry.NextEnqueueTime.Seconds, next)
			equal(t, "id", entry.Id, id)
			equal(t, "spec", entry.Spec, "0 0 1 1 *")
			equal(t, "type and payload", entry.TaskType+string(entry.TaskPayload), "tp")
			if ttl := r.Int("TTL", key); ttl < 1 || ttl > 20 {
				t.Errorf("TTL %d", ttl)
			}
			if score(r, "asynq:schedulers", key) == 0 {
				t.Error("asynq:schedulers does not name the list")
			}
		})
	})
	t.Run("H-03", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{Heartbeat: time.Second})
			id := register(t, s, Entry{Spec: "@every 1s", Task: Task{Type: "t"}})
			start(t, s)
			Eventually(t, 20*time.Second, "records", func() bool {
				return entryList(r) != "" && r.Int("ZCARD", history(id)) > 0
			})
			s.Shutdown()
			keys := strings.Join(r.Keys(), " ")
			if strings.Contains(keys, "asynq:schedulers") {
				t.Errorf("left: %s", keys)
			}
			// The history of an elected entry goes on with the next scheduler that has it.
			equal(t, "history stays", strings.Contains(keys, history(id)), kind == "c-elected")
			if kind == "c-elected" && r.Int("TTL", history(id)) < 80*86400 {
				t.Errorf("history ends in %d s", r.Int("TTL", history(id)))
			}
			IsWell(t, r)
		})
	})
	t.Run("H-04", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{Heartbeat: time.Second})
			register(t, s, Entry{Spec: "@hourly", Task: Task{Type: "t", Own: Options{Retention: P(time.Hour)}, Call: &Options{
				Queue: P("low"), MaxRetry: P(3), Timeout: P(90 * time.Second), Unique: P(time.Hour)}}})
			start(t, s)
			Eventually(t, 20*time.Second, "an entry", func() bool { return len(ShownEntries(t, r)) > 0 })
			texts := ShownEntries(t, r)[0].EnqueueOptions
			if kind == "go" { // in the order in which the test's harness gives them
				sort.Strings(texts)
			}
			want := `Queue("low") MaxRetry(3) Timeout(1m30s) Unique(1h0m0s)`
			if kind == "go" {
				want = `MaxRetry(3) Queue("low") Timeout(1m30s) Unique(1h0m0s)`
			}
			equal(t, "options", strings.Join(texts, " "), want)
		})
	})
	t.Run("H-11", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{})
			id := register(t, s, Entry{Spec: "@every 2s", Task: Task{Type: "t"}})
			for i := range 1000 {
				r.Int("ZADD", history(id), 1000+i, fmt.Sprint("event ", i))
			}
			start(t, s)
			Eventually(t, 20*time.Second, "an event more", func() bool { return score(r, history(id), "event 0") == 0 })
			equal(t, "events", r.Int("ZCARD", history(id)), 1000)
			equal(t, "the second oldest", score(r, history(id), "event 1"), 1001)
		})
	})
	t.Run("H-13", func(t *testing.T) {
		Schedulers(t, true, func(t *testing.T, kind string) {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{})
			id := register(t, s, Entry{Spec: "@every 1s", Task: Task{Type: "t", Call: &Options{ID: P("same")}}})
			r.Int("HSET", TaskKey("default", "same"), "msg", "")
			start(t, s)
			var notes []Enqueueing
			Eventually(t, 20*time.Second, "hooks", func() bool {
				notes = append(notes, s.Notes()...)
				return len(notes) >= 4
			})
			equal(t, "before", notes[0], Enqueueing{Hook: "pre", Type: "t"})
			equal(t, "after", notes[1], Enqueueing{Hook: "post", Error: "task ID conflicts with another task"})
			equal(t, "history", r.Int("EXISTS", history(id)), 0)
		})
	})
}

// TestSchedulerLooksAlike: the same registrations make the same records and tasks, whoever makes them.
func TestSchedulerLooksAlike(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 2, 3, 4, 5, 6, 0, time.UTC)
	calls := []Options{
		{Queue: P("lo\"w)")}, {Queue: P("\u200b\u202e\ue000é日\U000e0001")}, {MaxRetry: P(0)}, {MaxRetry: P(7)}, {ID: P("x\ty")}, {Timeout: P(90 * time.Minute)},
		{Timeout: P(1500 * time.Millisecond)}, {Timeout: P(250 * time.Millisecond)}, {Deadline: &at}, {Unique: P(time.Second)},
		{ProcessAt: &at}, {ProcessIn: P(5 * time.Second)}, {Retention: P(24 * time.Hour)}, {Group: P("g 1")}, {},
	}
	for _, zone := range []string{"", "Asia/Tokyo"} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		hour := time.Now().In(location).Add(6 * time.Hour).Hour() // all of them stay in the future
		lists := map[string][]string{}
		for _, kind := range []string{"go", "c-independent", "c-elected"} {
			r := StartRedis(t)
			s := NewScheduler(t, kind, r, SchedulerOptions{Heartbeat: time.Second, Zone: zone})
			for i := range calls {
				register(t, s, Entry{Spec: fmt.Sprintf("%d %d * * *", i, hour), Task: Task{Type: fmt.Sprint("type ", i), Payload: P("p"), Call: &calls[i]}})
			}
			start(t, s)
			Eventually(t, 20*time.Second, "the entries", func() bool {
				return len(ShownEntries(t, r)) == len(calls)
			})
			for _, entry := range ShownEntries(t, r) {
				entry.Id = ""
				lists[kind] = append(lists[kind], entry.String())
			}
			inspector := asynq.NewInspector(r.Opt())
			entries, err := inspector.SchedulerEntries()
			if err != nil || len(entries) != len(calls) {
				t.Errorf("%s: Go's inspector sees %d entries, %v", kind, len(entries), err)
			}
			inspector.Close()
			s.Shutdown()
		}
		for _, kind := range []string{"c-independent", "c-elected"} {
			for i := range calls {
				// protobuf's texts vary in their blanks, by intention
				squeeze := func(text string) string { return strings.Join(strings.Fields(text), " ") }
				equal(t, kind, squeeze(lists[kind][i]), squeeze(lists["go"][i]))
			}
		}
	}
}

// TestSchedulerRegistration: errors, and entries that come and go while the scheduler runs.
func TestSchedulerRegistration(t *testing.T) {
	t.Parallel()
	Schedulers(t, true, func(t *testing.T, kind string) {
		r := StartRedis(t)
		s := NewScheduler(t, kind, r, SchedulerOptions{Heartbeat: time.Second})
		for _, spec := range []string{"", "61 * * * *", "@never", "TZ=Nowhere/Land @daily"} {
			if _, err := s.Register(Entry{Spec: spec, Task: Task{Type: "t"}}); err == nil {
				t.Errorf("%q was taken", spec)
			}
		}
		if err := s.Unregister("unknown"); err == nil || !strings.Contains(err.Error(), "no scheduler entry found") {
			t.Errorf("unregister: %v", err)
		}
		kept := register(t, s, Entry{Spec: "@every 1s", Task: Task{Type: "kept"}})
		start(t, s)
		if err := s.Start(); err == nil {
			t.Error("started twice")
		}
		late := register(t, s, Entry{Spec: "@every 1s", Task: Task{Type: "late", Call: &Options{Queue: P("low")}}})
		count := func(queue string) int64 { return r.Int("LLEN", QueueKey(queue, "pending")) }
		Eventually(t, 20*time.Second, "ticks of both", func() bool { return count("default") > 0 && count("low") > 0 })
		if err := s.Unregister(late); err != nil {
			t.Fatal(err)
		}
		Eventually(t, 20*time.Second, "one entry", func() bool {
			entries := ShownEntries(t, r)
			return len(entries) == 1 && entries[0].Id == kept
		})
		before, beforeLate := count("default"), count("low")
		Eventually(t, 20*time.Second, "2 ticks more", func() bool { return count("default") >= before+2 })
		equal(t, "ticks of the one that left", count("low"), beforeLate)
		s.Shutdown()
		if _, err := s.Register(Entry{Spec: "@every 1s", Task: Task{Type: "t"}}); kind != "go" && err == nil {
			t.Error("registered after the end")
		}
		if kind != "go" {
			IsWell(t, r)
		}
	})
}

// TestElectedRegistration: what only elected schedulers know.
func TestElectedRegistration(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	first, second := NewCScheduler(t, r.URI(), false, SchedulerOptions{}), NewCScheduler(t, r.URI(), false, SchedulerOptions{})
	entry := Entry{Spec: "@every 1s", Task: Task{Type: "t", Payload: P("p")}}
	id := register(t, first, entry)
	equal(t, "the same entry has the same id", register(t, second, entry), id)
	if _, err := first.Register(entry); err == nil || !strings.Contains(err.Error(), "equal entry") {
		t.Errorf("registered twice: %v", err)
	}
	entry.Name = "a"
	named := register(t, first, entry)
	entry.Spec, entry.Task.Payload = "@hourly", P("other")
	equal(t, "a name stays through changes", register(t, second, entry), named)
	entry.Task.Call = &Options{Queue: P("low")}
	if register(t, second, entry) == named {
		t.Error("the same name in another queue is another entry")
	}
}

// TestTickHeader: the task names its tick, and that is all that differs from a task of Go's scheduler.
func TestTickHeader(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := NewCScheduler(t, r.URI(), false, SchedulerOptions{})
	register(t, s, Entry{Spec: "@every 2s", Task: Task{Type: "t", Call: &Options{Headers: map[string]string{"k": "v"}}}})
	start(t, s)
	Eventually(t, 20*time.Second, "a task", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) > 0 })
	id := r.Strings("LRANGE", QueueKey("default", "pending"), 0, 0)[0]
	message := &pb.TaskMessage{}
	if err := proto.Unmarshal([]byte(r.Text("HGET", TaskKey("default", id), "msg")), message); err != nil {
		t.Fatal(err)
	}
	tick, err := time.Parse(time.RFC3339, message.Headers["libasynq-tick"])
	if late := time.Since(tick); err != nil || late < 0 || late > 30*time.Second {
		t.Errorf("tick %v, %v ago", tick, late)
	}
	equal(t, "the entry's own header", message.Headers["k"], "v")
	equal(t, "headers", len(message.Headers), 2)
}

// TestSchedulerWithoutRedis: an independent scheduler reports each tick that it cannot enqueue, whatever else it has.
func TestSchedulerWithoutRedis(t *testing.T) {
	t.Parallel()
	s := NewCScheduler(t, "unix:///nowhere", true, SchedulerOptions{})
	register(t, s, Entry{Spec: "@every 1s", Task: Task{Type: "often"}})
	register(t, s, Entry{Spec: "@every 30s", Task: Task{Type: "seldom"}})
	start(t, s)
	reports := 0
	Eventually(t, 25*time.Second, "3 reports", func() bool {
		for _, note := range s.Notes() {
			if note.Hook == "post" {
				contains(t, "error", note.Error, "Redis cannot be reached")
				reports++
			}
		}
		return reports >= 3
	})
}
