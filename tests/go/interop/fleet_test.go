package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/hibiken/asynqmon"
)

// TestBothDirections: what one library enqueues, the other's server runs, for every kind of option.
func TestBothDirections(t *testing.T) {
	t.Parallel()
	for _, direction := range [][2]string{{"go", "c"}, {"c", "go"}} {
		t.Run(direction[0]+" to "+direction[1], func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			e := NewGoEnqueuer(t, r)
			if direction[0] == "c" {
				e = NewCEnqueuer(t, r)
			}
			tasks := []Task{
				wish(Wish{}, Options{ID: P("plain")}),
				wish(Wish{Result: "r"}, Options{ID: P("kept"), Retention: P(time.Hour)}),
				wish(Wish{}, Options{ID: P("soon"), ProcessIn: P(time.Second)}),
				wish(Wish{}, Options{ID: P("unique"), Unique: P(time.Hour)}),
				wish(Wish{Do: "fail"}, Options{ID: P("fails"), MaxRetry: P(0)}),
				wish(Wish{Do: "fail", Times: P(1)}, Options{ID: P("fails-once"), MaxRetry: P(3)}),
				wish(Wish{}, Options{ID: P("headers"), Headers: map[string]string{"a": "b"}}),
				{Type: "t", Own: Options{ID: P("no-payload")}},
			}
			s := StartServer(t, direction[1], r, ServerOptions{RetryMs: P(int64(0))})
			for _, task := range tasks {
				enqueueOK(t, e, task)
			}
			Eventually(t, 20*time.Second, "all tasks to end", func() bool {
				return r.Int("ZCARD", QueueKey("default", "archived")) == 1 && r.Int("ZCARD", QueueKey("default", "completed")) == 1 &&
					len(r.Strings("KEYS", TaskKey("default", "*"))) == 2
			})
			count := 0
			for _, line := range s.Ledger() {
				if line.What == "start" {
					count++
				}
			}
			equal(t, "starts", count, len(tasks)+1)
			IsWell(t, r)
		})
	}
}

// TestMixedFleet: Go and C producers, Go and C workers, one set of queues; each task runs once.
func TestMixedFleet(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	path := r.Dir + "/ledger"
	queues := map[string]int{"critical": 6, "default": 3, "low": 1}
	for _, kind := range []string{"go", "c", "c", "go"} {
		StartServer(t, kind, r, ServerOptions{Queues: queues, Concurrency: 5, LedgerPath: path})
	}
	peer := StartPeer(t, r.URI())
	done := make(chan bool)
	go func() {
		e := NewGoEnqueuer(t, r)
		for i := range 1000 {
			queue := []string{"critical", "default", "low"}[i%3]
			e.Enqueue(wish(Wish{}, Options{ID: P(fmt.Sprint("go-", i)), Queue: &queue}))
		}
		done <- true
	}()
	for queue := range queues {
		peer.Must("load", M{"queue": queue, "prefix": "c", "payload": "{}", "count": 500, "threads": 4})
	}
	<-done
	Eventually(t, 30*time.Second, "all tasks to run", func() bool { return len(Starts(ReadLedger(t, path))) == 2500 })
	Eventually(t, 10*time.Second, "an empty Redis", func() bool { return len(r.Strings("KEYS", "asynq:{*}:t:*")) == 0 })
	for id, count := range Starts(ReadLedger(t, path)) {
		equal(t, "runs of "+id, count, 1)
	}
	IsWell(t, r)
}

// TestForeignMessages: messages as other writers leave them are taken as Go takes them.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	Servers(t, func(t *testing.T, kind string) {
		r := StartRedis(t)
		r.Do("SADD", "asynq:queues", "default")
		inGroup := task("group-name-no-group")
		inGroup.GroupKey = "g"
		inGroup.Payload = []byte("{}")
		put(t, r, "pending", 0, inGroup, "group", "", "unknown_field", "1", "unique_key", "")
		extra := task("fields")
		extra.Payload = []byte("{}")
		put(t, r, "pending", 0, extra, "anything", "else")
		due := task("fraction")
		due.Payload = []byte("{}")
		put(t, r, "scheduled", 0, due)
		r.Do("ZADD", QueueKey("default", "scheduled"), fmt.Sprintf("%.3f", float64(time.Now().UnixMilli()+700)/1000), "fraction")
		s := StartServer(t, kind, r, ServerOptions{})
		Eventually(t, 15*time.Second, "three tasks", func() bool { return len(Starts(s.Ledger())) == 3 })
		Eventually(t, 5*time.Second, "no task left", func() bool { return len(r.Strings("KEYS", TaskKey("default", "*"))) == 0 })
		IsWell(t, r)
	})
}

// TestMalformedMessage: a message that cannot be read goes to the archive with a reason, and the queue goes on.
func TestMalformedMessage(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Do("SADD", "asynq:queues", "default")
	for id, raw := range map[string]string{"cut": "\x0a\x20abc", "text": "\x0a\x01\xff", "empty group": "\x0b"} {
		r.Do("HSET", TaskKey("default", id), "msg", raw, "state", "pending")
		r.Do("LPUSH", QueueKey("default", "pending"), id)
	}
	r.Do("LPUSH", QueueKey("default", "pending"), "no task")
	s := StartServer(t, "c", r, ServerOptions{RetriesLost: true})
	good := enqueueOK(t, NewGoEnqueuer(t, r), wish(Wish{}, Options{}))
	waitGone(t, r, good.ID)
	waitIn(t, r, 5*time.Second, "archived", 3)
	message := r.Message("default", "cut")
	equal(t, "payload", string(message.Payload), "\x0a\x20abc")
	contains(t, "reason", message.ErrorMsg, "cannot decode")
	equal(t, "trace of the id without task", exists(r, TaskKey("default", "no task")), false)
	equal(t, "active", exists(r, QueueKey("default", "active")), false)
	equal(t, "logged", HasNote(s.Notes(), "task archived: cut"), true)
	// An expired lease of such a task does not stop recovery of others.
	r.Do("HSET", TaskKey("default", "lost"), "msg", "\x0a\x01\xff", "state", "active")
	r.Do("LPUSH", QueueKey("default", "active"), "lost")
	r.Do("ZADD", QueueKey("default", "lease"), time.Now().Unix()-100, "lost")
	put(t, r, "active", time.Now().Unix()-100, task("also lost"))
	waitIn(t, r, 15*time.Second, "archived", 4)
	waitIn(t, r, 5*time.Second, "retry", 1)
	IsWell(t, r)
}

// TestTreacherousIds: ids that look like something else to a careless reader of replies.
func TestTreacherousIds(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Do("SADD", "asynq:queues", "default")
	ids := []string{"message", "-1", "0", "OK", "{x}", "a:b", " ", "nil"}
	for _, id := range ids {
		message := task(id)
		message.Payload = []byte("{}")
		put(t, r, "pending", 0, message)
	}
	put(t, r, "active", time.Now().Unix()-100, &base.TaskMessage{ID: "message", Type: "t", Queue: "other", Retry: 25, Timeout: 60})
	s := StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"default": 1, "other": 1}, RetryMs: P(int64(0))})
	Eventually(t, 15*time.Second, "all tasks to be done", func() bool { return len(r.Strings("KEYS", "asynq:{*}:t:*")) == 0 })
	starts := 0
	for _, line := range s.Ledger() {
		if line.What == "start" {
			starts++
		}
	}
	equal(t, "starts that the ledger can hold", starts >= len(ids)-1, true)
}

// TestWrongKeyTypes: a key of the wrong type is named in the log, nothing is lost, and other queues go on.
func TestWrongKeyTypes(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"pending", "active", "lease", "completed", "retry", "archived", "scheduled"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			e := NewGoEnqueuer(t, r)
			r.Do("SET", QueueKey("bad", suffix), "x")
			s := StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"bad": 5, "default": 1}, RetryMs: P(int64(1000))})
			bad := Options{Queue: P("bad"), Retention: P(time.Hour)}
			ours := NewCEnqueuer(t, r) // which writes nothing when it cannot write all
			for _, w := range []Wish{{}, {Do: "fail", Times: P(1)}, {Do: "skip"}} {
				ours.Enqueue(wish(w, bad))
			}
			good := enqueueOK(t, e, wish(Wish{}, Options{}))
			waitGone(t, r, good.ID)
			var notes []string
			Eventually(t, 10*time.Second, "the log to name it", func() bool {
				notes = append(notes, s.Notes()...)
				return HasNote(notes, `queue "bad"`) && HasNote(notes, "WRONGTYPE")
			})
			stored := len(r.Strings("KEYS", TaskKey("bad", "*")))
			r.Do("DEL", QueueKey("bad", suffix))
			Eventually(t, 20*time.Second, "the queue to go on", func() bool {
				return stored == 0 || r.Int("ZCARD", QueueKey("bad", "completed"))+r.Int("ZCARD", QueueKey("bad", "archived")) >= 3
			})
		})
	}
}

// TestAsynqmonAndInspector: Asynqmon's REST interface and Go's Inspector show what C clients and servers do.
func TestAsynqmonAndInspector(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	e := NewCEnqueuer(t, r)
	StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"default": 3, "low": 1}, ShutdownMs: 100})
	waitForServer(t, r)
	running := enqueueOK(t, e, wish(Wish{SleepMs: 60000}, Options{}))
	kept := enqueueOK(t, e, wish(Wish{Result: "42"}, Options{Retention: P(time.Hour)}))
	enqueueOK(t, e, wish(Wish{Do: "fail"}, Options{Queue: P("low")}))
	waitIn(t, r, 5*time.Second, "completed", 1)
	Eventually(t, 10*time.Second, "the worker's record", func() bool { return exists(r, workersKey(t, r)) })

	web := httptest.NewServer(asynqmon.New(asynqmon.Options{RedisConnOpt: r.Opt()}))
	defer web.Close()
	get := func(path string) M {
		response, err := http.Get(web.URL + "/api/" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		equal(t, path, response.StatusCode, 200)
		answer := M{}
		json.NewDecoder(response.Body).Decode(&answer)
		return answer
	}
	equal(t, "queues", len(get("queues")["queues"].([]any)), 2)
	servers := get("servers")["servers"].([]any)
	equal(t, "servers", len(servers), 1)
	server := servers[0].(M)
	equal(t, "status", server["status"], any("active"))
	equal(t, "workers", len(server["active_workers"].([]any)), 1)
	active := get("queues/default/active_tasks")["tasks"].([]any)[0].(M)
	equal(t, "active task", active["id"], any(running.ID))
	for _, name := range []string{"start_time", "deadline"} {
		if _, err := time.Parse(time.RFC3339, active[name].(string)); err != nil {
			t.Errorf("%s is %q", name, active[name])
		}
	}
	detail := get("queues/default/tasks/" + kept.ID)
	equal(t, "result", detail["result"], any("42"))
	equal(t, "state", detail["state"], any("completed"))

	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	info, err := inspector.GetQueueInfo("default")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "active", info.Active, 1)
	equal(t, "completed", info.Completed, 1)
	if err := inspector.CancelProcessing(running.ID); err != nil {
		t.Fatal(err)
	}
	waitIn(t, r, 5*time.Second, "retry", 1)
}
