package system

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestDemotedMaster: the address of a master that has become a read-only replica. Nobody hammers it, nobody fills the log,
// and all goes on at once when it is promoted.
func TestDemotedMaster(t *testing.T) {
	t.Parallel()
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		c := newCell(t)
		s := StartCServer(c, c.fake.URI(), ServerOptions{LedgerPath: filepath.Join(c.r.Dir, "ledger")})
		NewGoEnqueuer(c, c.r).Enqueue(Task{Type: "t", Payload: P("{}")})
		waitEmpty(t, c.r, recoversWithin)
		c.demote()
		c.logged(s.Notes())
		NewGoEnqueuer(c, c.r).Enqueue(Task{Type: "t", Payload: P("{}")})
		waitEmpty(t, c.r, atOnce)
	})
	t.Run("scheduler", func(t *testing.T) {
		t.Parallel()
		c := newCell(t)
		s := &CScheduler{Peer: c.peer(c.fake.URI())}
		s.Must("scheduler.new", M{"heartbeat_ms": 500})
		if _, err := s.Register(Entry{Spec: "@every 1s", CatchUp: 1, LimitMs: 120_000, Task: Task{Type: "tick", Payload: P("{}")}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		ticks := func() int { return len(tickLedger(t, c.r, "default")["tick"]) }
		Eventually(t, recoversWithin, "ticks", func() bool { return ticks() > 1 })
		c.demote()
		before := ticks()
		Eventually(t, atOnce, "ticks", func() bool { return ticks() > before+1 })
		s.Shutdown()
		checkTicks(t, "ticks", tickLedger(t, c.r, "default")["tick"], 1)
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		c := newCell(t)
		peer := c.peer(c.fake.URI())
		peer.Must("client.options", M{"timeout_ms": 120_000})
		peer.Must("ping", nil)
		done := make(chan M, 1)
		time.AfterFunc(time.Second, func() { done <- peer.Do("enqueue", Task{Type: "t", Payload: P("{}")}.ForC()) })
		c.demote()
		equal(t, "status", Status(<-done), 0)
	})
}

const (
	demotedFor = 12 * time.Second
	atOnce     = 8 * time.Second // after a promotion; the longest pause between two attempts is about a second
)

// demote makes the Redis a replica for a while, and looks for a storm.
func (c *cell) demote() {
	c.Helper()
	before, links := c.fake.Commands()[""], c.fake.Connections()
	c.r.Do("REPLICAOF", "127.0.0.1", "1") // where no master is
	time.Sleep(demotedFor)
	commands, connects := c.fake.Commands()[""]-before, c.fake.Connections()-links
	c.r.Do("REPLICAOF", "NO", "ONE")
	c.Logf("%d commands and %d connections in %v", commands, connects, demotedFor)
	if commands > 120*int(demotedFor.Seconds()) || connects > 5*int(demotedFor.Seconds()) {
		c.Errorf("a storm: %d commands and %d connections in %v: %v", commands, connects, demotedFor, c.fake.Commands())
	}
}

// TestTwoRedisesBehindOneName: each connection meets another Redis, as behind a balancer: the server's two connections
// never agree. It polls, without a storm.
func TestTwoRedisesBehindOneName(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	c.fake.On("INFO").AnswerBy(func(n int) string {
		text := fmt.Sprintf("# Server\r\nredis_version:7.0.15\r\nrun_id:%040d\r\n", n)
		return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
	})
	s := StartCServer(c, c.fake.URI(), ServerOptions{LedgerPath: filepath.Join(c.r.Dir, "ledger")})
	before, links := 0, 0
	time.Sleep(demotedFor)
	commands, connects := c.fake.Commands()[""]-before, c.fake.Connections()-links
	if commands > 120*int(demotedFor.Seconds()) || connects > 5*int(demotedFor.Seconds()) {
		t.Errorf("a storm: %d commands and %d connections in %v: %v", commands, connects, demotedFor, c.fake.Commands())
	}
	c.logged(s.Notes())
	NewGoEnqueuer(c, c.r).Enqueue(Task{Type: "t", Payload: P("{}")})
	waitEmpty(t, c.r, recoversWithin)
}
