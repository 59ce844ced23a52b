package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/hibiken/asynqmon"
)

// monitor is Asynqmon's REST interface on a Redis.
type monitor struct {
	t   *testing.T
	r   *Redis
	url string
}

func startMonitor(t *testing.T, r *Redis) *monitor {
	web := httptest.NewServer(asynqmon.New(asynqmon.Options{RedisConnOpt: r.Opt()}))
	t.Cleanup(web.Close)
	return &monitor{t, r, web.URL + "/api/"}
}

func (m *monitor) call(method, path, body string) (status int, answer string) {
	m.t.Helper()
	request, _ := http.NewRequest(method, m.url+path, strings.NewReader(body))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		m.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func (m *monitor) get(path string) M {
	m.t.Helper()
	status, text := m.call("GET", path, "")
	answer := M{}
	if err := json.Unmarshal([]byte(text), &answer); status != 200 || err != nil {
		m.t.Fatalf("%s: %d %s", path, status, text)
	}
	return answer
}

// furnish lets one library's client and server make tasks in every state.
func furnish(t *testing.T, kind string) *monitor {
	r := StartRedis(t)
	e := NewGoEnqueuer(t, r)
	if kind == "c" {
		e = NewCEnqueuer(t, r)
	}
	StartServer(t, kind, r, ServerOptions{Queues: map[string]int{"default": 3, "low": 1}, ShutdownMs: 100, Concurrency: 7,
		RetryMs: P(int64(3600000))})
	put := func(id string, w Wish, o Options) {
		o.ID = &id
		enqueueOK(t, e, wish(w, o))
	}
	put("running", Wish{SleepMs: 600000}, Options{Timeout: P(time.Hour)})
	put("kept", Wish{Result: `{"answer":42}`}, Options{Retention: P(time.Hour)})
	put("failing", Wish{Do: "fail", Text: "no way"}, Options{MaxRetry: P(3)})
	put("dead", Wish{Do: "fail"}, Options{MaxRetry: P(0), Queue: P("low")})
	put("later", Wish{}, Options{ProcessIn: P(time.Hour), Headers: map[string]string{"a": "b"}})
	put("unique", Wish{}, Options{Queue: P("idle"), Unique: P(time.Hour)})
	put("grouped", Wish{}, Options{Group: P("crowd")})
	enqueueOK(t, e, Task{Type: "t", Payload: P("two\nlines"), Own: Options{ID: P("lines"), Queue: P("idle")}})
	enqueueOK(t, e, Task{Type: "t", Own: Options{ID: P("empty"), Queue: P("idle")}})
	Eventually(t, 15*time.Second, "all to be where it belongs", func() bool {
		return r.Int("ZCARD", QueueKey("default", "completed")) == 1 && r.Int("ZCARD", QueueKey("default", "retry")) == 1 &&
			r.Int("ZCARD", QueueKey("low", "archived")) == 1 && len(r.Strings("KEYS", "asynq:workers:{*")) == 1
	})
	return startMonitor(t, r)
}

var (
	moment = regexp.MustCompile(`"20\d\d-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)"`)
	varies = regexp.MustCompile(`"(latency_msec|memory_usage_bytes|pid|ttl_seconds)":\d+|"(display_latency|host|id)":"[^"]*[-:.ms0-9][^"]*"`)
)

// alike is an answer without what differs from run to run: moments, latencies, ids of servers, estimates of memory.
func alike(text string) string {
	answer := M{}
	if json.Unmarshal([]byte(text), &answer) == nil {
		if queues, ok := answer["queues"].([]any); ok { // members of a set, in no order
			sort.Slice(queues, func(i, k int) bool {
				return queues[i].(M)["queue"].(string) < queues[k].(M)["queue"].(string)
			})
			sorted, _ := json.Marshal(answer) // in the order of the fields
			text = string(sorted)
		}
	}
	text = moment.ReplaceAllString(text, `"a moment"`)
	return varies.ReplaceAllStringFunc(text, func(found string) string { return found[:strings.Index(found, ":")] + ":0" })
}

// TestAsynqmonREST: each page's calls answer the same for what Go has made and for what C has made, and each action
// leaves the same behind.
func TestAsynqmonREST(t *testing.T) {
	t.Parallel()
	g, c := furnish(t, "go"), furnish(t, "c")
	both := func(method, path, body string) {
		t.Helper()
		goStatus, goAnswer := g.call(method, path, body)
		cStatus, cAnswer := c.call(method, path, body)
		// What a server tells of itself lasts for ten seconds; on a busy machine its next heartbeat can be late.
		for range 100 {
			if path != "servers" || alike(cAnswer) == alike(goAnswer) {
				break
			}
			time.Sleep(200 * time.Millisecond)
			goStatus, goAnswer = g.call(method, path, body)
			cStatus, cAnswer = c.call(method, path, body)
		}
		equal(t, method+" "+path+": status", cStatus, goStatus)
		if alike(cAnswer) != alike(goAnswer) {
			t.Errorf("%s %s\n go: %s\n  c: %s", method, path, alike(goAnswer), alike(cAnswer))
		}
	}
	pages := []string{"queues", "queue_stats", "servers", "scheduler_entries", "queues/nobody", "queues/default/groups",
		"queues/default/groups/crowd/aggregating_tasks?page=1&size=20", "queues/default/tasks/nobody"}
	for _, queue := range []string{"default", "low", "idle"} {
		pages = append(pages, "queues/"+queue)
		for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
			pages = append(pages, fmt.Sprintf("queues/%s/%s_tasks?page=1&size=20", queue, state))
		}
	}
	for _, id := range []string{"running", "kept", "failing", "later", "grouped"} {
		pages = append(pages, "queues/default/tasks/"+id)
	}
	for _, id := range []string{"unique", "lines", "empty"} {
		pages = append(pages, "queues/idle/tasks/"+id)
	}
	for _, page := range pages {
		both("GET", page, "")
	}
	for _, action := range [][3]string{
		{"POST", "queues/idle:pause"}, {"POST", "queues/idle:pause"}, {"GET", "queues"}, {"POST", "queues/idle:resume"},
		{"POST", "queues/default/scheduled_tasks/later:archive"}, {"POST", "queues/default/archived_tasks/later:run"},
		{"POST", "queues/default/retry_tasks:batch_archive", `{"task_ids":["failing","nobody"]}`},
		{"POST", "queues/default/archived_tasks:batch_delete", `{"task_ids":["failing"]}`},
		{"POST", "queues/default/groups/crowd/aggregating_tasks:archive_all"},
		{"DELETE", "queues/default/archived_tasks:delete_all"},
		{"DELETE", "queues/default/completed_tasks/kept"},
		{"POST", "queues/idle/pending_tasks/unique:archive"}, {"DELETE", "queues/idle/archived_tasks/unique"},
		{"POST", "queues/idle/pending_tasks:archive_all"}, {"DELETE", "queues/idle/archived_tasks:delete_all"},
		{"DELETE", "queues/low"}, {"DELETE", "queues/low/archived_tasks/dead"}, {"DELETE", "queues/low"}, {"DELETE", "queues/low"},
	} {
		both(action[0], action[1], action[2])
	}
	for _, m := range []*monitor{g, c} {
		Eventually(t, 10*time.Second, "the task that was set to run", func() bool { return m.r.Int("EXISTS", TaskKey("default", "later")) == 0 })
	}
	both("POST", "queues/default/active_tasks/running:cancel", "")
	for _, m := range []*monitor{g, c} {
		waitIn(t, m.r, 5*time.Second, "retry", 1)
	}
	for _, page := range pages {
		both("GET", page, "")
	}
	IsWell(t, c.r)
}

// TestAsynqmonCases: the cases of the specification, on what C has made. The scheduler is Go's.
func TestAsynqmonCases(t *testing.T) {
	t.Parallel()
	m := furnish(t, "c")
	isMoment := func(what string, value any) {
		t.Helper()
		at, err := time.Parse(time.RFC3339, fmt.Sprint(value))
		if err != nil || time.Since(at).Abs() > 2*time.Hour {
			t.Errorf("%s is %v: %v", what, value, err)
		}
	}
	t.Run("A-01", func(t *testing.T) {
		scheduler := asynq.NewScheduler(m.r.Opt(), &asynq.SchedulerOpts{HeartbeatInterval: time.Second})
		defer scheduler.Shutdown()
		if _, err := scheduler.Register("@every 1h", asynq.NewTask("t", nil)); err != nil {
			t.Fatal(err)
		}
		if err := scheduler.Start(); err != nil {
			t.Fatal(err)
		}
		equal(t, "queues", len(m.get("queues")["queues"].([]any)), 3)
		server := m.get("servers")["servers"].([]any)[0].(M)
		isMoment("start of the server", server["start_time"])
		workers := server["active_workers"].([]any)
		equal(t, "workers", len(workers), 1)
		isMoment("start of the worker", workers[0].(M)["start_time"])
		Eventually(t, 5*time.Second, "the entry", func() bool { return len(m.get("scheduler_entries")["entries"].([]any)) == 1 })
		isMoment("next time of the entry", m.get("scheduler_entries")["entries"].([]any)[0].(M)["next_enqueue_at"])
	})
	t.Run("A-02", func(t *testing.T) {
		task := m.get("queues/default/active_tasks")["tasks"].([]any)[0].(M)
		isMoment("start_time", task["start_time"])
		isMoment("deadline", task["deadline"])
		equal(t, "is_orphaned", task["is_orphaned"], any(false))
	})
	t.Run("A-03", func(t *testing.T) {
		equal(t, "json", m.get("queues/default/tasks/kept")["payload"], any(*Wish{Result: `{"answer":42}`}.Payload()))
		equal(t, "a line feed", m.get("queues/idle/tasks/lines")["payload"], any("non-printable bytes"))
		equal(t, "nothing", m.get("queues/idle/tasks/empty")["payload"], any("non-printable bytes"))
	})
}
