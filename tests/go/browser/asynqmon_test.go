// Package browser drives Asynqmon's pages in a headless Chromium, on tasks that C clients made and C workers run.
// What each click does is looked up in Redis and in what the workers do.
package browser

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/hibiken/asynqmon"
)

// stage is a Redis with tasks in every state, a C worker, and Asynqmon in a browser.
type stage struct {
	*Browser
	t      *testing.T
	r      *Redis
	c      Enqueuer
	worker Server
	prom   *Prometheus
}

func newStage(t *testing.T) *stage {
	r := StartRedis(t)
	s := &stage{t: t, r: r, c: NewCEnqueuer(t, r)}
	s.worker = StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"default": 3, "low": 1}, ShutdownMs: 100,
		Concurrency: 10, RetryMs: P(int64(3600000))})
	for _, id := range []string{"running", "cancelled", "batch1", "batch2"} {
		s.enqueue(id, Wish{SleepMs: 120000}, Options{})
	}
	s.enqueue("kept", Wish{Result: "42"}, Options{Retention: P(time.Hour)})
	s.enqueue("kept2", Wish{Result: "43"}, Options{Retention: P(time.Hour)})
	for _, id := range []string{"failing1", "failing2", "failing3"} {
		s.enqueue(id, Wish{Do: "fail", Times: P(1)}, Options{MaxRetry: P(5)})
	}
	for _, id := range []string{"dead1", "dead2", "dead3"} {
		s.enqueue(id, Wish{Do: "fail"}, Options{MaxRetry: P(0)})
	}
	for _, id := range []string{"later1", "later2", "later3", "later4"} {
		s.enqueue(id, Wish{}, Options{ProcessIn: P(time.Hour)})
	}
	for _, id := range []string{"grouped1", "grouped2", "grouped3", "grouped4"} {
		s.enqueue(id, Wish{}, Options{Group: P("crowd")})
	}
	for _, id := range []string{"idle1", "idle2", "idle3"} {
		s.enqueue(id, Wish{}, Options{Queue: P("idle")}) // nobody serves this queue
	}
	s.enqueue("passing", Wish{}, Options{Queue: P("low")})
	Eventually(t, 10*time.Second, "the worker's record", func() bool {
		return len(r.Strings("KEYS", "asynq:workers:*")) == 1 && s.state("dead3") == "archived" && s.state("failing3") == "retry"
	})
	// An asynqd without routes beside them, so that Prometheus has what Asynqmon's charts ask for.
	s.prom = StartPrometheus(t, StartDaemon(t, "redis: "+r.URI()+"\n").URL())
	web := httptest.NewServer(asynqmon.New(asynqmon.Options{RedisConnOpt: r.Opt(), PrometheusAddress: s.prom.URL}))
	t.Cleanup(web.Close)
	s.Browser = StartBrowser(t, web.URL)
	return s
}

// enqueue creates a task whose payload has its id, so that it is found on the pages.
func (s *stage) enqueue(id string, wish Wish, options Options) {
	s.t.Helper()
	wish.Text = id
	options.ID = &id
	if answer := s.c.Enqueue(Task{Type: "t", Payload: wish.Payload(), Own: options}); answer.Class != "" {
		s.t.Fatalf("%s: %+v", id, answer)
	}
}

func (s *stage) stateIn(queue, id string) string {
	return s.r.Text("HGET", TaskKey(queue, id), "state")
}
func (s *stage) state(id string) string { return s.stateIn("default", id) }

// becomes waits for the state of a task; "" means that it is gone.
func (s *stage) becomes(queue, id, state string) {
	s.t.Helper()
	Eventually(s.t, 10*time.Second, id+" to be "+state, func() bool { return s.stateIn(queue, id) == state })
}

// ran waits until the C worker has run a task so often.
func (s *stage) ran(id string, times int) {
	s.t.Helper()
	Eventually(s.t, 10*time.Second, fmt.Sprintf("%d runs of %s", times, id), func() bool {
		return Starts(s.worker.Ledger())["default/"+id] == times
	})
}

func (s *stage) selectAll() {
	s.t.Helper()
	s.Press(`document.querySelector('input[aria-label="select all tasks shown in the table"]')`)
}

// toolbar presses the button for the selected tasks.
func (s *stage) toolbar(title string) {
	s.t.Helper()
	s.Press(fmt.Sprintf(`document.querySelector('button[title=%q]')`, title))
}

// all chooses from the menu that concerns all tasks of a page.
func (s *stage) all(item string) {
	s.t.Helper()
	s.Press(`document.querySelector('button[aria-label="actions"]')`)
	s.Press(WithText(`[role="menuitem"]`, item))
}

func (s *stage) tasks(queue, status string) {
	s.t.Helper()
	s.Open("/queues/" + queue + "?status=" + status)
}

func TestAsynqmon(t *testing.T) {
	s := newStage(t)
	for _, part := range []struct {
		name string
		play func(*stage)
	}{
		{"queues", queues}, {"tabs", tabs}, {"task", task}, {"active", active}, {"scheduled", scheduled}, {"retry", retry},
		{"archived", archived}, {"completed", completed}, {"pending", pending}, {"groups", groups}, {"servers", servers},
		{"schedulers", schedulers}, {"metrics", metrics}, {"redis and settings", redisAndSettings}, {"deleting a queue", deleteQueue},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			s.t = t
			s.Browser = s.Browser.In(t)
			part.play(s)
		})
		if !ok {
			return
		}
	}
	IsWell(t, s.r)
}

// queues: pausing holds the C worker back, resuming lets it go on.
func queues(s *stage) {
	s.Open("/")
	s.Shows("default", "idle", "low", "Queue Size", "Tasks Processed")
	s.Picture("asynqmon-queues")
	s.Act("default", "Pause")
	Eventually(s.t, 10*time.Second, "the pause", func() bool { return s.r.Int("EXISTS", QueueKey("default", "paused")) == 1 })
	s.Shows("paused")
	s.enqueue("held", Wish{}, Options{})
	time.Sleep(300 * time.Millisecond)
	if state := s.state("held"); state != "pending" {
		s.t.Errorf("a task of a paused queue is %q", state)
	}
	s.Act("default", "Resume")
	Eventually(s.t, 10*time.Second, "the end of the pause", func() bool { return s.r.Int("EXISTS", QueueKey("default", "paused")) == 0 })
	s.ran("held", 1)
}

// tabs: each state shows its tasks, and how many there are.
func tabs(s *stage) {
	s.Open("/queues/default")
	for _, tab := range [][2]string{{"Active", "running"}, {"Scheduled", "later1"}, {"Retry", "failing1"}, {"Archived", "dead1"},
		{"Completed", "kept"}, {"Pending", ""}, {"Aggregating", ""}} {
		chip := fmt.Sprintf(`[...document.querySelectorAll('.MuiChip-clickable')].find(e => e.innerText.startsWith(%q))`, tab[0])
		s.Click(chip)
		s.Until(fmt.Sprintf("location.search.includes(%q)", strings.ToLower(tab[0])))
		state := strings.ToLower(tab[0])
		switch state {
		case "pending":
			s.Shows("No pending tasks at this time")
		case "aggregating":
			s.Shows("Please select group")
		default:
			s.Shows(tab[1])
		}
	}
	s.Shows("Active 4", "Aggregating 4", "Scheduled 4", "Retry 3", "Archived 3", "Completed 2")
}

func task(s *stage) {
	s.Open("/queues/default/tasks/kept")
	s.Shows("kept", "completed", `"result": "42"`, "42", "t")
	s.Picture("asynqmon-task")
	s.Open("/queues/default/tasks/dead1")
	s.Shows("archived", "dead1", "0/0")
	s.Open("/queues/default/tasks/nobody")
	s.Shows("not found")
}

// active: the C worker's handlers see that they are cancelled.
func active(s *stage) {
	s.tasks("default", "active")
	s.Shows("running", "Running")
	s.Picture("asynqmon-active")
	s.Act("cancelled", "Cancel")
	s.becomes("default", "cancelled", "retry")
	if message := s.r.Message("default", "cancelled"); message.ErrorMsg != "context canceled" {
		s.t.Errorf("the error is %q", message.ErrorMsg)
	}
	s.selectAll()
	s.toolbar("Cancel")
	for _, id := range []string{"batch1", "batch2", "running"} {
		s.becomes("default", id, "retry")
	}
	s.enqueue("running", Wish{SleepMs: 120000}, Options{ID: P("x"), Queue: P("low")}) // another to be cancelled, in "low"
	s.tasks("low", "active")
	s.Shows("Running")
	s.all("Cancel All")
	s.becomes("low", "running", "retry")
}

func scheduled(s *stage) {
	s.tasks("default", "scheduled")
	s.Act("later1", "Run")
	s.ran("later1", 1)
	s.Act("later2", "Archive")
	s.becomes("default", "later2", "archived")
	s.Act("later3", "Delete")
	s.becomes("default", "later3", "")
	s.all("Run All")
	s.ran("later4", 1)
}

func retry(s *stage) {
	s.tasks("default", "retry")
	s.Shows("failing1", "failing1")
	s.Act("failing1", "Run")
	s.ran("failing1", 2)
	s.becomes("default", "failing1", "") // it succeeds now
	s.Act("failing2", "Archive")
	s.becomes("default", "failing2", "archived")
	s.Act("failing3", "Delete")
	s.becomes("default", "failing3", "")
	s.selectAll()
	s.toolbar("Delete")
	for _, id := range []string{"batch1", "batch2", "running", "cancelled"} {
		s.becomes("default", id, "")
	}
	s.tasks("low", "retry")
	s.all("Archive All")
	s.becomes("low", "running", "archived")
}

func archived(s *stage) {
	s.tasks("default", "archived")
	s.Act("later2", "Run")
	s.ran("later2", 1)
	s.Act("dead1", "Delete")
	s.becomes("default", "dead1", "")
	s.selectAll()
	s.toolbar("Run")
	s.ran("failing2", 2)
	s.ran("dead2", 2) // and fails again
	s.ran("dead3", 2)
	s.becomes("default", "dead2", "archived")
	s.becomes("default", "dead3", "archived")
	s.tasks("default", "archived")
	s.Shows("dead2", "dead3")
	s.all("Delete All")
	s.becomes("default", "dead3", "")
	s.tasks("low", "archived")
	s.all("Delete All")
	s.becomes("low", "running", "")
}

func completed(s *stage) {
	s.tasks("default", "completed")
	s.Act("kept2", "Delete")
	s.becomes("default", "kept2", "")
	s.all("Delete All")
	s.becomes("default", "kept", "")
}

// pending: of a queue that nobody serves.
func pending(s *stage) {
	s.tasks("idle", "pending")
	s.Act("idle1", "Archive")
	s.becomes("idle", "idle1", "archived")
	s.Act("idle2", "Delete")
	s.becomes("idle", "idle2", "")
	s.all("Archive All")
	s.becomes("idle", "idle3", "archived")
	s.tasks("idle", "archived")
	s.all("Run All")
	s.becomes("idle", "idle1", "pending")
	s.becomes("idle", "idle3", "pending")
	s.tasks("idle", "pending")
	s.selectAll()
	s.toolbar("Archive")
	s.becomes("idle", "idle3", "archived")
	s.tasks("idle", "archived")
	s.Shows("idle1", "idle3")
	s.selectAll()
	s.toolbar("Delete")
	s.becomes("idle", "idle1", "")
	s.becomes("idle", "idle3", "")
}

func groups(s *stage) {
	s.tasks("default", "aggregating")
	s.Shows("Please select group")
	s.Click(`[...document.querySelectorAll("label")].find(e => e.innerText.includes("Select group"))`)
	s.Click(`document.querySelector('[role="option"]')`)
	s.Shows("grouped1", "grouped2")
	s.Act("grouped1", "Run")
	s.ran("grouped1", 1)
	s.Act("grouped2", "Archive")
	s.becomes("default", "grouped2", "archived")
	s.Act("grouped3", "Delete")
	s.becomes("default", "grouped3", "")
	s.all("Run All")
	s.ran("grouped4", 1)
	Eventually(s.t, 5*time.Second, "no group", func() bool { return s.r.Int("EXISTS", QueueKey("default", "groups")) == 0 })
}

func servers(s *stage) {
	s.enqueue("watched", Wish{SleepMs: 3000000}, Options{})
	s.ran("watched", 1)
	host := s.r.Strings("ZRANGE", "asynq:servers", 0, 0)[0]
	host = strings.Split(strings.TrimPrefix(host, "asynq:servers:{"), ":")[0]
	Eventually(s.t, 10*time.Second, "the worker's record", func() bool { return len(s.r.Strings("KEYS", "asynq:workers:*")) == 1 })
	s.Open("/servers")
	s.Shows(host, "default", "low", "active", "1/10")
	s.Press(`document.querySelector('button[aria-label="expand row"]')`)
	s.Shows("watched", "Active Workers", "Queue Priority")
	s.Picture("asynqmon-servers")
}

// schedulers: Go's, as libasynq has none yet; its tasks are run by the C worker.
func schedulers(s *stage) {
	scheduler := asynq.NewScheduler(s.r.Opt(), &asynq.SchedulerOpts{HeartbeatInterval: time.Second})
	if _, err := scheduler.Register("@every 1s", asynq.NewTask("t", []byte(`{"text":"again"}`))); err != nil {
		s.t.Fatal(err)
	}
	if err := scheduler.Start(); err != nil {
		s.t.Fatal(err)
	}
	defer scheduler.Shutdown()
	Eventually(s.t, 10*time.Second, "an event", func() bool { return len(s.r.Strings("KEYS", "asynq:scheduler_history:*")) == 1 })
	before := len(Starts(s.worker.Ledger()))
	s.Open("/schedulers")
	s.Shows("@every 1s", "again")
	s.Act("@every 1s", "See History")
	s.Shows("Recent History", "Enqueued")
	Eventually(s.t, 10*time.Second, "the C worker to run what the scheduler enqueues", func() bool {
		return len(Starts(s.worker.Ledger())) > before
	})
}

// metrics: the charts of what Prometheus has had from asynqd about the queues.
func metrics(s *stage) {
	s.prom.Has("asynq_queue_size", 3)
	s.prom.Has("rate(asynq_tasks_processed_total[5m])", 3)
	s.Open("/q/metrics")
	s.Shows("Queue Size", "Queue Latency", "Tasks Processed", "Tasks Failed", "Error Rate", "Memory", "default", "low")
	s.Until(`document.querySelectorAll(".recharts-line-curve").length >= 6`)
}

func redisAndSettings(s *stage) {
	s.Open("/redis")
	s.Shows("Redis Info", "Version", "Memory")
	s.Open("/settings")
	s.Shows("Settings", "Polling Interval")
}

func deleteQueue(s *stage) {
	s.Open("/")
	s.Act("idle", "Delete")
	s.Press(WithText(`[role="dialog"] button`, "Delete"))
	Eventually(s.t, 10*time.Second, "the queue to go", func() bool { return s.r.Int("SISMEMBER", "asynq:queues", "idle") == 0 })
	s.Act("default", "Delete") // there is a task in it
	s.Shows("Queue is not empty")
}

// TestAsynqmonOnCluster: queues on three nodes, filled and worked off by C programs, on Asynqmon's pages.
func TestAsynqmonOnCluster(t *testing.T) {
	r := StartSpread(t)
	s := &stage{t: t, r: r, c: NewCEnqueuer(t, r)}
	queues := []string{"default", "low", "mail"} // on three nodes
	for _, queue := range queues {
		for i := range 3 {
			s.enqueue(fmt.Sprint("task", i), Wish{}, Options{Queue: P(queue), Retention: P(time.Hour)})
		}
	}
	web := httptest.NewServer(asynqmon.New(asynqmon.Options{RedisConnOpt: r.Opt()}))
	t.Cleanup(web.Close)
	s.Browser = StartBrowser(t, web.URL)
	s.Open("/")
	s.Shows("default", "mail", "low")
	s.tasks("low", "pending")
	s.Shows("Pending 3", "task0", "task1", "task2")
	s.Act("task1", "Delete")
	s.becomes("low", "task1", "")
	s.worker = StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"default": 3, "low": 1, "mail": 1}, Concurrency: 10})
	for _, queue := range queues {
		s.becomes(queue, "task0", "completed")
		s.becomes(queue, "task2", "completed")
		s.tasks(queue, "completed")
		s.Shows("task0", "task2", "Pending 0")
	}
	s.Picture("asynqmon-cluster")
	s.Open("/servers")
	s.Shows("default", "low", "mail", "active")
	s.Open("/redis")
	s.Shows("Redis Cluster Info", "cluster_state:ok")
	IsWell(t, r)
}
