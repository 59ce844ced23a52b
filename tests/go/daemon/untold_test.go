package daemon

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/internal/rdb"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestUntoldEnds: of attempts whose asynqd was killed before it could tell their end, the history has the one that Redis has,
// as soon as it has one, and claims nothing where it has none.
func TestUntoldEnds(t *testing.T) {
	t.Parallel()
	p, r := StartPostgres(t), StartRedis(t)
	p.Migrate()
	state, broker, ctx := stateDir(t), rdb.NewRDB(r.Client), context.Background()
	config := postgresConfig(r, p, state, "- {type: long, command: {argv: [sleep, '600']}}\n")
	in := time.Now().Add(time.Hour)
	ends := map[string]struct {
		end                    func(message *base.TaskMessage) error
		outcome, class, errors string
	}{
		"completed": {func(m *base.TaskMessage) error { return broker.MarkAsComplete(ctx, m) }, "completed", "", ""},
		"failed":    {func(m *base.TaskMessage) error { return broker.Retry(ctx, m, in, "no luck", true) }, "retried", "", "no luck"},
		"archived":  {func(m *base.TaskMessage) error { return broker.Archive(ctx, m, "never") }, "archived", "", "never"},
		"snoozed": {func(m *base.TaskMessage) error { return broker.Retry(ctx, m, in, "", false) }, "snoozed", "instance",
			"the asynqd that ran it has ended, and did not tell how it went; it is tried again, and has not failed"},
		"gone": {func(m *base.TaskMessage) error { return broker.Done(ctx, m) }, "unknown", "gone",
			"the asynqd that ran it has ended, and did not tell how it went; Redis does not have the task any more: it was done and not kept, dropped or deleted"},
		"open": {func(m *base.TaskMessage) error { return nil }, "unknown", "instance",
			"the asynqd that ran it has ended, and did not tell how it went"},
	}
	d := StartDaemon(t, config)
	for id := range ends {
		enqueue(t, r, id, "long", "", asynq.Retention(time.Hour), asynq.MaxRetry(5))
	}
	Eventually(t, 30*time.Second, "rows of what runs", func() bool {
		return p.Int("SELECT count(*) FROM executions WHERE outcome = 'running'") == len(ends)
	})
	d.Kill()
	message := func(id string) *base.TaskMessage {
		m, err := base.DecodeMessage([]byte(r.Text("HGET", TaskKey("default", id), "msg")))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for id, test := range ends {
		if err := test.end(message(id)); err != nil {
			t.Fatal(id, err)
		}
	}
	StartDaemon(t, config+"queues: {other: 1}\n") // which leaves the tasks alone
	has := func(id, outcome, class, errors string) bool {
		rows := p.Rows("SELECT outcome, coalesce(error_class, '') AS class, coalesce(error, '') AS error, finished_at >= started_at AS sound " +
			"FROM executions WHERE task_id = '" + id + "'")
		return len(rows) == 1 && rows[0]["outcome"] == outcome && rows[0]["class"] == class && rows[0]["error"] == errors && rows[0]["sound"] == true
	}
	for id, test := range ends {
		Eventually(t, 60*time.Second, id, func() bool { return has(id, test.outcome, test.class, test.errors) })
	}
	if err := broker.Retry(ctx, message("open"), in, "its lease is over", true); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 60*time.Second, "what becomes of it later", func() bool { return has("open", "retried", "", "its lease is over") })
}
