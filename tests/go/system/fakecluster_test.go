package system

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// startFake is a fake cluster and a C client on it, by way of its first node.
func startFake(t *testing.T, masters int) (*FakeCluster, *Peer) {
	t.Helper()
	c := StartFakeCluster(t, masters)
	return c, fakeClient(t, c.URI(c.Nodes[0]))
}

func fakeClient(t *testing.T, uri string) *Peer {
	t.Helper()
	peer := StartPeer(t, uri)
	peer.Must("client.options", M{"timeout_ms": 30_000})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(peer.Notes())
		}
	})
	return peer
}

// enqueueBeside enqueues beside the test. What is returned waits for the end.
func enqueueBeside(t *testing.T, peer *Peer, queue, id string) (wait func()) {
	status := make(chan int)
	go func() {
		status <- Status(peer.Do("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P(id), Queue: P(queue)}}.ForC()))
	}()
	return func() {
		t.Helper()
		equal(t, "status of "+id, <-status, 0)
	}
}

func pendingIn(r *Redis, queue string) int { return int(r.Int("LLEN", QueueKey(queue, "pending"))) }

// everyNode enqueues a task to a queue on each node with slots.
func everyNode(t *testing.T, c *FakeCluster, peer *Peer, nodes []*FakeNode, id string) {
	t.Helper()
	for i, n := range nodes {
		queue, _ := c.QueueOn(n, "each")
		before := pendingIn(c.Redis, queue)
		enqueueTo(peer, queue, fmt.Sprint(id, i), 0)
		equal(t, "tasks in "+queue, pendingIn(c.Redis, queue), before+1)
	}
}

// Case 16: all nodes come back at other addresses, and only the seed tells of them, which is no node with slots itself.
func TestClusterGoesBackToSeeds(t *testing.T) {
	t.Parallel()
	const masters = 12
	c := StartFakeCluster(t, masters)
	seed := c.Add("")
	peer := fakeClient(t, c.URI(seed))
	old := slices.Clone(c.Nodes[:masters])
	everyNode(t, c, peer, old[:2], "before-")
	Eventually(t, 10*time.Second, "the seed without slots to be left", func() bool { return seed.Links() == 0 })
	for _, n := range old {
		at := c.Add("")
		at.ID = n.ID
		c.GiveAll(n, at)
		n.Down()
	}
	everyNode(t, c, peer, c.Nodes[masters+1:], "after-")
}

// Case 17: an address that the map names belongs to a node of another cluster, or to a Redis that is in none. Nothing is
// written there, and when the others tell where the slots are, work goes on.
func TestClusterOfOthers(t *testing.T) {
	t.Parallel()
	for name, isCluster := range map[string]bool{"another cluster": true, "a single Redis": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, peer := startFake(t, 3)
			lost := c.Nodes[2]
			queue, _ := c.QueueOn(lost, "q")
			enqueueTo(peer, queue, "before", 0)
			lost.Down()
			var other *Redis
			if isCluster {
				others := StartFakeCluster(t, 1)
				stranger := others.Add(lost.Address)
				others.GiveAll(others.Nodes[0], stranger)
				other = others.Redis
			} else {
				host, port, _ := strings.Cut(lost.Address, ":")
				other = StartRedis(t, "--port", port, "--bind", host)
			}
			wait := enqueueBeside(t, peer, queue, "after")
			time.Sleep(time.Second)
			c.GiveAll(lost, c.Nodes[0])
			wait()
			equal(t, "tasks in the right place", pendingIn(c.Redis, queue), 2)
			equal(t, "keys of the other one", len(other.Keys()), 0)
		})
	}
}

// Case 18: a node starts again, and has what it had.
func TestClusterNodeRestarts(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, _ := c.QueueOn(c.Nodes[1], "q")
	c.Nodes[1].Down()
	everyNode(t, c, peer, []*FakeNode{c.Nodes[0], c.Nodes[2]}, "meanwhile-")
	wait := enqueueBeside(t, peer, queue, "waits")
	time.Sleep(300 * time.Millisecond)
	equal(t, "tasks before it is there", pendingIn(c.Redis, queue), 0)
	c.Nodes[1].Up()
	wait()
	everyNode(t, c, peer, c.Nodes, "after-")
}

// Case 19: a node says of a slot that it is where we are. The connection is dropped, as its name may stand for another
// node now; it is tried again, but not all the time, and other slots are served.
func TestClusterCircularMoved(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 2)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	connections := c.Nodes[0].Connections()
	c.Refuse(slot, fmt.Sprintf("-MOVED %d %s", slot, c.Nodes[0].Address))
	wait := enqueueBeside(t, peer, queue, "x")
	Eventually(t, 10*time.Second, "another connection", func() bool { return c.Nodes[0].Connections() > connections })
	time.Sleep(1500 * time.Millisecond)
	if asked := c.Nodes[0].Commands()["enqueue"]; asked < 3 || asked > 25 {
		t.Errorf("%d tries in 1.5 s", asked)
	}
	c.Refuse(slot, "")
	wait()
	equal(t, "tasks", pendingIn(c.Redis, queue), 1)
	everyNode(t, c, peer, c.Nodes, "after-")
}

// Case 20: redirections to what there cannot be. Nobody follows them; the map is read, and the task is enqueued once.
func TestClusterBadRedirects(t *testing.T) {
	t.Parallel()
	c, _ := startFake(t, 2)
	for i, reply := range []string{
		"-MOVED", "-MOVED ", "-MOVED 1", "-MOVED 99999999999999999999 127.0.0.1:1", "-MOVED -5 127.0.0.1:1", "-MOVED 16384 127.0.0.1:1",
		"-MOVED x y", "-MOVED 5 :0", "-MOVED 5 :7000", "-MOVED 5 127.0.0.1", "-MOVED 5 127.0.0.1:0", "-MOVED 5 127.0.0.1:99999",
		"-MOVED 5 " + strings.Repeat("h", 3000) + ":7000", "-ASK", "-ASK 5", "-ASK 99999999999999999999 x:1", "-ASK 5 :0", "-ASK 5 ::::",
		"-ASK 5 127.0.0.1:-1", "-ASK 5 " + strings.Repeat("h", 3000) + ":7000", "-ASK 5 no.such.host.invalid:7000", "-TRYAGAIN", "-CLUSTERDOWN",
	} {
		t.Run(fmt.Sprintf("%.40s", reply), func(t *testing.T) {
			t.Parallel()
			peer := fakeClient(t, c.URI())
			queue, slot := c.QueueOn(c.Nodes[1], fmt.Sprint("bad", i, "-"))
			c.Refuse(slot, reply)
			wait := enqueueBeside(t, peer, queue, "x")
			time.Sleep(300 * time.Millisecond)
			c.Refuse(slot, "")
			wait()
			equal(t, "tasks", pendingIn(c.Redis, queue), 1)
			served, _ := c.Nodes[1].Served("enqueue", queue)
			equal(t, "scripts that ran", served, 1)
		})
	}
}

// Cases 21 and 22: maps that newer servers, servers with TLS only, and servers behind others tell. What is not known is
// passed over; no port is that of the node that told; no host is its host.
func TestClusterMaps(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]string{
		"port 0":            "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\nHOST:0\r\nID",
		"no host":           "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$-1\r\n:PORT\r\nID",
		"an empty host":     "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$0\r\n\r\n:PORT\r\nID",
		"an unknown host":   "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$1\r\n?\r\n:PORT\r\nID",
		"no id":             "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\nHOST:PORT\r\n",
		"more of a node":    "*1\r\n*3\r\n:0\r\n:16383\r\n*6\r\nHOST:PORT\r\nID*2\r\n$8\r\nhostname\r\n$1\r\nh\r\n:7\r\n*-1\r\n",
		"more of a range":   "*1\r\n*6\r\n:0\r\n:16383\r\n*3\r\nHOST:PORT\r\nID*3\r\n$1\r\n?\r\n:1\r\n$1\r\nr\r\n$3\r\nnew\r\n*0\r\n",
		"a replica that is": "*1\r\n*4\r\n:0\r\n:16383\r\n*3\r\nHOST:PORT\r\nID*3\r\nHOST:1\r\n$1\r\nr\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := StartFakeCluster(t, 1)
			n := c.Nodes[0]
			host, port, _ := strings.Cut(n.Address, ":")
			n.On("CLUSTER SLOTS").Answer(strings.NewReplacer("HOST", fmt.Sprintf("$%d\r\n%s\r\n", len(host), host), "PORT", port, "ID", fmt.Sprintf("$40\r\n%s\r\n", n.ID)).Replace(form))
			everyNode(t, c, fakeClient(t, c.URI()), c.Nodes, "x")
		})
	}
}

// Case 22, the other half: maps that cannot be are refused with a reason, and the one before them holds.
func TestClusterMapsThatCannotBe(t *testing.T) {
	t.Parallel()
	node := "*3\r\n$9\r\n127.0.0.1\r\n:7\r\n$1\r\nx\r\n"
	for name, reply := range map[string]string{
		"no array":            "+OK",
		"a number":            ":5",
		"an error":            "-ERR no rights to tell",
		"nothing":             "*0",
		"nil":                 "*-1",
		"texts":               "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
		"a range of nobody":   "*1\r\n*2\r\n:0\r\n:16383\r\n",
		"slots that are none": "*1\r\n*3\r\n:0\r\n:99999\r\n" + node,
		"slots below 0":       "*1\r\n*3\r\n:-1\r\n:5\r\n" + node,
		"slots backwards":     "*1\r\n*3\r\n:5\r\n:1\r\n" + node,
		"huge numbers":        "*1\r\n*3\r\n:9223372036854775807\r\n:9223372036854775807\r\n" + node,
		"a port that is none": "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:70000\r\n$1\r\nx\r\n",
		"20,000 ranges":       "*20000\r\n" + strings.Repeat("*3\r\n:0\r\n:16383\r\n"+node, 20000),
		"10,000 nodes":        "*10000\r\n" + manyNodes(10000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, peer := startFake(t, 2)
			everyNode(t, c, peer, c.Nodes, "before-")
			for _, n := range c.Nodes {
				n.On("CLUSTER SLOTS").Answer(reply)
			}
			read := c.Nodes[0].Commands()["CLUSTER SLOTS"]
			queue, slot := c.QueueOn(c.Nodes[0], "q")
			c.Refuse(slot, "-CLUSTERDOWN The cluster is down")
			wait := enqueueBeside(t, peer, queue, "x")
			Eventually(t, 10*time.Second, "the map to be read", func() bool { return c.Nodes[0].Commands()["CLUSTER SLOTS"] > read+1 })
			c.Refuse(slot, "")
			wait()
			if open := descriptorsOf(peer.Pid()); open > 100 {
				t.Errorf("%d descriptors", open)
			}
			everyNode(t, c, peer, c.Nodes, "after-")
		})
	}
}

func manyNodes(count int) string {
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "*3\r\n:%d\r\n:%d\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$5\r\n%05d\r\n", i, i, 1+i, i)
	}
	return text.String()
}

// Case 23: a slot has gone, and no node says so to us. The map is read now and then all the same.
func TestClusterMapWithoutMoved(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 2)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	c.Nodes[0].On("enqueue").Before(func() {}) // serves all of them
	c.Give(slot, c.Nodes[1])
	number := 0
	Eventually(t, 60*time.Second, "the right node to be asked", func() bool {
		time.Sleep(100 * time.Millisecond)
		number++
		enqueueTo(peer, queue, fmt.Sprint(number), 0)
		served, _ := c.Nodes[1].Served("enqueue", queue)
		return served > 0
	})
}

// A node is silent, as if its machine had stopped, and another one takes its slots. What was sent to it has an unknown
// outcome; nothing waits for it for long, and the map is asked of others.
func TestClusterHangingNode(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, _ := c.QueueOn(c.Nodes[0], "q")
	for i := range 2 {
		c.Nodes[i].Hang()
	}
	wait := enqueueBeside(t, peer, queue, "x")
	time.Sleep(300 * time.Millisecond)
	c.GiveAll(c.Nodes[0], c.Nodes[2])
	c.GiveAll(c.Nodes[1], c.Nodes[2])
	begun := time.Now()
	wait()
	if took := time.Since(begun); took > 10*time.Second { // 15 s is what a single server may take
		t.Errorf("it took %v", took)
	}
	equal(t, "tasks", pendingIn(c.Redis, queue), 1)
}

// Cases 25 and 26: the map names a node that never completes a connection, and others that die in the middle of answers,
// while tasks run elsewhere. Nothing waits for them.
func TestClusterNodesThatNeverConnect(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	everyNode(t, c, peer, c.Nodes, "before-")
	c.Nodes[1].Told = DeafAddress(t)
	c.Nodes[2].On("CLUSTER SLOTS").Close()
	c.Nodes[0].Drop() // the map is read
	Eventually(t, 10*time.Second, "the map to be read", func() bool { return c.Nodes[1].Links() == 0 })
	queue, _ := c.QueueOn(c.Nodes[0], "q")
	for i := range 200 {
		begun := time.Now()
		enqueueTo(peer, queue, fmt.Sprint(i), 0)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("a task took %v", took)
		}
		if i%20 == 0 {
			c.Nodes[2].Drop()
		}
	}
	equal(t, "tasks", pendingIn(c.Redis, queue), 200)
}

// Case 27: a node that is dead and has no slots any more is asked no more.
func TestClusterForgetsTheDead(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	everyNode(t, c, peer, c.Nodes, "before-")
	dead := c.Nodes[2]
	queue, _ := c.QueueOn(dead, "q")
	dead.Down()
	c.GiveAll(dead, c.Nodes[0])
	enqueueTo(peer, queue, "x", 0)
	dead.Up()
	connections := dead.Connections()
	time.Sleep(1500 * time.Millisecond)
	equal(t, "connections to the dead", dead.Connections(), connections)
	everyNode(t, c, peer, c.Nodes[:2], "after-")
}

// Case 28: subscriptions of slots go to the nodes that have them, also when a node refuses one with MOVED, and again when the
// slots have gone to another.
func TestClusterShardSubscriptions(t *testing.T) {
	t.Parallel()
	c := StartFakeCluster(t, 3)
	weights := map[string]int{}
	queues := map[*FakeNode]string{}
	slots := map[*FakeNode]int{}
	for i, n := range c.Nodes {
		queues[n], slots[n] = c.QueueOn(n, fmt.Sprint("on", i, "-"))
		weights[queues[n]] = 1
	}
	c.Nodes[0].On("SSUBSCRIBE").Nth(1).Answer(fmt.Sprintf("-MOVED %d %s", slots[c.Nodes[0]], c.Nodes[1].Address))
	server := StartCServer(t, c.URI(), ServerOptions{Queues: weights, Concurrency: 2, LedgerPath: filepath.Join(c.Redis.Dir, "ledger")})
	subscribed := func(n *FakeNode, queue string) bool {
		served, _ := n.Served("SSUBSCRIBE", queue)
		return served > 0
	}
	for _, n := range c.Nodes {
		Eventually(t, 20*time.Second, "a subscription at each node", func() bool { return subscribed(n, queues[n]) })
	}
	messages := c.Nodes[1].Commands()["SUBSCRIBE"]
	c.GiveAll(c.Nodes[0], c.Nodes[1])
	c.Nodes[0].Drop()
	Eventually(t, 20*time.Second, "a subscription at the new node", func() bool { return subscribed(c.Nodes[1], queues[c.Nodes[0]]) })
	equal(t, "subscriptions to messages at a node that stays", c.Nodes[1].Commands()["SUBSCRIBE"], messages)
	peer := fakeClient(t, c.URI())
	enqueueTo(peer, queues[c.Nodes[0]], "x", 0)
	Eventually(t, 20*time.Second, "its task to run", func() bool { return len(server.Ledger()) == 2 })
}

// A node's slots go while it has not yet answered to subscriptions: what waits for the answers goes with it.
func TestClusterNodeGoesBeforeItAnswers(t *testing.T) {
	t.Parallel()
	c := StartFakeCluster(t, 2)
	silent := c.Nodes[1]
	rule := silent.On("SUBSCRIBE").Silence()
	queue, _ := c.QueueOn(silent, "q")
	server := StartCServer(t, c.URI(), ServerOptions{Queues: map[string]int{queue: 1}, Concurrency: 2, LedgerPath: filepath.Join(c.Redis.Dir, "ledger")})
	Eventually(t, 20*time.Second, "subscriptions", func() bool { return rule.Calls() > 0 })
	c.GiveAll(silent, c.Nodes[0])
	c.Nodes[0].Drop() // the map is read
	Eventually(t, 20*time.Second, "the node to be left", func() bool { return silent.Links() == 0 })
	enqueueTo(fakeClient(t, c.URI()), queue, "x", 0)
	Eventually(t, 20*time.Second, "the task to run", func() bool { return len(server.Ledger()) == 2 })
}

// A node says MOVED to a subscription of one slot for a while, where the map has that slot: other subscriptions of its
// connection stay, the map is read, and in the end it is subscribed to as well.
func TestClusterSubscriptionRefused(t *testing.T) {
	t.Parallel()
	c := StartFakeCluster(t, 2)
	n := c.Nodes[0]
	refused, slot := c.QueueOn(n, "refused")
	other, _ := c.QueueOn(n, "other")
	channel := "asynq:{" + refused + "}:libasynq:slot"
	rule := n.OnKey("SSUBSCRIBE", channel).Answer(fmt.Sprintf("-MOVED %d %s", slot, c.Nodes[1].Address))
	StartCServer(t, c.URI(), ServerOptions{Queues: map[string]int{refused: 1, other: 1}, Concurrency: 2, LedgerPath: filepath.Join(c.Redis.Dir, "ledger")})
	Eventually(t, 20*time.Second, "the refusal", func() bool { return rule.Calls() > 0 })
	connections, read := n.Connections(), n.Commands()["CLUSTER SLOTS"]+c.Nodes[1].Commands()["CLUSTER SLOTS"]
	Eventually(t, 20*time.Second, "the map to be read", func() bool {
		return n.Commands()["CLUSTER SLOTS"]+c.Nodes[1].Commands()["CLUSTER SLOTS"] > read
	})
	time.Sleep(200 * time.Millisecond)
	equal(t, "connections", n.Connections(), connections)
	n.Clear()
	Eventually(t, 20*time.Second, "the subscription", func() bool {
		served, _ := n.Served("SSUBSCRIBE", refused)
		return served > 0
	})
	equal(t, "connections", n.Connections(), connections)
}

// A map whose slots take turns, as after many moves: each node is told that slots have come to it.
func TestClusterSlotsInTurns(t *testing.T) {
	t.Parallel()
	c := StartFakeCluster(t, 3)
	for slot := range 1000 {
		c.Give(slot, c.Nodes[slot%2])
	}
	c.GiveAll(c.Nodes[2], c.Nodes[0])
	const last = "last"
	c.Give(SlotOf(last), c.Nodes[2])
	server := StartCServer(t, c.URI(), ServerOptions{Queues: map[string]int{last: 1}, Concurrency: 2, LedgerPath: filepath.Join(c.Redis.Dir, "ledger")})
	Eventually(t, 10*time.Second, "a subscription to its slot", func() bool {
		served, _ := c.Nodes[2].Served("SSUBSCRIBE", last)
		return served > 0
	})
	enqueueTo(fakeClient(t, c.URI()), last, "x", 0)
	Eventually(t, 10*time.Second, "its task to run", func() bool { return len(server.Ledger()) == 2 })
}

// Case 30: a batch for queues on several nodes, one of which refuses: what it refuses is not enqueued in part, and nothing is
// enqueued twice.
func TestClusterBatchOfSeveralNodes(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	everyNode(t, c, peer, c.Nodes, "before-")
	var tasks []Task
	var queues []string
	var slots []int
	for i, n := range c.Nodes {
		queue, slot := c.QueueOn(n, fmt.Sprint("batch", i, "-"))
		queues, slots = append(queues, queue), append(slots, slot)
		for j := range 10 {
			tasks = append(tasks, Task{Type: "t", Payload: P("{}"), Own: Options{ID: P(fmt.Sprint(i, "-", j)), Queue: P(queue)}})
		}
	}
	c.Refuse(slots[1], "-TRYAGAIN Multiple keys request during rehashing of slot")
	done := make(chan M)
	go func() {
		var list []any
		for _, task := range tasks {
			list = append(list, task.ForC()["task"])
		}
		done <- peer.Do("batch", M{"tasks": list})
	}()
	Eventually(t, 10*time.Second, "the others to be enqueued", func() bool {
		return pendingIn(c.Redis, queues[0]) == 10 && pendingIn(c.Redis, queues[2]) == 10
	})
	equal(t, "tasks of the one that is refused", pendingIn(c.Redis, queues[1]), 0)
	c.Refuse(slots[1], "")
	results, _ := (<-done)["results"].([]any)
	equal(t, "results", len(results), len(tasks))
	for i, result := range results {
		if entry, _ := result.(map[string]any); fmt.Sprint(entry["status"]) != "0" {
			t.Errorf("task %d: %v", i, entry)
		}
	}
	for i, n := range c.Nodes {
		equal(t, "tasks in "+queues[i], pendingIn(c.Redis, queues[i]), 10)
		served, _ := n.Served("enqueue", queues[i])
		equal(t, "scripts for "+queues[i], served, 1)
	}
}

// ASK: the same command goes to the other node, behind ASKING, and runs once. The map stays, and so does the next question.
func TestClusterAsk(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 2)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	target := c.Add("") // known to nobody yet
	c.Ask(slot, target)
	for i := range 5 {
		enqueueTo(peer, queue, fmt.Sprint(i), 0)
	}
	equal(t, "tasks", pendingIn(c.Redis, queue), 5)
	served, asked := target.Served("enqueue", queue)
	equal(t, "scripts that ran at the other node", served, 5)
	equal(t, "of them behind ASKING", asked, 5)
	old, _ := c.Nodes[0].Served("enqueue", queue)
	equal(t, "scripts that ran at the old node", old, 0)
	if asking := target.Commands()["ASKING"]; asking < 5 || asking > 7 {
		t.Errorf("%d times ASKING", asking)
	}
	c.Give(slot, target)
	enqueueTo(peer, queue, "moved", 0)
	served, asked = target.Served("enqueue", queue)
	equal(t, "scripts that ran at the new node", served, 6)
	equal(t, "of them behind ASKING", asked, 5)
}

// ASK that leads back and forth is followed once for each try, and tries have pauses.
func TestClusterAskInCircles(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 2)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	for i, n := range c.Nodes {
		n.On("enqueue").Answer(fmt.Sprintf("-ASK %d %s", slot, c.Nodes[1-i].Address))
	}
	wait := enqueueBeside(t, peer, queue, "x")
	time.Sleep(1500 * time.Millisecond)
	for _, n := range c.Nodes {
		if asked := n.Commands()["enqueue"]; asked < 2 || asked > 25 {
			t.Errorf("%d tries in 1.5 s", asked)
		}
		n.Clear()
	}
	wait()
	equal(t, "tasks", pendingIn(c.Redis, queue), 1)
}

// A slot has no node: its queue waits, and others go on. Then it has one again.
func TestClusterUncoveredSlot(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 2)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	c.Give(slot, nil)
	other := fakeClient(t, c.URI())
	wait := enqueueBeside(t, peer, queue, "x")
	for i := range 20 {
		everyNode(t, c, other, c.Nodes, fmt.Sprint("meanwhile-", i, "-"))
	}
	equal(t, "tasks without a node", pendingIn(c.Redis, queue), 0)
	c.Give(slot, c.Nodes[1])
	wait()
	equal(t, "tasks", pendingIn(c.Redis, queue), 1)
}

// A node that is behind the others tells of an old map: it is not believed.
func TestClusterNodeBehind(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	c.SetEpoch(10)
	everyNode(t, c, peer, c.Nodes, "before-")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	behind := c.Nodes[0]
	old := c.Map()
	c.Give(slot, c.Nodes[1])
	c.SetEpoch(11)
	enqueueTo(peer, queue, "told", 0)
	behind.On("CLUSTER INFO").Answer("$24\r\ncluster_current_epoch:10\r\n")
	behind.On("CLUSTER SLOTS").Answer(old)
	behind.On("enqueue").Answer("-ERR it was believed")
	read := behind.Commands()["CLUSTER SLOTS"]
	for i := 0; behind.Commands()["CLUSTER SLOTS"] < read+3; i++ {
		c.Nodes[2].Drop() // the map is read
		enqueueTo(peer, queue, fmt.Sprint(i), 0)
		time.Sleep(100 * time.Millisecond)
	}
}

// An election was heard of that most of the nodes know nothing of: they are the cluster, and are believed.
func TestClusterElectionOfNobody(t *testing.T) {
	t.Parallel()
	c, peer := startFake(t, 3)
	everyNode(t, c, peer, c.Nodes, "before-")
	lone := c.Nodes[0].On("CLUSTER INFO").Nth(1).Answer("$41\r\ncluster_current_epoch:9223372036854775807\r\n")
	queue, slot := c.QueueOn(c.Nodes[0], "q")
	Eventually(t, 10*time.Second, "it to be heard of", func() bool {
		c.Nodes[2].Drop() // the map is read
		time.Sleep(50 * time.Millisecond)
		return lone.Calls() > 0
	})
	c.Give(slot, c.Nodes[1])
	enqueueTo(peer, queue, "x", 0)
	served, _ := c.Nodes[1].Served("enqueue", queue)
	equal(t, "scripts at the new node", served, 1)
}

func descriptorsOf(pid int) int {
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(files)
}

// memoryOf is what a process has of its own, in kB.
func memoryOf(t *testing.T, pid int) (kilobytes int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmData:")
	fmt.Sscan(rest, &kilobytes)
	return kilobytes
}

// memoryIsFlat compares with what it was. A sanitizer, by its terabytes of addresses, keeps what was freed for a while; it tells
// leaks itself.
func memoryIsFlat(t *testing.T, pid, before int) {
	t.Helper()
	const terabyte = 1 << 30
	if now := memoryOf(t, pid); before < terabyte && now > before+2000 {
		t.Errorf("%d kB, then %d kB", before, now)
	}
}

// TestClusterThousandFailovers: 20 masters, each with one that takes over from it, 50 times, in some of which they die.
// Descriptors and memory are flat.
func TestClusterThousandFailovers(t *testing.T) {
	t.Parallel()
	const masters, rounds = 20, 50
	c := StartFakeCluster(t, masters)
	sides := [2][]*FakeNode{slices.Clone(c.Nodes), nil}
	for _, n := range sides[0] {
		n.Replica = c.Add("")
		n.Replica.Replica = n
		sides[1] = append(sides[1], n.Replica)
	}
	peer := fakeClient(t, c.URI(c.Nodes[0], c.Nodes[masters]))
	pid := peer.Pid()
	descriptors, memory := 0, 0
	for round := range rounds {
		from, to := sides[round%2], sides[(round+1)%2]
		for i, n := range from {
			c.GiveAll(n, to[i])
			if round%10 == 9 {
				n.Down()
				n.Up() // it lives again, and has nothing
			}
		}
		queue, _ := c.QueueOn(to[round%masters], "q")
		enqueueTo(peer, queue, fmt.Sprint(round), 0)
		if round == rounds/5 {
			descriptors, memory = descriptorsOf(pid), memoryOf(t, pid)
		}
	}
	Eventually(t, 10*time.Second, fmt.Sprint(descriptors, " descriptors again"), func() bool { return descriptorsOf(pid) <= descriptors+2*masters })
	memoryIsFlat(t, pid, memory)
	everyNode(t, c, peer, sides[rounds%2], "after-")
}

// TestClusterServerEnds: a server's record and the lists that name it are on several nodes. It has gone from all of them when the
// server has ended, however slow one is.
func TestClusterServerEnds(t *testing.T) {
	t.Parallel()
	c := StartFakeCluster(t, 12)
	server := StartCServer(t, c.URI(c.Nodes[0]), ServerOptions{})
	listed := func() int64 { return c.Redis.Int("ZCARD", "asynq:servers") + c.Redis.Int("ZCARD", "asynq:workers") }
	Eventually(t, 10*time.Second, "the server to be listed", func() bool { return listed() == 2 })
	for _, n := range c.Nodes {
		n.On("ZREM").After(200 * time.Millisecond) // a server gives it less than a second
	}
	server.Terminate()
	equal(t, "lists that name it", listed(), 0)
}
