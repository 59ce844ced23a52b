package system

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestRetryPolicies: each kind of policy decides on the pause, after several failures; what a handler says goes before.
func TestRetryPolicies(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	ms := int64(50_000)
	StartCServer(t, r.URI(), ServerOptions{RetryMs: &ms, Routes: []Route{
		{Pattern: "constant", Retry: Retry{Kind: RetryConstant, DelayMs: 100_000}},
		{Pattern: "exponential", Retry: Retry{Kind: RetryExponential, DelayMs: 100_000, MaxMs: 700_000}},
		{Pattern: "unlimited", Retry: Retry{Kind: RetryExponential, DelayMs: 100_000}},
		{Pattern: "rare", Retry: Retry{Kind: RetryExponential, DelayMs: 7_200_000}},
		{Pattern: "random", Retry: Retry{Kind: RetryConstant, DelayMs: 100_000, Jitter: 50}},
		{Pattern: "asynq", Retry: Retry{Kind: RetryAsynq}},
		{Pattern: "nested", Retry: Retry{Kind: RetryConstant, DelayMs: 200_000}, Nested: true},
	}})
	client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
	defer client.Close()
	defer inspector.Close()
	// pauses runs a task that fails n times, each as soon as it may, and returns the pauses in seconds.
	pauses := func(taskType string, wish Wish, n int) (seconds []float64) {
		t.Helper()
		info, err := client.Enqueue(asynq.NewTask(taskType, []byte(*wish.Payload())))
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			var task *asynq.TaskInfo
			Eventually(t, 20*time.Second, taskType+" to be retried", func() bool {
				task, _ = inspector.GetTaskInfo("default", info.ID)
				return task != nil && task.State == asynq.TaskStateRetry
			})
			equal(t, taskType+": retries", task.Retried, i+1)
			seconds = append(seconds, task.NextProcessAt.Sub(task.LastFailedAt).Seconds())
			if err := inspector.RunTask("default", info.ID); err != nil {
				t.Fatal(err)
			}
		}
		return seconds
	}
	for _, test := range []struct {
		taskType string
		wish     Wish
		want     []float64
		slack    float64
	}{
		{"constant", Wish{Do: "fail"}, []float64{100, 100, 100}, 1},
		{"exponential", Wish{Do: "fail"}, []float64{100, 200, 400, 700, 700}, 1},
		{"unlimited", Wish{Do: "fail"}, []float64{100, 200, 400, 800, 1600, 3200, 3600, 3600}, 1},
		{"rare", Wish{Do: "fail"}, []float64{7200, 7200}, 1},
		{"random", Wish{Do: "fail"}, []float64{100, 100, 100, 100, 100, 100, 100, 100}, 51},
		{"asynq", Wish{Do: "fail"}, []float64{29.5, 45}, 30},
		{"nested", Wish{Do: "fail"}, []float64{200}, 1},
		{"t", Wish{Do: "fail"}, []float64{50, 50}, 1},
		{"constant", Wish{Do: "retry_in", PauseMs: 7000}, []float64{7}, 1},
		{"t", Wish{Do: "retry_in", PauseMs: 3_600_000}, []float64{3600, 3600}, 1},
	} {
		got := pauses(test.taskType, test.wish, len(test.want))
		differ := false
		for i := range got {
			if got[i] < test.want[i]-test.slack || got[i] > test.want[i]+test.slack {
				t.Errorf("%s: pauses %v, want %v within %v s", test.taskType, got, test.want, test.slack)
				break
			}
			differ = differ || got[i] != got[0]
		}
		if test.taskType == "random" && !differ {
			t.Errorf("all random pauses are %v", got[0])
		}
	}
	IsWell(t, r)
}

// TestSnooze: a task that is snoozed has not failed, however often and however few retries it has.
func TestSnooze(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{LedgerPath: filepath.Join(r.Dir, "ledger")})
	client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
	defer client.Close()
	defer inspector.Close()
	times := 3
	wish := Wish{Do: "snooze", Times: &times, PauseMs: 1000, Text: "the printer is busy"}
	info, err := client.Enqueue(asynq.NewTask("t", []byte(*wish.Payload())), asynq.MaxRetry(0), asynq.Retention(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var task *asynq.TaskInfo
	Eventually(t, 20*time.Second, "the task to be snoozed", func() bool {
		task, err = inspector.GetTaskInfo("default", info.ID)
		return err == nil && task.State == asynq.TaskStateRetry
	})
	equal(t, "text", task.LastErr, "the printer is busy")
	equal(t, "retries", task.Retried, 0)
	if !task.LastFailedAt.IsZero() {
		t.Errorf("failed at %v", task.LastFailedAt)
	}
	Eventually(t, 60*time.Second, "the task to be completed", func() bool {
		task, err = inspector.GetTaskInfo("default", info.ID)
		return err == nil && task.State == asynq.TaskStateCompleted
	})
	queue, err := inspector.GetQueueInfo("default")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "processed and failed", [2]int{queue.Processed, queue.Failed}, [2]int{1, 0})
	equal(t, "starts", Starts(s.Ledger())["default/"+info.ID], 4)
	if notes := strings.Join(s.Notes(), "\n"); strings.Contains(notes, "error ") {
		t.Errorf("errors: %s", notes)
	}
	IsWell(t, r)
}

// TestRoutePolicyMistakes: what makes no sense is refused with the pattern's name.
func TestRoutePolicyMistakes(t *testing.T) {
	t.Parallel()
	uri := StartRedis(t).URI()
	for want, routes := range map[string][]Route{
		`pattern "a" has an unknown kind of retry policy: 9`:                  {{Pattern: "a", Retry: Retry{Kind: 9}}},
		`pattern "a": delay_ms of its retry policy must be more than 0`:       {{Pattern: "a", Retry: Retry{Kind: RetryConstant}}},
		`pattern "a": delay_ms of its retry policy is set, but its kind does`: {{Pattern: "a", Retry: Retry{DelayMs: 5}}},
		`pattern "a": max_delay_ms of its retry policy is less than delay_ms`: {{Pattern: "a", Retry: Retry{Kind: RetryExponential, DelayMs: 5, MaxMs: 4}}},
		`pattern "a": jitter_percent of its retry policy is not 0 to 100`:     {{Pattern: "a", Retry: Retry{Kind: RetryConstant, DelayMs: 5, Jitter: 101}}},
		`pattern "a": the scope of its limit is blank or too long`:            {{Pattern: "a", Max: 1}},
		`pattern "a": its limit must be at least 1`:                           {{Pattern: "a", Scope: "s"}},
		`patterns "b" and "a" have different limits for the scope "s"`:        {{Pattern: "a", Scope: "s", Max: 1}, {Pattern: "b", Scope: "s", Max: 2}},
	} {
		if got := StartCServerWrong(t, uri, ServerOptions{Routes: routes}); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
