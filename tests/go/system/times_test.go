package system

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// startsOf are the times at which a task was started, in µs.
func startsOf(lines []Line, id string) (at []int64) {
	for _, line := range lines {
		if line.What == "start" && line.ID == id {
			at = append(at, line.AtUs)
		}
	}
	return at
}

// TestPausesBelowASecond: a pause lasts as long as it was asked for, or 100 ms if that is longer. Without that a short
// outage uses up all retries, and a task that is postponed for a moment keeps a processor busy.
func TestPausesBelowASecond(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	ms := int64(700)
	s := StartCServer(t, r.URI(), ServerOptions{RetryMs: &ms, LedgerPath: filepath.Join(r.Dir, "ledger"), Routes: []Route{
		{Pattern: "constant", Retry: Retry{Kind: RetryConstant, DelayMs: 900}},
		{Pattern: "exponential", Retry: Retry{Kind: RetryExponential, DelayMs: 150}},
	}})
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	tests := []struct {
		id, taskType string
		wish         Wish
		pauses       []int64 // ms
	}{
		{"constant", "constant", Wish{Do: "fail"}, []int64{900, 900}},
		{"exponential", "exponential", Wish{Do: "fail"}, []int64{150, 300, 600}},
		{"server", "t", Wish{Do: "fail"}, []int64{700, 700}},
		{"retry-in", "constant", Wish{Do: "retry_in", PauseMs: 450}, []int64{450, 450}},
		{"snooze", "t", Wish{Do: "snooze", PauseMs: 500}, []int64{500, 500}},
		{"at-once", "t", Wish{Do: "snooze", PauseMs: 1}, []int64{100, 100, 100}},
		{"retry-at-once", "t", Wish{Do: "retry_in", PauseMs: 1}, []int64{100, 100}},
	}
	for _, test := range tests {
		if _, err := client.Enqueue(asynq.NewTask(test.taskType, []byte(*test.wish.Payload())), asynq.TaskID(test.id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range tests {
		Eventually(t, 60*time.Second, test.id+" to run again and again", func() bool {
			return len(startsOf(s.Ledger(), test.id)) > len(test.pauses)
		})
		at := startsOf(s.Ledger(), test.id)
		for i, want := range test.pauses {
			if got := at[i+1] - at[i]; got < want*1000 {
				t.Errorf("%s: pause %d was %.1f ms, want %d", test.id, i, float64(got)/1000, want)
			}
		}
	}
}

// TestNotBeforeItsTime: a task starts when it may, to the millisecond, and the time that is reported is the one stored.
func TestNotBeforeItsTime(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{LedgerPath: filepath.Join(r.Dir, "ledger")})
	e := NewCEnqueuer(t, r)
	due := map[string]time.Time{}
	for i, ahead := range []int{3150, 3450, 3750, 3950, 4250, 4650} {
		at := time.Now().Add(time.Duration(ahead) * time.Millisecond)
		options := Options{ID: P(fmt.Sprint("t", i)), ProcessAt: &at}
		if i%2 == 1 {
			options.ProcessAt, options.ProcessIn = nil, P(time.Duration(ahead)*time.Millisecond)
		}
		report := e.Enqueue(Task{Type: "t", Own: options})
		if report.Class != "" {
			t.Fatal(report.Text)
		}
		if options.ProcessAt != nil {
			equal(t, "reported", report.NextProcessAt.UnixMilli(), at.UnixMilli())
		}
		due[report.ID] = report.NextProcessAt
	}
	for id, at := range due {
		Eventually(t, 30*time.Second, id+" to run", func() bool { return len(startsOf(s.Ledger(), id)) > 0 })
		if early := at.UnixMicro() - startsOf(s.Ledger(), id)[0]; early > 0 {
			t.Errorf("%s ran %d µs before its time", id, early)
		}
	}
}

// TestManyHeaders: a message with so many headers that they take seconds to be put in order, if that is done by the
// square of their number, holds nobody up.
func TestManyHeaders(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 4, LedgerPath: filepath.Join(r.Dir, "ledger")})
	var headers strings.Builder
	for n := range 120_000 {
		fmt.Fprintf(&headers, "z\x0d\x0a\x08%08d\x12\x01v", 120_000-n)
	}
	raw := Encode(t, &base.TaskMessage{Type: "t", ID: "many", Queue: "default"}) + headers.String()
	r.Do("SADD", "asynq:queues", "default")
	r.Do("HSET", TaskKey("default", "many"), "msg", raw, "state", "pending", "pending_since", time.Now().UnixNano())
	r.Do("LPUSH", QueueKey("default", "pending"), "many")
	Eventually(t, 20*time.Second, "the message to be set aside", func() bool {
		return r.Int("ZCARD", QueueKey("default", "archived")) == 1
	})
	contains := r.Message("default", "many").ErrorMsg
	if !strings.Contains(contains, "more than 100000 fields") {
		t.Errorf("archived for %q", contains)
	}
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	if _, err := client.Enqueue(asynq.NewTask("t", []byte("{}")), asynq.TaskID("next")); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 20*time.Second, "the next task to run", func() bool { return len(startsOf(s.Ledger(), "next")) > 0 })
}

// TestRequeuedSince: a task that is requeued at a shutdown waits since then, so that the latency of its queue is
// known.
func TestRequeuedSince(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{ShutdownMs: 1, LedgerPath: filepath.Join(r.Dir, "ledger")})
	client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
	defer client.Close()
	defer inspector.Close()
	if _, err := client.Enqueue(asynq.NewTask("t", []byte(*Wish{SleepMs: 600_000}.Payload())), asynq.TaskID("long")); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 20*time.Second, "it to run", func() bool { return len(startsOf(s.Ledger(), "long")) == 1 })
	before := time.Now().UnixNano()
	s.Shutdown()
	Eventually(t, 30*time.Second, "it to be requeued", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) == 1 })
	since, _ := strconv.ParseInt(r.Text("HGET", TaskKey("default", "long"), "pending_since"), 10, 64)
	if since < before || since > time.Now().UnixNano() {
		t.Errorf("it waits since %d, want between %d and now", since, before)
	}
	info, err := inspector.GetQueueInfo("default")
	if err != nil || info.Latency <= 0 {
		t.Errorf("latency %v, error %v", info.Latency, err)
	}
}

// TestUnknownAge: a task of which it is not known since when it waits is neither old nor new for a filter.
func TestUnknownAge(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	hours := func(n int) int64 { return time.Now().Add(time.Duration(n) * time.Hour).UnixNano() }
	for id, since := range map[string]any{"old": hours(-7), "new": hours(-1), "unknown": nil, "zero": 0, "no-number": "x"} {
		message := Encode(t, &base.TaskMessage{Type: "t", ID: id, Queue: "default"})
		r.Do("HSET", TaskKey("default", id), "msg", message, "state", "pending")
		if since != nil {
			r.Do("HSET", TaskKey("default", id), "pending_since", since)
		}
		r.Do("LPUSH", QueueKey("default", "pending"), id)
	}
	r.Do("SADD", "asynq:queues", "default")
	find := []string{"task", "find", "-s", "pending", "--json"}
	equal(t, "before", strings.Count(ctl(t, r, append(find, "--until", "-6h")...).out, "\n"), 1)
	ctl(t, r, append(find, "--from", "-6h")...).expect(t, "after", 0, `^[^\n]*"new"[^\n]*\n$`, "3 tasks passed over")
	ctl(t, r, "task", "deleteall", "-s", "pending", "--type", "t", "--until", "-6h", "--yes").expect(t, "delete", 0,
		"^1 tasks deleted, 3 passed over", "")
	equal(t, "left", r.Int("LLEN", QueueKey("default", "pending")), 4)
	equal(t, "old", r.Int("EXISTS", TaskKey("default", "old")), 0)
}

// TestTimesBeyondAllTimes: what others have written is shown as the first or the last time that there is, and is never
// computed around the end of the numbers.
func TestTimesBeyondAllTimes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const end = "292278994-08-17T07:12:55.807Z"
	message := &base.TaskMessage{Type: "t", Queue: "default", Deadline: math.MaxInt64, LastFailedAt: math.MaxInt64}
	put := func(id, state string, fields ...any) {
		t.Helper()
		message.ID = id
		r.Do(append([]any{"HSET", TaskKey("default", id), "msg", Encode(t, message), "state", state}, fields...)...)
	}
	r.Do("SADD", "asynq:queues", "default")
	put("later", "retry")
	r.Do("ZADD", QueueKey("default", "retry"), "1e300", "later")
	ctl(t, r, "task", "inspect", "later", "--json").expect(t, "a task", 0,
		fmt.Sprintf(`"last_failed_at":"%[1]s".*"deadline":"%[1]s".*"next_process_at":"%[1]s"`, end), "")

	r.Do("HSET", QueueKey("default", "libasynq:quarantine"), "t:odd", fmt.Sprint(math.MaxInt64, " odd"))
	r.Do("HSET", QueueKey("default", "libasynq:quarantined:t:odd"), "msg", "m")
	ctl(t, r, "quarantine", "ls", "--json").expect(t, "the quarantine", 0, `"since": ?"`+end+`"`, "")

	r.Do("RPUSH", QueueKey("default", "pending"), "first")
	for since, latency := range map[int64]int64{math.MinInt64 + 1: math.MaxInt64 / 1_000_000, math.MaxInt64: 0} {
		put("first", "pending", "pending_since", since)
		ctl(t, r, "queue", "ls", "--json").expect(t, fmt.Sprint("pending since ", since), 0, fmt.Sprintf(`"latency_ms": %d,`, latency), "")
	}
}

// TestGroupDueBeyondAllTimes: a group whose tasks joined it in a far future is not asked for again and again.
func TestGroupDueBeyondAllTimes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	fake := StartFakeRedis(t, r)
	message := &base.TaskMessage{Type: "t", ID: "far", Queue: "default", GroupKey: "g"}
	r.Do("HSET", TaskKey("default", "far"), "msg", Encode(t, message), "state", "aggregating", "group", "g")
	r.Do("ZADD", QueueKey("default", "g:g"), 1e16, "far")
	r.Do("SADD", QueueKey("default", "groups"), "g")
	StartCServer(t, fake.URI(), ServerOptions{Aggregates: true, Grace: time.Second})
	asked := func() int { return fake.Commands()["look-groups"] + fake.Commands()["take-group"] }
	Eventually(t, 30*time.Second, "the group to be looked at", func() bool { return asked() > 0 })
	before := asked()
	time.Sleep(5 * time.Second)
	if more := asked() - before; more > 20 {
		t.Errorf("asked for %d times in 5 s", more)
	}
}
