package system

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestResultWhileRunning: what a handler stores while its task runs is what inspectors in Go and asynqctl read then; at the
// end comes the last result. A task that another server has taken over keeps what that one says.
func TestResultWhileRunning(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartCServer(t, r.URI(), ServerOptions{Concurrency: 4})
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	enqueue := func(id string, wish Wish) {
		t.Helper()
		_, err := client.Enqueue(asynq.NewTask("t", []byte(*wish.Payload())), asynq.TaskID(id), asynq.Retention(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
	}
	result := func(id string) string { return r.Text("HGET", TaskKey("default", id), "result") }
	enqueue("early", Wish{Flush: "half", Result: "whole", SleepMs: 3000})
	Eventually(t, 20*time.Second, "a result", func() bool { return result("early") == "half" })
	info, err := inspector.GetTaskInfo("default", "early")
	if err != nil || info.State != asynq.TaskStateActive || string(info.Result) != "half" {
		t.Errorf("%+v, %v", info, err)
	}
	Eventually(t, 20*time.Second, "the end", func() bool { return r.Int("ZCARD", QueueKey("default", "completed")) == 1 })
	equal(t, "at the end", result("early"), "whole")
	IsWell(t, r)
	s.Stop()

	// Without a lease, and with one that another server has, by its tag.
	enqueue("taken", Wish{})
	peer := StartPeer(t, r.URI())
	write := func(tag int64) int64 {
		return Number(peer.Must("write-result", M{"queue": "default", "id": "taken", "tag": tag}), "reply")
	}
	equal(t, "without a lease", write(1), 0)
	tag := Number(peer.Must("lease", M{"queue": "default"}), "tag")
	equal(t, "with another tag", write(tag+1), -1)
	equal(t, "nothing is stored", result("taken"), "")
	equal(t, "with its tag", write(tag), 1)
	equal(t, "stored", result("taken"), "late")
}
