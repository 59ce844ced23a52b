package system

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// notFound is ASYNQ_E_QUEUE_NOT_FOUND.
const notFound = -20

// comings is a server of ours whose queues change, and who puts tasks into them.
type comings struct {
	t      *testing.T
	server *CServer
	client *asynq.Client
	put    int
}

func startComings(t *testing.T, peer *Peer, opt asynq.RedisConnOpt, options ServerOptions) *comings {
	options.LedgerPath = filepath.Join(t.TempDir(), "ledger")
	c := &comings{t: t, server: StartCServerIn(peer, options), client: asynq.NewClient(opt)}
	t.Cleanup(func() { c.client.Close() })
	return c
}

func (c *comings) enqueue(queue, payload string) {
	c.t.Helper()
	c.put++
	task := asynq.NewTask("task", []byte(payload))
	if _, err := c.client.Enqueue(task, asynq.Queue(queue), asynq.TaskID(fmt.Sprint(c.put)), asynq.MaxRetry(0)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *comings) serve(queue string, priority int) {
	c.t.Helper()
	c.server.Must("server.queue", M{"name": queue, "priority": priority})
}

func (c *comings) leave(queue string) { c.serve(queue, 0) }

// ended counts what has run in a queue.
func (c *comings) ended(queue string) (count int) {
	for _, line := range c.server.Ledger() {
		if line.What == "end" && line.Queue == queue {
			count++
		}
	}
	return count
}

func (c *comings) waitEnded(queue string, count int) {
	c.t.Helper()
	Eventually(c.t, 20*time.Second, fmt.Sprint(count, " tasks of ", queue), func() bool { return c.ended(queue) == count })
}

// TestQueuesComeAndGo: queues are added to a running server, by the program and by a handler, get another priority, are
// removed while a task of theirs runs, and come back while that is so.
func TestQueuesComeAndGo(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	c := startComings(t, StartPeer(t, r.URI()), r.Opt(), ServerOptions{Queues: map[string]int{"first": 1}, Concurrency: 1})
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	waitServed := func(want map[string]int) {
		t.Helper()
		Eventually(t, 20*time.Second, fmt.Sprint("the record to tell ", want), func() bool {
			servers, err := inspector.Servers()
			return err == nil && len(servers) == 1 && fmt.Sprint(servers[0].Queues) == fmt.Sprint(want)
		})
	}
	c.enqueue("second", `{}`)
	c.enqueue("first", `{}`)
	c.waitEnded("first", 1)
	c.serve("second", 1)
	c.waitEnded("second", 1)
	c.serve("second", 7)
	c.enqueue("first", `{"do": "queue", "name": "third", "priority": 2}`)
	c.enqueue("third", `{}`)
	c.waitEnded("third", 1)
	waitServed(map[string]int{"first": 1, "second": 7, "third": 2})

	c.enqueue("second", `{"sleep_ms": 700}`)
	c.enqueue("second", `{}`)
	Eventually(t, 10*time.Second, "one to run", func() bool { return r.Int("LLEN", QueueKey("second", "active")) == 1 })
	c.leave("second")
	c.enqueue("first", `{"do": "queue", "name": "third"}`)
	c.waitEnded("second", 2)
	c.waitEnded("first", 3)
	waitServed(map[string]int{"first": 1})
	if n := r.Int("LLEN", QueueKey("second", "pending")); n != 1 {
		t.Errorf("%d tasks wait in the queue that is not served any more", n)
	}
	c.serve("second", 3)
	c.waitEnded("second", 3)

	c.enqueue("second", `{"sleep_ms": 500}`)
	Eventually(t, 10*time.Second, "it to run", func() bool { return r.Int("LLEN", QueueKey("second", "active")) == 1 })
	c.leave("second")
	c.enqueue("second", `{}`)
	c.serve("second", 4)
	c.waitEnded("second", 5)
	if answer := c.server.Do("server.queue", M{"name": "nobody's"}); Status(answer) != notFound {
		t.Errorf("a queue that is not served can be removed: %v", answer)
	}
	IsWell(t, r)
	c.server.Must("server.shutdown", nil)
	for _, priority := range []int{0, 1} {
		if answer := c.server.Do("server.queue", M{"name": "first", "priority": priority}); Status(answer) == 0 {
			t.Errorf("queues of a server that has ended change: %v", answer)
		}
	}
}

// TestQueuesInUnrest: queues go and come back without a pause while they are paused, have due and running tasks, have a
// role among idle servers, and while Redis is away. No task is lost, none runs twice, and what is left of a queue that
// has gone troubles nobody.
func TestQueuesInUnrest(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	proxy := StartLateProxy(t, r)
	peer := StartPeerUnder(t, []string{"env", "ASYNQ_PEER_PARK_THRESHOLD=1"}, proxy.URI())
	c := startComings(t, peer, r.Opt(), ServerOptions{Queues: map[string]int{"stays": 1}, Concurrency: 4})
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	name := func(i int) string { return fmt.Sprintf("q%d}:{%d", i%7, i%7) }
	for i := range 120 {
		queue := name(i)
		c.serve(queue, 1+i%3)
		c.enqueue(queue, `{"sleep_ms": 3}`)
		switch i % 6 {
		case 1:
			inspector.PauseQueue(queue)
		case 3:
			task := asynq.NewTask("task", []byte(`{}`))
			if _, err := c.client.Enqueue(task, asynq.Queue(queue), asynq.ProcessIn(time.Second), asynq.MaxRetry(0)); err != nil {
				t.Fatal(err)
			}
			c.put++
		case 5:
			time.Sleep(15 * time.Millisecond)
		}
		if i%5 != 0 {
			c.leave(queue)
		}
		if i == 60 {
			proxy.Freeze()
		}
		if i == 90 {
			proxy.Thaw()
		}
	}
	for i := range 7 {
		c.serve(name(i), 1)
		inspector.UnpauseQueue(name(i))
	}
	Eventually(t, 30*time.Second, "all tasks to be done", func() bool {
		ended := 0
		for _, line := range c.server.Ledger() {
			if line.What == "end" {
				ended++
			}
		}
		return ended >= c.put
	})
	starts := map[string]int{}
	for _, line := range c.server.Ledger() {
		if line.What == "start" {
			starts[line.ID]++
		}
	}
	for id, count := range starts {
		if count > 1 {
			t.Errorf("task %s ran %d times", id, count)
		}
	}
	for i := range 7 {
		c.leave(name(i))
	}
	Eventually(t, 20*time.Second, "the queues to have gone", func() bool {
		servers, err := inspector.Servers()
		return err == nil && len(servers) == 1 && len(servers[0].Queues) == 1
	})
	for _, key := range r.Strings("KEYS", "*:libasynq:watchers") {
		if !strings.Contains(key, "stays") {
			t.Errorf("%s is left of a queue that has gone", key)
		}
	}
	IsWell(t, r)
}

// TestQueuePatterns: queues that match a pattern are served from their first task on, and forgotten when they are
// deleted; what has a name of its own is not the pattern's; odd names trouble nobody.
func TestQueuePatterns(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	for _, odd := range []string{"tenant:\x01", "tenant:\xff", "tenant:" + strings.Repeat("x", 300), "", " "} {
		r.Do("SADD", "asynq:queues", odd)
	}
	c := startComings(t, StartPeer(t, r.URI()), r.Opt(),
		ServerOptions{Queues: map[string]int{"tenant:*": 1, "tenant:own": 5}, Concurrency: 4})
	for _, queue := range []string{"tenant:", "tenant:a}:pending", "tenant:b{", "tenant:own", "tenant:*"} {
		c.enqueue(queue, `{}`)
		c.waitEnded(queue, 1)
		c.enqueue(queue, `{}`)
		c.waitEnded(queue, 2)
	}
	c.enqueue("other", `{}`)
	servers, err := inspector.Servers()
	if want := map[string]int{"tenant:*": 1, "tenant:own": 5}; err != nil || len(servers) != 1 ||
		fmt.Sprint(servers[0].Queues) != fmt.Sprint(want) {
		t.Errorf("the record tells %v, %v", servers, err)
	}
	c.serve("tenant:*", 9)
	c.serve("other*", 1)
	c.waitEnded("other", 1)
	Eventually(t, 10*time.Second, "it to be empty", func() bool { return inspector.DeleteQueue("other", false) == nil }) // when the outcome is written
	c.enqueue("tenant:b{", `{"sleep_ms": 300}`)
	Eventually(t, 10*time.Second, "it to run", func() bool { return r.Int("LLEN", QueueKey("tenant:b{", "active")) == 1 })
	c.enqueue("other-still", `{}`)
	c.waitEnded("other-still", 1)
	c.enqueue("other", `{}`) // Go's client has registered the name, and does so only once
	c.leave("tenant:*")
	c.enqueue("tenant:b{", `{}`)
	c.enqueue("tenant:own", `{}`)
	c.waitEnded("tenant:b{", 3)
	c.waitEnded("tenant:own", 3)
	if n := r.Int("LLEN", QueueKey("tenant:b{", "pending")); n != 1 {
		t.Errorf("%d tasks wait in a queue whose pattern was removed", n)
	}
	c.leave("tenant:own")
	c.enqueue("tenant:own", `{}`)
	c.serve("*", 1)
	c.waitEnded("tenant:own", 4)
	c.waitEnded("tenant:b{", 4)
	if n := c.ended("other"); n != 1 {
		t.Errorf("a queue is served that was deleted: %d tasks have run", n)
	}
	r.Do("SADD", "asynq:queues", "other")
	c.waitEnded("other", 2)
	for _, bad := range []string{"**", "a**", "x*" + strings.Repeat("y", 255), "a*\n"} {
		if answer := c.server.Do("server.queue", M{"name": bad, "priority": 1}); Status(answer) == 0 {
			t.Errorf("the pattern %q is taken", bad)
		}
	}
	r.Do("SREM", "asynq:queues", "tenant:\x01", "tenant:\xff", "tenant:"+strings.Repeat("x", 300), "", " ")
	IsWell(t, r)
}

// TestQueuePatternsInCluster: the set of queues stands on one node, the queues on all. While that node is away the others'
// queues are served, and when it is back, new ones are found.
func TestQueuePatternsInCluster(t *testing.T) {
	t.Parallel()
	c := StartFakeCluster(t, 2)
	set, other := c.Nodes[0], c.Nodes[1]
	if SlotOf("asynq:queues") >= 8192 {
		set, other = other, set
	}
	client := fakeClient(t, c.URI(other))
	s := StartCServerIn(StartPeer(t, c.URI(other)), ServerOptions{Queues: map[string]int{"tenant*": 1},
		LedgerPath: filepath.Join(t.TempDir(), "ledger")})
	put := 0
	runs := func(queue string) {
		t.Helper()
		put++
		c.Redis.Do("SADD", "asynq:queues", queue)
		enqueueTo(client, queue, fmt.Sprint(put), 0)
		Eventually(t, 20*time.Second, "the task of "+queue, func() bool {
			lines := s.Ledger()
			return len(lines) > 0 && lines[len(lines)-1].What == "end" && lines[len(lines)-1].ID == fmt.Sprint(put)
		})
	}
	here, _ := c.QueueOn(set, "tenant-here")
	there, _ := c.QueueOn(other, "tenant-there")
	late, _ := c.QueueOn(other, "tenant-late")
	runs(here)
	runs(there)
	set.Down()
	runs(there)
	c.Redis.Do("SADD", "asynq:queues", late)
	set.Up()
	runs(late)
	runs(here)
	c.Redis.Do("SADD", "asynq:queues", "}tenant", "tenant}")
	runs("tenant}")
}

// TestIdleQueuesAreQuiet: beside hundreds of queues in which nothing happens, a server sends Redis next to nothing; and
// when something happens in any of them, it is seen to: tasks that come, are due, were lost, or have been kept long enough.
func TestIdleQueuesAreQuiet(t *testing.T) {
	t.Parallel()
	const queues = 300
	r := StartRedis(t)
	options := ServerOptions{Queues: map[string]int{}, Concurrency: 4}
	name := func(n int) string { return fmt.Sprintf("idle-%d", n) }
	for n := range queues {
		options.Queues[name(n)] = 1
	}
	c := startComings(t, StartPeer(t, r.URI()), r.Opt(), options)
	calls := func() (sum int64) {
		for _, line := range strings.Split(r.Text("INFO", "commandstats"), "\n") {
			var n int64
			if _, rest, is := strings.Cut(line, ":calls="); is {
				fmt.Sscan(strings.Split(rest, ",")[0], &n)
				sum += n
			}
		}
		return sum
	}
	Eventually(t, 60*time.Second, "Redis to be left in peace", func() bool {
		before := calls()
		time.Sleep(8 * time.Second) // longer than any period in which each queue could be looked at
		return calls()-before < 4*queues
	})
	message := func(queue, id string) string {
		return Encode(t, &base.TaskMessage{Type: "task", ID: id, Queue: queue, Payload: []byte(`{}`), Retry: 3, Timeout: 60})
	}
	lost, kept, late := name(7), name(77), name(177)
	r.Do("SADD", "asynq:queues", lost, kept)
	r.Do("HSET", QueueKey(lost, "t:lost"), "msg", message(lost, "lost"), "state", "active")
	r.Do("LPUSH", QueueKey(lost, "active"), "lost")
	r.Do("ZADD", QueueKey(lost, "lease"), time.Now().Unix()-100, "lost")
	r.Do("HSET", QueueKey(kept, "t:kept"), "msg", message(kept, "kept"), "state", "completed")
	r.Do("ZADD", QueueKey(kept, "completed"), time.Now().Unix()-1, "kept")
	c.put++
	if _, err := c.client.Enqueue(asynq.NewTask("task", []byte(`{}`)), asynq.Queue(late), asynq.ProcessIn(time.Second)); err != nil {
		t.Fatal(err)
	}
	c.enqueue(name(277), `{}`)
	c.waitEnded(name(277), 1)
	c.waitEnded(late, 1)
	Eventually(t, 30*time.Second, "the lost task to be run", func() bool { return r.Int("EXISTS", QueueKey(lost, "t:lost")) == 0 })
	Eventually(t, 30*time.Second, "the kept task to be deleted", func() bool { return r.Int("EXISTS", QueueKey(kept, "t:kept")) == 0 })
	IsWell(t, r)
}
