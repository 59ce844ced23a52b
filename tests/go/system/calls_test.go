package system

import (
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestChildrenOfForks: a child has a copy of an object, and not the thread behind it. Each call there says so, and none
// waits for a lock that a thread of the parent held.
func TestChildrenOfForks(t *testing.T) {
	t.Parallel()
	for _, actor := range []string{"client", "server", "scheduler", "inspector"} {
		t.Run(actor, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			peer := StartPeer(t, r.URI())
			t.Cleanup(func() {
				if t.Failed() { // it may not end by itself
					peer.Kill()
				}
			})
			peer.Must("ping", nil)
			peer.Must("inspect.queues", nil)
			peer.Must("scheduler.new", M{"provide": true})
			peer.Must("scheduler.start", nil)
			peer.Must("server.start", ServerOptionsForC(ServerOptions{}))
			answer := peer.Must("forks", M{"actor": actor, "count": 40, "threads": 3})
			equal(t, "children that hung", Number(answer, "hung"), 0)
			equal(t, "children that were not told", Number(answer, "wrong"), 0)
			peer.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("after")}}.ForC())
			waitEmpty(t, r, 30*time.Second)
		})
	}
}

// timeLimit is set for calls, and patience how long they may take on a slow machine; 15 s are the limit for silence on a
// connection, which has nothing to do with it.
const (
	timeLimit = 2 * time.Second
	patience  = 11 * time.Second
)

// TestCallsKeepTheirTimeLimit: Redis does not answer; each call ends within its own time, and so does the end of the client.
func TestCallsKeepTheirTimeLimit(t *testing.T) {
	t.Parallel()
	calls := map[string]M{"ping": nil, "enqueue": Task{Type: "t"}.ForC(), "inspect.queues": nil,
		"inspect.act": {"action": "delete", "queue": "default", "id": "one"}, "inspect.servers": nil,
		"batch": {"tasks": []M{Task{Type: "t"}.ForC()["task"].(M), Task{Type: "t"}.ForC()["task"].(M)}}}
	for op, arguments := range calls {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			peer := StartPeer(t, r.URI())
			peer.Must("client.options", M{"timeout_ms": timeLimit.Milliseconds()})
			peer.Must("inspect.options", M{"timeout_ms": timeLimit.Milliseconds()})
			peer.Must("ping", nil)
			peer.Must("inspect.queues", nil)
			r.Stop()
			defer r.Continue()
			within(t, "the call", func() {
				if answer := peer.Do(op, arguments); op != "batch" && answer["retryable"] != true {
					t.Errorf("status %d is not to be tried again: %v", Status(answer), answer["error"])
				}
			})
			within(t, "the end of the client", func() { peer.Must("client.close", nil) })
			within(t, "the end of the inspector", func() { peer.Must("inspect.close", nil) })
		})
	}
}

func within(t *testing.T, what string, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	if took := time.Since(begin); took > patience {
		t.Errorf("%s took %v; its time limit was %v", what, took, timeLimit)
	}
}

// TestCallAfterGivenUpCalls: two calls are given up while Redis sleeps. When it wakes up, a third that still has time is
// sent.
func TestCallAfterGivenUpCalls(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	peer.Must("client.options", M{"timeout_ms": 8000})
	peer.Must("ping", nil)
	r.Stop()
	peer.Must("stream.start", M{"tasks": []M{Task{Type: "t"}.ForC()["task"].(M)}, "prefix": "early", "count": 2, "pause_us": 200_000,
		"ledger": r.Dir + "/calls"})
	time.Sleep(5 * time.Second)
	time.AfterFunc(5*time.Second, r.Continue) // the first two have been given up two seconds ago
	answer := peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("third")}}.ForC())
	if Status(answer) != 0 {
		t.Errorf("status %d: %v", Status(answer), answer["error"])
	}
	peer.Must("stream.wait", nil)
}
