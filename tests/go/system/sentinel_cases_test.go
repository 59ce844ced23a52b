package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// twoMasters are two that a fake sentinel may name.
func twoMasters(t *testing.T) (nodes [2]*Redis, addresses [2]string) {
	t.Helper()
	for i := range nodes {
		nodes[i], addresses[i] = StartRedisOnPort(t)
	}
	return nodes, addresses
}

func isAt(r *Redis, id string) bool { return r.Int("EXISTS", "asynq:{default}:t:"+id) == 1 }

// Cases 1 and 3: the old master is a replica now, its connections are whole, and nobody says so but the answer READONLY. The
// connection is dropped, the sentinel is asked again, and the task is at the new master.
func TestSentinelReadOnly(t *testing.T) {
	t.Parallel()
	nodes, addresses := twoMasters(t)
	f := StartFakeSentinel(t, "127.0.0.1").Names(addresses[0])
	peer := fakeClient(t, SentinelURI("", f))
	enqueueTo(peer, "default", "before", 0)
	equal(t, "the first task is at the first master", isAt(nodes[0], "before"), true)
	nodes[0].Do("REPLICAOF", "127.0.0.1", strings.TrimPrefix(addresses[1], "127.0.0.1:"))
	f.Names(addresses[1])
	enqueueTo(peer, "default", "after", 0)
	equal(t, "the second task is at the second master", isAt(nodes[1], "after"), true)
	Eventually(t, 10*time.Second, "the replica to be left", func() bool { return len(ours(nodes[0])) == 0 })
}

// Case 5: the master dies and the sentinel that told of it falls silent; then the next ones do.
func TestSentinelsFallSilent(t *testing.T) {
	t.Parallel()
	var sentinels []*FakeSentinel
	var nodes []*Redis
	var addresses []string
	for range 3 {
		node, address := StartRedisOnPort(t)
		nodes, addresses = append(nodes, node), append(addresses, address)
		sentinels = append(sentinels, StartFakeSentinel(t, "127.0.0.1"))
	}
	peer := fakeClient(t, SentinelURI("", sentinels...))
	for i := range nodes {
		for _, f := range sentinels[i:] {
			f.Names(addresses[i])
		}
		id := fmt.Sprint("at-", i)
		enqueueTo(peer, "default", id, 0)
		equal(t, id, isAt(nodes[i], id), true)
		sentinels[i].Answers(nil)
		nodes[i].Kill()
	}
}

// Case 8: as many sentinels know one master as know the other, for ever. That is told, and both connections end up with one.
func TestSentinelsSplit(t *testing.T) {
	t.Parallel()
	nodes, addresses := twoMasters(t)
	var sentinels []*FakeSentinel
	for i := range 4 {
		sentinels = append(sentinels, StartFakeSentinel(t, "127.0.0.1").Names(addresses[i%2]))
	}
	server := StartCServer(t, SentinelURI("", sentinels...), ServerOptions{Concurrency: 1, LedgerPath: filepath.Join(nodes[0].Dir, "ledger")})
	for range 3 { // it is found anew
		// A sentinel that a busy machine keeps from answering in 300 ms has no vote: then one of our two connections may take the other
		// way, finds that it is not where the first one is, and comes back.
		var chosen *Redis
		Eventually(t, 60*time.Second, "all connections to be with one of them", func() bool {
			counts := []int{len(ours(nodes[0])), len(ours(nodes[1]))}
			if counts[0] > 0 {
				chosen = nodes[0]
			} else {
				chosen = nodes[1]
			}
			return min(counts[0], counts[1]) == 0 && max(counts[0], counts[1]) == 2
		})
		chosen.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
	if notes := strings.Join(server.Notes(), "\n"); !strings.Contains(notes, "sentinels disagree: where the master \"mymaster\" is") {
		t.Errorf("not told in: %s", notes)
	}
}

// Cases 4 and 9: a master without replicas makes no noise; when it fails in several ways one after the other, that makes few
// lines, and work goes on after it.
func TestSentinelQuiet(t *testing.T) {
	t.Parallel()
	r, address := StartRedisOnPort(t)
	f := StartFakeSentinel(t, "127.0.0.1").Names(address)
	server := StartCServer(t, SentinelURI("", f), ServerOptions{Concurrency: 1, LedgerPath: filepath.Join(r.Dir, "ledger")})
	at(t, r, 10*time.Second)
	server.Notes()
	asked := f.Asked()
	time.Sleep(2 * time.Second)
	if now := f.Asked() - asked; now > 8 {
		t.Errorf("%d questions in 2 s", now)
	}
	equal(t, "lines while all is well", len(server.Notes()), 0)
	for range 5 {
		r.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		r.Do("CLIENT", "KILL", "TYPE", "pubsub")
		time.Sleep(50 * time.Millisecond)
	}
	r.Kill()
	time.Sleep(time.Second)
	r.Start()
	NewGoEnqueuer(t, r).Enqueue(Task{Type: "t", Payload: P("{}")})
	Eventually(t, 20*time.Second, "the task to run", func() bool { return len(server.Ledger()) == 2 })
	if notes := server.Notes(); len(notes) < 1 || len(notes) > 12 {
		t.Errorf("%d lines: %s", len(notes), strings.Join(notes, "\n"))
	}
}

// Cases 13, 14 and 15: the subscriber's connection alone is lost, again and again, also before it has subscribed. It comes
// back with all subscriptions, each once, and an idle server is told of a task.
func TestSentinelSubscriberComesBack(t *testing.T) {
	t.Parallel()
	r, address := StartRedisOnPort(t)
	f := StartFakeSentinel(t, "127.0.0.1").Names(address)
	server := StartCServer(t, SentinelURI("", f), ServerOptions{Concurrency: 1, LedgerPath: filepath.Join(r.Dir, "ledger")})
	subscribers := func() string {
		return fmt.Sprint(r.Do("PUBSUB", "NUMSUB", "asynq:cancel", "__redis__:invalidate"))
	}
	const each = "[asynq:cancel 1 __redis__:invalidate 1]"
	Eventually(t, 10*time.Second, "the subscriptions", func() bool { return subscribers() == each })
	for i := range 20 {
		for range 3 {
			r.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
	}
	Eventually(t, 10*time.Second, "the subscriptions again", func() bool { return subscribers() == each })
	NewGoEnqueuer(t, r).Enqueue(Task{Type: "t", Payload: P("{}")})
	Eventually(t, 10*time.Second, "the task to run", func() bool { return len(server.Ledger()) == 2 })
	equal(t, "subscriptions", subscribers(), each)
}

// Case 10: failovers leave neither descriptors nor memory behind: 50, or as many as ASYNQ_FAILOVERS says.
func TestSentinelManyFailovers(t *testing.T) {
	t.Parallel()
	count := 50
	if text := os.Getenv("ASYNQ_FAILOVERS"); text != "" {
		count, _ = strconv.Atoi(text)
	}
	nodes, addresses := twoMasters(t)
	var sentinels []*FakeSentinel
	for range 3 {
		sentinels = append(sentinels, StartFakeSentinel(t, "127.0.0.1"))
	}
	peer := fakeClient(t, SentinelURI("", sentinels...))
	descriptors, memory := 0, 0
	for i := range count {
		for _, f := range sentinels {
			f.Names(addresses[i%2])
		}
		nodes[1-i%2].Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		for j := range 25 { // as many useful answers as make the next pause short
			enqueueTo(peer, "default", fmt.Sprint(i, "-", j), 0)
		}
		equal(t, "tasks at the right one", isAt(nodes[i%2], fmt.Sprint(i, "-24")), true)
		if i == count/5 {
			descriptors, memory = descriptorsOf(peer.Pid()), memoryOf(t, peer.Pid())
		}
	}
	Eventually(t, 10*time.Second, fmt.Sprint(descriptors, " descriptors again"), func() bool {
		return descriptorsOf(peer.Pid()) <= descriptors+3
	})
	memoryIsFlat(t, peer.Pid(), memory)
}
