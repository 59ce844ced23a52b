package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// onCluster is an asynqd with a queue on each of three masters, which have a replica each.
type onCluster struct {
	*Daemon
	t      *testing.T
	c      *Cluster
	queues []string
	config string
}

func startOnCluster(t *testing.T) *onCluster {
	c := StartNodes(t, 3, 1)
	c.SetUser("app", "top secret", "worker", "client", "scheduler")
	s := &onCluster{t: t, c: c}
	for i, node := range c.Masters {
		s.queues = append(s.queues, c.QueueOn(node, fmt.Sprintf("on%d-", i)))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"password": "top secret\n",
		"schedule.yaml": fmt.Sprintf("entries:\n- {spec: '@every 1s', type: tick, queue: %s}\n- {spec: '@every 1s', type: tick, queue: %s}\n",
			s.queues[0], s.queues[1]),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.config = fmt.Sprintf(`
redis: redis-cluster://%s,%s
redis_username: app
redis_password_file: %s
queues: {%s: 1, %s: 1, %s: 1}
schedule: {file: %s}
scale: {interval: 1s}
routes: [{type: t, command: {argv: [cat]}}, {type: tick, command: {argv: ["true"]}}]
`, c.Address(c.Masters[0]), c.Address(c.Masters[1]), filepath.Join(dir, "password"), s.queues[0], s.queues[1], s.queues[2], filepath.Join(dir, "schedule.yaml"))
	s.Daemon = StartDaemon(t, s.config)
	return s
}

// runs posts a task to a queue, again until it is taken, and waits for its only attempt.
func (s *onCluster) runs(id, queue string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"id": %q, "type": "t", "queue": %q}`, id, queue)
	status, answer := 0, ""
	Eventually(s.t, 60*time.Second, id+" to be enqueued", func() bool {
		status, answer = ask(s.t, "POST", s.URL()+"/v1/tasks", body, asJSON)
		return status == 201 || status == 409 // the outcome of the try before was unknown
	})
	s.Attempt(id, 1)
	Eventually(s.t, 60*time.Second, "the end of "+id, func() bool {
		return s.c.Client.Exists(Ctx, TaskKey(queue, id)).Val() == 0
	})
	if got := len(s.Attempts(id)); got != 1 {
		s.t.Errorf("%s: %d attempts, %d %s", id, got, status, answer)
	}
}

func (s *onCluster) ticks(queue string) {
	s.t.Helper()
	processed := func() int { n, _ := s.c.Client.Get(Ctx, QueueKey(queue, "processed")).Int(); return n }
	before := processed()
	Eventually(s.t, 60*time.Second, "a tick in "+queue, func() bool { return processed() > before })
}

// TestOnCluster: asynqd's parts on a cluster, with the documented rights and no others: routes, its schedule, POST /v1/tasks,
// /scale; while a master is away, after a replica has taken its place, and after a reload.
func TestOnCluster(t *testing.T) {
	t.Parallel()
	s := startOnCluster(t)
	for _, queue := range s.queues {
		s.runs("first-"+queue, queue)
	}
	s.ticks(s.queues[0])
	s.ticks(s.queues[1])
	scale := scaleOf(t, s.Daemon)
	for _, queue := range s.queues {
		queueOf(t, scale, queue)
	}
	s.c.Masters[0].Do("WAIT", 1, 5000)
	s.c.Masters[0].Kill()
	s.runs("meanwhile", s.queues[1])
	s.runs("late", s.queues[0])
	s.ticks(s.queues[0])
	reload(t, s.Daemon, s.config+"concurrency: 3\n", wasRead)
	for _, queue := range s.queues {
		s.runs("last-"+queue, queue)
	}
	scaleOf(t, s.Daemon)
}
