// Package kills kills servers with running tasks, again and again, and measures how long it takes until another server runs
// them. A ledger of the handlers' runs tells whether a task was lost, run twice for one kill, or charged with a failure.
//
//	ASYNQ_KILLS       how many servers are killed, over all lanes (default 8)
//	ASYNQ_KILL_LANES  how many fleets side by side, each with a Redis (default 4)
//	ASYNQ_KILL_SEED   what numbers of tasks and pauses are drawn from (default: the time)
package kills

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// kind is who is killed, and who takes over.
type kind struct {
	victim, heir string
	session      time.Duration // 0: the default
}

func (k kind) String() string {
	text := k.victim + " killed, " + k.heir + " takes over"
	if k.session > 0 {
		text += fmt.Sprint(", session ", k.session)
	}
	return text
}

// kinds of a lane, in turns. Go as the heir is what ours is measured by; it takes minutes, and has one lane.
var kinds = []kind{{"c", "c", 0}, {"go", "c", 0}, {"c", "c", 0}, {"c", "c", 3 * time.Second}}

var beside = kind{"go", "go", 0}

// figures are the times between a kill and the next run of each task, by kind.
type figures struct {
	sync.Mutex
	took map[kind][]time.Duration
}

func (f *figures) add(k kind, took time.Duration) {
	f.Lock()
	defer f.Unlock()
	f.took[k] = append(f.took[k], took)
}

func (f *figures) print(t *testing.T) {
	for k, took := range f.took {
		slices.Sort(took)
		at := func(share float64) float64 { return took[int(share*float64(len(took)-1))].Seconds() }
		t.Logf("%s: %d tasks run again after p50 %.1f s, p99 %.1f s, max %.1f s", k, len(took), at(0.5), at(0.99), at(1))
	}
}

// TestKills: no task of a killed server is lost, none has failed, and each runs once more for each kill.
func TestKills(t *testing.T) {
	kills, lanes := Setting("ASYNQ_KILLS", 8), Setting("ASYNQ_KILL_LANES", 4)
	seed := Setting("ASYNQ_KILL_SEED", time.Now().UnixNano())
	t.Logf("ASYNQ_KILL_SEED=%d", seed)
	all := &figures{took: map[kind][]time.Duration{}}
	t.Run("lanes", func(t *testing.T) {
		for i := range lanes {
			k := kinds[int(i)%len(kinds)]
			t.Run(fmt.Sprint(i, " ", k), func(t *testing.T) {
				t.Parallel()
				newLane(t, k, rand.New(rand.NewSource(seed+i)), all).run(int(kills / lanes))
			})
		}
		if kills >= 100 { // takes minutes
			t.Run(fmt.Sprint(beside), func(t *testing.T) {
				t.Parallel()
				newLane(t, beside, rand.New(rand.NewSource(seed-1)), all).run(2)
			})
		}
	})
	all.print(t)
}

// lane is a fleet with a Redis of its own.
type lane struct {
	*testing.T
	kind
	random *rand.Rand
	redis  *Redis
	client *asynq.Client
	all    *figures
	count  int // of servers so far
}

func newLane(t *testing.T, k kind, random *rand.Rand, all *figures) *lane {
	l := &lane{T: t, kind: k, random: random, redis: StartRedis(t), all: all}
	l.client = asynq.NewClient(l.redis.Opt())
	t.Cleanup(func() { l.client.Close() })
	return l
}

// member is a server with its ledger.
type member struct {
	ledger string
	kill   func()
}

func (l *lane) start(kind string) member {
	l.count++
	path := filepath.Join(l.redis.Dir, fmt.Sprint("ledger-", l.count))
	if kind == "go" {
		return member{path, StartGoWorker(l, l.redis.Socket, "default", path, 100)}
	}
	s := StartCServer(l, l.redis.URI(), ServerOptions{Concurrency: 100, LedgerPath: path, MaxLosses: -1, Session: l.session})
	return member{path, s.Kill}
}

// starts are those of each task by one server.
func (l *lane) starts(m member) map[string][]Line {
	starts := map[string][]Line{}
	for _, line := range ReadLedger(l, m.ledger) {
		if line.What == "start" {
			starts[line.ID] = append(starts[line.ID], line)
		}
	}
	return starts
}

func (l *lane) run(kills int) {
	for i := range kills {
		l.round(i)
	}
}

// round has a server run tasks that last, kills it, and waits until the heir runs all of them.
func (l *lane) round(number int) {
	tasks := 16 + l.random.Intn(49)
	victim := l.start(l.victim)
	for i := range tasks {
		payload := Wish{SleepMs: 600_000}.Payload()
		id := asynq.TaskID(fmt.Sprintf("k-%d-%d", number, i))
		if _, err := l.client.Enqueue(asynq.NewTask("t", []byte(*payload)), id, asynq.MaxRetry(0), asynq.Timeout(time.Hour)); err != nil {
			l.Fatal(err)
		}
	}
	Eventually(l, 30*time.Second, "all tasks to run", func() bool { return len(l.starts(victim)) == tasks })
	heir := l.start(l.heir)
	time.Sleep(time.Second + time.Duration(l.random.Intn(7000))*time.Millisecond)
	victim.kill()
	at := time.Now()
	l.await(heir, tasks, at)
	heir.kill()
	l.clear()
}

func (l *lane) await(heir member, tasks int, at time.Time) {
	within := time.Minute
	if l.heir == "go" { // which archives them: they may not fail
		Eventually(l, 5*time.Minute, "Go to archive all", func() bool { return l.redis.Int("ZCARD", QueueKey("default", "archived")) == int64(tasks) })
		for range tasks {
			l.all.add(l.kind, time.Since(at))
		}
		return
	}
	Eventually(l, within, "all tasks to run again", func() bool { return len(l.starts(heir)) == tasks })
	for id, lines := range l.starts(heir) {
		if len(lines) != 1 || lines[0].Retry != 0 {
			l.Errorf("%s: not once more, or as another attempt: %v", id, lines)
		}
		l.all.add(l.kind, time.UnixMicro(lines[0].AtUs).Sub(at))
	}
	if failed := l.redis.Text("GET", QueueKey("default", "failed")); failed != "" {
		l.Error("failures counted: ", failed)
	}
	IsWell(l, l.redis)
}

// clear begins anew: nobody is there. The client publishes the queue's name only now and then.
func (l *lane) clear() {
	l.redis.Do("FLUSHALL")
	l.redis.Do("SADD", "asynq:queues", "default")
}
