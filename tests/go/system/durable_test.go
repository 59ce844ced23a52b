package system

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const notDurable = -19

// withReplica is a Redis and its replica, in sync.
func withReplica(t *testing.T, args ...string) (master, replica *Redis) {
	t.Helper()
	port := FreePort(t)
	master = StartRedis(t, append([]string{"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"}, args...)...)
	replica = StartRedis(t, append([]string{"--port", fmt.Sprint(FreePort(t)), "--bind", "127.0.0.1"}, args...)...)
	replica.Do("REPLICAOF", "127.0.0.1", port)
	Eventually(t, 30*time.Second, "the replica to be in sync", func() bool {
		return strings.Contains(replica.Text("INFO", "replication"), "master_link_status:up") &&
			strings.Contains(master.Text("INFO", "replication"), "connected_slaves:1") &&
			strings.Contains(master.Text("INFO", "replication"), "state=online")
	})
	return master, replica
}

// TestReplicas: a client that waits for replicas tells, task by task, how many have it. A task on fewer of them is enqueued all
// the same, and told.
func TestReplicas(t *testing.T) {
	t.Parallel()
	master, replica := withReplica(t)
	peer := StartPeer(t, master.URI())
	peer.Must("client.options", M{"replicas": 1, "replicas_timeout_ms": 20_000})
	answer := peer.Must("enqueue", Task{Type: "t", Own: Options{ID: P("one")}}.ForC())
	equal(t, "replicas", Number(answer, "replicas"), 1)
	equal(t, "on the replica", replica.Int("EXISTS", QueueKey("default", "t:one")), 1)
	answer = peer.Do("batch", M{"tasks": []M{Task{Type: "t", Own: Options{ID: P("one")}}.ForC()["task"].(M), Task{Type: "t", Own: Options{ID: P("two")}}.ForC()["task"].(M)}})
	results := answer["results"].([]any)
	equal(t, "status of the one that exists", Status(results[0].(M)), -3)
	equal(t, "status of the other", Status(results[1].(M)), 0)
	equal(t, "its replicas", Number(results[1].(M), "replicas"), 1)

	replica.Stop()
	peer = StartPeer(t, master.URI())
	peer.Must("client.options", M{"replicas": 1, "replicas_timeout_ms": 100})
	answer = peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("three")}}.ForC())
	equal(t, "status without the replica", Status(answer), notDurable)
	equal(t, "replicas without it", Number(answer, "replicas"), 0)
	equal(t, "in Redis all the same", master.Int("EXISTS", QueueKey("default", "t:three")), 1)
	ctl(t, master, "task", "enqueue", "-t", "t", "-l", "x", "--replicas", "1", "--replicas-timeout", "100ms").expect(t, "asynqctl", 1, "", "enqueued, but 0 of 1 replicas have it after 100 ms")
	replica.Continue()
}

// TestReplicasAfterLostReply: the connection is lost while replicas are awaited. On the next one Redis would answer at once, as it
// has seen no write there: so the client looks again, and waits for what it has written then.
func TestReplicasAfterLostReply(t *testing.T) {
	t.Parallel()
	master, replica := withReplica(t)
	replica.Stop()
	peer := StartPeer(t, master.URI())
	peer.Must("client.options", M{"timeout_ms": 60_000, "replicas": 1, "replicas_timeout_ms": 30_000})
	done := make(chan M)
	go func() { done <- peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("one")}}.ForC()) }()
	blocked := func() bool { return strings.Contains(master.Text("INFO", "clients"), "blocked_clients:1") }
	for range 2 {
		Eventually(t, 20*time.Second, "the client to wait", blocked)
		master.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		Eventually(t, 20*time.Second, "the client to be gone", func() bool { return !blocked() })
	}
	Eventually(t, 20*time.Second, "the client to wait again", blocked)
	replica.Continue()
	answer := <-done
	equal(t, "status", Status(answer), 0)
	equal(t, "replicas", Number(answer, "replicas"), 1)
	equal(t, "on the replica", replica.Int("EXISTS", QueueKey("default", "t:one")), 1)
	equal(t, "tasks", master.Int("LLEN", QueueKey("default", "pending")), 1)
}

// TestFsync: the task is on the disk, where Redis can say so.
func TestFsync(t *testing.T) {
	t.Parallel()
	r := StartRedis(t, "--appendonly", "yes")
	peer := StartPeer(t, r.URI())
	peer.Must("client.options", M{"fsync": true, "replicas_timeout_ms": 20_000})
	answer := peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("one")}}.ForC())
	if r.Client.Do(Ctx, "WAITAOF", 0, 0, 1).Err() == nil {
		equal(t, "status", Status(answer), 0)
	} else {
		equal(t, "status before Redis 7.2", Status(answer), notDurable)
		if text := fmt.Sprint(answer["error"]); !strings.Contains(text, "enqueued, but Redis would not wait: Redis answered: ERR unknown command") {
			t.Error(text)
		}
	}
	equal(t, "in Redis", r.Int("EXISTS", QueueKey("default", "t:one")), 1)
}
