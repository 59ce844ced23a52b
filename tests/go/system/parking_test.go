package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// fleet is several servers of ours on one Redis, with one ledger.
type fleet struct {
	t       *testing.T
	r       *Redis
	path    string
	options ServerOptions
	members map[string]*CServer // by pid
}

func startFleet(t *testing.T, r *Redis, size int, options ServerOptions) *fleet {
	options.LedgerPath = filepath.Join(r.Dir, "ledger")
	f := &fleet{t, r, options.LedgerPath, options, map[string]*CServer{}}
	for range size {
		f.add()
	}
	return f
}

func (f *fleet) add() {
	s := StartCServer(f.t, f.r.URI(), f.options)
	f.members[fmt.Sprint(s.Pid())] = s
}

// in lists the members of a set of roles that live.
func (f *fleet) in(role string) (list []*CServer) {
	records := f.r.Strings("KEYS", "asynq:servers:{*") // asynq:servers:{host:pid:id}
	for _, id := range f.r.Strings("ZRANGE", QueueKey("default", "libasynq:"+role), 0, -1) {
		for _, record := range records {
			parts := strings.Split(strings.TrimSuffix(record, "}"), ":")
			if s := f.members[parts[len(parts)-2]]; s != nil && parts[len(parts)-1] == id {
				list = append(list, s)
			}
		}
	}
	return list
}

// waitParked waits until the fleet is at rest: two watch, the others are parked.
func (f *fleet) waitParked() {
	f.t.Helper()
	Eventually(f.t, 60*time.Second, "two watchers and the others parked", func() bool {
		return len(f.in("watchers")) == 2 && len(f.in("parked")) == len(f.members)-2
	})
}

func (f *fleet) kill(s *CServer) {
	s.Kill()
	delete(f.members, fmt.Sprint(s.Pid()))
}

// TestParkedServersAreWoken: many long tasks at once reach every server of an idle fleet, one wakes the next. A parked
// server does not poll, so one that is not woken takes none.
func TestParkedServersAreWoken(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const size = 8
	f := startFleet(t, r, size, ServerOptions{Concurrency: 2})
	f.waitParked()
	e := NewGoEnqueuer(t, r)
	for range 2 * size {
		e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 15000}.Payload()})
	}
	Eventually(t, 12*time.Second, "all to run at the same time", func() bool {
		return len(Starts(ReadLedger(t, f.path))) == 2*size
	})
	waitEmpty(t, r, 60*time.Second)
	f.waitParked()
}

// TestFleetOfManyQueues: servers of very many queues have roles where tasks come often, and leave them when no more come. Parked
// ones are woken there as elsewhere; in the other queues each server is told of a task.
func TestFleetOfManyQueues(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	const size = 6
	queues := map[string]int{"default": 1}
	for i := range 299 {
		queues[fmt.Sprint("q", i)] = 1
	}
	f := startFleet(t, r, size, ServerOptions{Concurrency: 2, Queues: queues})
	e := NewGoEnqueuer(t, r)
	count := 0
	enqueue := func(queue string, wish Wish) {
		e.Enqueue(Task{Type: "t", Payload: wish.Payload(), Own: Options{Queue: P(queue)}})
		count++
	}
	run := func(limit time.Duration) {
		t.Helper()
		Eventually(t, limit, "all to run", func() bool { return len(Starts(ReadLedger(t, f.path))) == count })
	}
	Eventually(t, 60*time.Second, "two watchers and the others parked, where tasks come often", func() bool {
		enqueue("default", Wish{})
		time.Sleep(50 * time.Millisecond)
		return len(f.in("watchers")) == 2 && len(f.in("parked")) == size-2
	})
	run(10 * time.Second)
	for range 2 * size {
		enqueue("default", Wish{SleepMs: 5000})
	}
	run(4 * time.Second)
	for i := range 20 {
		enqueue(fmt.Sprint("q", i), Wish{})
	}
	run(20 * time.Second)
	Eventually(t, 120*time.Second, "nobody to have a role", func() bool {
		return len(r.Strings("KEYS", "*:libasynq:watchers")) == 0 && len(r.Strings("KEYS", "*:libasynq:parked")) == 0
	})
	enqueue("default", Wish{})
	run(2 * time.Second)
}

// TestKilledWatchers: both watchers are killed at once; a parked server takes their place, for tasks enqueued by Go and
// for tasks that are due. A watcher that hangs is replaced, too. Nobody polls here: parked servers wait to be told.
func TestKilledWatchers(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*fleet, *CServer){
		"killed": (*fleet).kill,
		"hung": func(f *fleet, s *CServer) {
			s.Suspend()
			delete(f.members, fmt.Sprint(s.Pid()))
			f.t.Cleanup(func() { s.Signal(syscall.SIGCONT) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			f := startFleet(t, r, 6, ServerOptions{Concurrency: 2})
			f.waitParked()
			e := NewGoEnqueuer(t, r)
			for _, s := range f.in("watchers") {
				remove(f, s)
			}
			e.Enqueue(Task{Type: "t", Payload: P("{}")})
			e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ProcessIn: P(3 * time.Second)}})
			waitEmpty(t, r, 90*time.Second)
			equal(t, "runs", len(Starts(ReadLedger(t, f.path))), 2)
			f.waitParked()
		})
	}
}

// TestChangingFleet: watchers are killed, ended and added while tasks come in all the time. Each task runs.
func TestChangingFleet(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	f := startFleet(t, r, 6, ServerOptions{Concurrency: 2, RetryMs: P(int64(0))})
	f.waitParked()
	e := NewGoEnqueuer(t, r)
	count := 0
	for round := range 8 {
		for range 20 {
			e.Enqueue(Task{Type: "t", Payload: P("{}")})
			count++
			time.Sleep(20 * time.Millisecond)
		}
		for _, s := range f.in("watchers") {
			if round%2 == 0 {
				f.kill(s)
			} else {
				s.Shutdown()
				delete(f.members, fmt.Sprint(s.Pid()))
			}
			f.add()
		}
	}
	waitEmpty(t, r, 180*time.Second) // a task that a killed server had just taken comes back when its lease has ended
	equal(t, "tasks run", len(Starts(ReadLedger(t, f.path))), count)
}

// TestSmallFleet: below a handful of servers, and when most of a large fleet ends, everyone is told.
func TestSmallFleet(t *testing.T) {
	t.Parallel()
	if os.Getenv("ASYNQ_PEER_PARK_THRESHOLD") != "" {
		t.Skip("every fleet is large enough here")
	}
	r := StartRedis(t)
	f := startFleet(t, r, 5, ServerOptions{Concurrency: 2})
	f.waitParked()
	for pid, s := range f.members {
		if len(f.members) > 2 {
			s.Shutdown()
			delete(f.members, pid)
		}
	}
	Eventually(t, 30*time.Second, "nobody to have a role", func() bool {
		return len(f.in("watchers")) == 0 && len(f.in("parked")) == 0
	})
	runsSoon(t, r, 2)
}
