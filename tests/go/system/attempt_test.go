package system

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestAttempts: on_start and on_end hear of each attempt once, with what became of the task; in both kinds of handlers.
func TestAttempts(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"t:", "async:"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			ms := int64(70_000)
			server := StartCServer(t, r.URI(), ServerOptions{Attempts: true, RetryMs: &ms, ShutdownMs: 1,
				NotFailures: []string{"harmless"}, Queues: map[string]int{"default": 1}})
			client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
			defer client.Close()
			defer inspector.Close()
			notes := notesOf(server)
			for _, test := range []struct {
				id   string
				wish Wish
				opts []asynq.Option
				end  string
			}{
				{"fine", Wish{SleepMs: 300}, nil, `is completed: ""; waited \d+, ran ([3-9]\d\d|\d{4,}), again in 0`},
				{"failing", Wish{Do: "fail", Text: "no", Code: 503}, nil,
					`is retried: "no"; waited \d+, ran \d+, again in (6\d|70)\d{3}, code 503, reason 0$`},
				{"last", Wish{Do: "fail", Text: "no"}, []asynq.Option{asynq.MaxRetry(0)}, `is archived: "no"; .*again in 0`},
				{"skipping", Wish{Do: "skip", Text: "never"}, nil, `is archived: "never"; .*again in 0`},
				{"revoked", Wish{Do: "revoke"}, nil, `is revoked: .*again in 0`},
				{"snoozing", Wish{Do: "snooze", PauseMs: 50_000, Text: "later"}, nil, `is snoozed: "later"; .*again in (4\d|50)\d{3}`},
				{"harmless", Wish{Do: "fail", Text: "harmless"}, nil, `is snoozed: "harmless"; .*again in (6\d|70)\d{3}`},
				{"slow", Wish{SleepMs: 60_000}, []asynq.Option{asynq.Timeout(time.Second)},
					`is retried: "context deadline exceeded"; .*ran (9\d\d|\d{4,}),.* code 0, reason 1$`},
				{"cancelled", Wish{SleepMs: 60_000}, nil, `is retried: "context canceled";.* code 0, reason 2$`},
				{"running", Wish{SleepMs: 60_000}, nil, `is requeued: "requeued unfinished";.* reason 4$`},
			} {
				opts := append([]asynq.Option{asynq.TaskID(test.id)}, test.opts...)
				if _, err := client.Enqueue(asynq.NewTask(prefix+test.id, []byte(*test.wish.Payload())), opts...); err != nil {
					t.Fatal(err)
				}
				started := fmt.Sprintf("attempt of %s starts", test.id)
				Eventually(t, 20*time.Second, started, func() bool { return contains(notes(), started) == 1 })
				if test.id == "cancelled" {
					if err := inspector.CancelProcessing(test.id); err != nil {
						t.Fatal(err)
					}
				}
				if test.id == "running" {
					server.Shutdown()
				}
				end := regexp.MustCompile(`^attempt 0 of ` + test.id + " " + test.end)
				Eventually(t, 20*time.Second, end.String()+" in "+strings.Join(notes(), "\n"), func() bool {
					for _, note := range notes() {
						if end.MatchString(note) {
							return true
						}
					}
					return false
				})
				ends := 0
				for _, note := range notes() {
					if strings.HasPrefix(note, "attempt 0 of "+test.id) {
						ends++
					}
				}
				equal(t, "ends of "+test.id, ends, 1)
			}
			// What may block has heard the same.
			for _, report := range []string{
				`failure of failing: "no", outcome 1, code 503, reason 0, retries 0`,
				`failure of skipping: "never", outcome 2, code 0, reason 0, retries 0`,
				`failure of slow: "context deadline exceeded", outcome 1, code 0, reason 1, retries 0`,
				`failure of cancelled: "context canceled", outcome 1, code 0, reason 2, retries 0`,
				`end of fine: completed`, `end of running: requeued`,
			} {
				Eventually(t, 20*time.Second, report, func() bool { return contains(notes(), "reported "+report) == 1 })
			}
			IsWell(t, r)
		})
	}
}

// notesOf keeps the notes of a server, which are gone when they have been read.
func notesOf(server *CServer) func() []string {
	var notes []string
	return func() []string {
		notes = append(notes, server.Notes()...)
		return notes
	}
}

// contains counts the notes that equal the text.
func contains(notes []string, text string) (count int) {
	for _, note := range notes {
		if note == text {
			count++
		}
	}
	return count
}

// containsPrefix tells whether one of the notes begins so.
func containsPrefix(notes []string, text string) bool {
	return slices.ContainsFunc(notes, func(note string) bool { return strings.HasPrefix(note, text) })
}

// TestCancelCallback: a handler without a thread of its own is told of cancellation and of its deadline.
func TestCancelCallback(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 10, LedgerPath: filepath.Join(r.Dir, "ledger")})
	notes := notesOf(server)
	client, inspector := asynq.NewClient(r.Opt()), asynq.NewInspector(r.Opt())
	defer client.Close()
	defer inspector.Close()
	for id, timeout := range map[string]time.Duration{"by-hand": time.Hour, "by-time": time.Second} {
		if _, err := client.Enqueue(asynq.NewTask("hang:", nil), asynq.TaskID(id), asynq.Timeout(timeout)); err != nil {
			t.Fatal(err)
		}
	}
	Eventually(t, 20*time.Second, "both to run", func() bool { return len(server.Ledger()) == 2 })
	if err := inspector.CancelProcessing("by-hand"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"by-hand", "by-time"} {
		Eventually(t, 20*time.Second, id+" to be cancelled", func() bool { return contains(notes(), "cancelled "+id) == 1 })
		info, err := inspector.GetTaskInfo("default", id)
		if err != nil || info.State != asynq.TaskStateRetry {
			t.Errorf("%s: %+v, %v", id, info, err)
		}
	}
	IsWell(t, r)
}
