package system

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// queuesOnEach names a queue on each master.
func queuesOnEach(c *Cluster) (names []string, weights map[string]int) {
	weights = map[string]int{}
	for i, node := range c.Masters {
		name := c.QueueOn(node, fmt.Sprintf("on%d-", i))
		names = append(names, name)
		weights[name] = 1
	}
	return names, weights
}

// keysOf counts what is left of queues.
func pendingOrActive(c *Cluster, queues []string) (left int64) {
	for _, queue := range queues {
		left += c.Client.LLen(Ctx, QueueKey(queue, "pending")).Val() + c.Client.LLen(Ctx, QueueKey(queue, "active")).Val()
	}
	return left
}

// TestClusterOfThree: queues on each of three nodes are filled by Go and by C, and worked off by C and by Go.
func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	c := StartNodes(t, 3, 0)
	names, weights := queuesOnEach(c)
	client := asynq.NewClient(c.Opt())
	defer client.Close()
	peer := StartPeer(t, c.URI())
	ledger := filepath.Join(c.Masters[0].Dir, "ledger")
	server := StartCServer(t, c.URI(), ServerOptions{Queues: weights, Concurrency: 5, LedgerPath: ledger})
	for i := range 10 {
		for _, name := range names {
			if _, err := client.Enqueue(asynq.NewTask("t", []byte("{}")), asynq.TaskID(fmt.Sprintf("go-%s-%d", name, i)), asynq.Queue(name)); err != nil {
				t.Fatal(err)
			}
			peer.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{ID: P(fmt.Sprintf("c-%s-%d", name, i)), Queue: P(name)}}.ForC())
		}
	}
	defer func() {
		if t.Failed() {
			t.Logf("%d lines, left %d: %v", len(server.Ledger()), pendingOrActive(c, names), server.Notes())
		}
	}()
	Eventually(t, 30*time.Second, "all tasks to end", func() bool {
		return len(server.Ledger()) == 2*60 && pendingOrActive(c, names) == 0
	})
	for id, runs := range Starts(server.Ledger()) {
		equal(t, "runs of "+id, runs, 1)
	}
}

// startCluster is a C server on all queues of a cluster, and a C client.
func startOnCluster(t *testing.T, c *Cluster, weights map[string]int, options ServerOptions) (*CServer, *Peer) {
	t.Helper()
	options.Queues, options.LedgerPath = weights, filepath.Join(c.Masters[0].Dir, "ledger")
	server := StartCServer(t, c.URI(), options)
	client := StartPeer(t, c.URI())
	client.Must("client.options", M{"timeout_ms": 60_000})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%d lines: %v", len(server.Ledger()), server.Notes())
		}
	})
	return server, client
}

func asynqOnCluster(t *testing.T, c *Cluster) *asynq.Client {
	client := asynq.NewClient(c.Opt())
	t.Cleanup(func() { client.Close() })
	return client
}

func enqueueTo(client *Peer, queue, id string, ms int) {
	client.Must("enqueue", Task{Type: "t", Payload: Wish{SleepMs: ms}.Payload(), Own: Options{ID: P(id), Queue: P(queue)}}.ForC())
}

// allOnce waits until so many tasks have run, each once.
func allOnce(t *testing.T, c *Cluster, server *CServer, queues []string, count int) {
	t.Helper()
	Eventually(t, 60*time.Second, "all tasks to end", func() bool {
		return len(server.Ledger()) >= 2*count && pendingOrActive(c, queues) == 0
	})
	equal(t, "tasks", len(Starts(server.Ledger())), count)
	for id, runs := range Starts(server.Ledger()) {
		equal(t, "runs of "+id, runs, 1)
	}
}

// TestClusterMovesSlot: a queue's slot moves, key by key, while tasks wait, run and are enqueued; then again while it is idle.
func TestClusterMovesSlot(t *testing.T) {
	t.Parallel()
	c := StartNodes(t, 2, 0)
	names, weights := queuesOnEach(c)
	server, client := startOnCluster(t, c, weights, ServerOptions{Concurrency: 4})
	queue := names[0]
	slot := c.Slot(QueueKey(queue, "pending"))
	for i := range 40 {
		enqueueTo(client, queue, fmt.Sprint("before-", i), 100)
	}
	move := c.BeginMove(slot, c.Masters[1])
	done := make(chan bool)
	go func() {
		defer close(done)
		for i := range 20 {
			enqueueTo(client, queue, fmt.Sprint("meanwhile-", i), 0)
			enqueueTo(client, names[1], fmt.Sprint("elsewhere-", i), 0)
		}
	}()
	for range 5 {
		move.Some(3)
		time.Sleep(200 * time.Millisecond)
	}
	move.Finish()
	<-done
	allOnce(t, c, server, names, 80)
	for i := range 2 { // idle: nobody but Redis tells the server
		time.Sleep(time.Second)
		c.BeginMove(slot, c.Masters[i]).Finish()
		if _, err := asynqOnCluster(t, c).Enqueue(asynq.NewTask("t", []byte("{}")), asynq.TaskID(fmt.Sprint("after-", i)), asynq.Queue(queue)); err != nil {
			t.Fatal(err)
		}
		Eventually(t, 10*time.Second, "the task to run", func() bool { return len(Starts(server.Ledger())) == 81+i })
	}
	allOnce(t, c, server, names, 82)
}

// TestClusterFailover: a master dies while its tasks run; its replica takes over, and the other master works on meanwhile.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	c := StartNodes(t, 3, 1)
	names, weights := queuesOnEach(c)
	server, client := startOnCluster(t, c, weights, ServerOptions{Concurrency: 6})
	for i := range 3 {
		enqueueTo(client, names[0], fmt.Sprint("long-", i), 4000)
	}
	Eventually(t, 30*time.Second, "tasks to run", func() bool { return len(Starts(server.Ledger())) == 3 })
	c.Masters[0].Do("WAIT", 1, 5000)
	c.Masters[0].Kill()
	for i := range 5 {
		enqueueTo(client, names[1], fmt.Sprint("elsewhere-", i), 0)
	}
	Eventually(t, 30*time.Second, "the others' tasks to run", func() bool { return len(Starts(server.Ledger())) == 8 })
	for i := range 5 {
		enqueueTo(client, names[0], fmt.Sprint("waits-", i), 0)
	}
	allOnce(t, c, server, names, 13)
}

// TestClusterHalfMovedTasks: of a queue that has keys of every kind only the tasks have moved when handlers end, tasks fall due
// and others are enqueued. A script that met them halfway would lose some.
func TestClusterHalfMovedTasks(t *testing.T) {
	t.Parallel()
	c := StartNodes(t, 2, 0)
	names, weights := queuesOnEach(c)
	queue := names[0]
	server, client := startOnCluster(t, c, weights, ServerOptions{Concurrency: 20, RetryMs: P(int64(1000))})
	for _, own := range []Options{{ID: P("kept"), Retention: P(time.Hour)}, {ID: P("grouped"), Group: P("g")}, {ID: P("later"), ProcessIn: P(time.Hour)}} {
		own.Queue = P(queue)
		client.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: own}.ForC())
	}
	client.Must("enqueue", Task{Type: "t", Payload: Wish{Do: "fail"}.Payload(), Own: Options{ID: P("archived"), Queue: P(queue), MaxRetry: P(0)}}.ForC())
	client.Must("enqueue", Task{Type: "t", Payload: Wish{Do: "fail"}.Payload(), Own: Options{ID: P("fails"), Queue: P(queue), MaxRetry: P(1)}}.ForC())
	Eventually(t, 30*time.Second, "keys of every kind", func() bool {
		return len(server.Ledger()) == 6 && c.Client.ZCard(Ctx, QueueKey(queue, "archived")).Val() == 1 && c.Client.ZCard(Ctx, QueueKey(queue, "retry")).Val() == 1
	})
	for i := range 20 {
		enqueueTo(client, queue, fmt.Sprint("runs-", i), 1500)
	}
	Eventually(t, 30*time.Second, "tasks to run", func() bool { return len(Starts(server.Ledger())) >= 20 })
	for i := range 20 {
		enqueueTo(client, queue, fmt.Sprint("waits-", i), 0)
	}
	move := c.BeginMove(c.Slot(QueueKey(queue, "pending")), c.Masters[1])
	move.Only(":t:")
	time.Sleep(3 * time.Second)
	move.Finish()
	Eventually(t, 60*time.Second, "all tasks to end", func() bool { return len(Starts(server.Ledger())) == 43 && pendingOrActive(c, names) == 0 })
	for id, runs := range Starts(server.Ledger()) {
		if id != queue+"/fails" {
			equal(t, "runs of "+id, runs, 1)
		}
	}
	ctlAt(t, c.URI(), "", "fsck").expect(t, "fsck", 0, "all is well", "")
}

// TestClusterCannotKeep: a queue whose name begins with "}" has keys in several slots. Go's client lists its name before it fails;
// ours does not, and the other queues stay to be seen.
func TestClusterCannotKeep(t *testing.T) {
	t.Parallel()
	r := StartSpread(t)
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	if _, err := client.Enqueue(asynq.NewTask("t", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue("}:t:")); err == nil {
		t.Fatal("Go's client could enqueue")
	}
	equal(t, "listed by Go", r.Int("SISMEMBER", "asynq:queues", "}:t:"), 1)
	const why = `asynqctl: a Redis Cluster cannot keep a queue whose name begins with "}"`
	ctl(t, r, "task", "enqueue", "--queue", "}ours", "--type", "t", "--payload", "{}").expect(t, "ours", 2, "", why)
	equal(t, "listed by us", r.Int("SISMEMBER", "asynq:queues", "}ours"), 0)
	ctl(t, r, "queue", "inspect", "}:t:").expect(t, "looked at", 2, "", why)
	ctl(t, r, "queue", "ls").expect(t, "queues", 0, "default", "")
	ctl(t, r, "metrics").expect(t, "metrics", 0, `asynq_queue_size\{queue="default"\} 1`, "")
	ctl(t, r, "fsck").expect(t, "fsck", 5, "cannot keep a queue", "")
	ctl(t, r, "fsck", "--repair", "--yes").expect(t, "repair", 7, "name removed", "")
	ctl(t, r, "fsck").expect(t, "fsck again", 0, "all is well", "")
}

// TestClusterOverTLS: the nodes tell addresses, and the certificate of each is checked.
func TestClusterOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificates(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	c := StartNodesOverTLS(t, 3, trusting(t, file("ca.crt")), "--tls-cert-file", file("server.crt"), "--tls-key-file",
		file("server.key"), "--tls-ca-cert-file", file("ca.crt"), "--tls-auth-clients", "no")
	uri := "rediss-cluster://" + strings.Replace(c.Address(c.Masters[0]), "127.0.0.1", "localhost", 1) // the others are told as addresses
	refusedWith(t, uri, -8, "certificate is not trusted")
	uri += "?ca_file=" + file("ca.crt")
	names, weights := queuesOnEach(c)
	server := StartCServer(t, uri, ServerOptions{Queues: weights, Concurrency: 3, LedgerPath: file("ledger")})
	peer := StartPeer(t, uri)
	for i, name := range names {
		enqueueTo(peer, name, fmt.Sprint("c-", i), 0)
		if _, err := asynqOnCluster(t, c).Enqueue(asynq.NewTask("t", []byte("{}")), asynq.TaskID(fmt.Sprint("go-", i)), asynq.Queue(name)); err != nil {
			t.Fatal(err)
		}
	}
	allOnce(t, c, server, names, 6)
}
