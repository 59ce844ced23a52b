// Package failovers kills masters and moves slots under load, again and again. A ledger of the client's calls and of the handlers'
// runs tells whether an acknowledged task was lost, or one was run twice with no failover between.
//
//	ASYNQ_FAILOVERS      how many of each kind (default 2)
//	ASYNQ_FAILOVER_TASKS how many tasks, in each kind (default 400)
//	ASYNQ_GO_WORKERS     how many servers of Go work beside our four (default 2)
//	ASYNQ_COPY_SECONDS   how long the slot of 1,000 running tasks is copied (default 40)
//	ASYNQ_REPLICAS       how many replicas the client waits for (default 1). With 0 each master is alone for a moment before its
//	                     fault, and tasks are lost: those, and only those, that the files of the old masters have alone
package failovers

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// fault is a time in which a master was killed or left, or a slot moved. Until its end the old master may take writes, which are
// lost with it: what was taken or ended there runs again.
type fault struct{ from, to time.Time }

// load is a client that enqueues and servers that work, with their ledgers.
type load struct {
	*testing.T
	client        *Peer
	inspector     *asynq.Inspector
	queue         string
	calls, ledger string
	count         int
	told          int
	faults        []fault
	pairs         []*pair
	promoted      []time.Time
}

// Half of the tasks are not retried, so that one whose lease ran out unnoticed would be lost.
var kinds = []Task{
	{Type: "t", Payload: P("{}"), Own: Options{MaxRetry: P(0)}},
	{Type: "t", Payload: Wish{SleepMs: 30}.Payload()},
	{Type: "t", Payload: Wish{Do: "fail", Times: P(1)}.Payload()},
	{Type: "t", Payload: Wish{SleepMs: 500, Result: "r"}.Payload(), Own: Options{MaxRetry: P(0), Retention: P(time.Hour)}},
	{Type: "async:t", Payload: Wish{SleepMs: 100}.Payload(), Own: Options{Unique: P(time.Hour)}},
	{Type: "t", Payload: P("{}"), Own: Options{MaxRetry: P(0), ProcessIn: P(time.Second)}},
}

const failsOnce = 2 // its place in kinds

const workIsBack = 5 * time.Second // after a promotion

func goWorkers() int { return int(Setting("ASYNQ_GO_WORKERS", 2)) }

func startLoad(t *testing.T, uri string, opt asynq.RedisConnOpt, queue string) *load {
	dir := t.TempDir()
	l := &load{T: t, queue: queue, inspector: asynq.NewInspector(opt), calls: filepath.Join(dir, "calls"), ledger: filepath.Join(dir, "ledger"), count: int(Setting("ASYNQ_FAILOVER_TASKS", 400))}
	for range 4 {
		StartCServer(t, uri, ServerOptions{Concurrency: 10, LedgerPath: l.ledger, RetryMs: P(int64(0)), Queues: map[string]int{queue: 1}})
	}
	for range goWorkers() {
		StartGoWorker(t, uri, queue, l.ledger, 5)
	}
	l.client = StartPeer(t, uri)
	l.client.Must("client.options", M{"timeout_ms": 60_000, "replicas": replicas(), "replicas_timeout_ms": 5000})
	return l
}

func replicas() int { return int(Setting("ASYNQ_REPLICAS", 1)) }

// failovers has one failover after the other, each of which takes about so long, under load. fail brings one about, and returns when
// the old master is a replica. masters: who is one now, and its replica.
func (l *load) failovers(each time.Duration, masters func() (*Redis, *Redis), fail func(old *Redis)) {
	l.during(l.queue, each, func() {
		if len(l.pairs) > 0 {
			l.pairs[len(l.pairs)-1].close()
		}
		old, replica := masters()
		p := l.inStep(old, replica)
		if replicas() == 0 {
			old.CutReplicas()
			time.Sleep(cutFor)
		}
		fail(old)
		old.AwaitReplica()
		p.compare()
		old.LetReplicas()
	})
}

// during has the client enqueue while there is one fault after the other, each of which takes about so long.
func (l *load) during(queue string, each time.Duration, make func()) {
	var turns []M
	for _, task := range kinds {
		task.Own.Queue = P(queue)
		turns = append(turns, task.ForC()["task"].(M))
	}
	faults := int(Setting("ASYNQ_FAILOVERS", 2))
	l.client.Must("stream.start", M{"tasks": turns, "prefix": "s", "count": l.count, "ledger": l.calls, "pause_us": faults * int(each.Microseconds()) / l.count})
	for range faults {
		time.Sleep(time.Second)
		from := time.Now()
		make()
		l.faults = append(l.faults, fault{from, time.Now()})
	}
	l.client.Must("stream.wait", nil)
}

// archivedUnrun are tasks that came to no handler's end, and are archived: Go's recoverer does that with a task that may not be
// retried when its lease is over, whether or not somebody began it.
func (l *load) archivedUnrun(runs map[string][]Line) map[string]bool {
	unrun := map[string]bool{}
	for page := 1; ; page++ {
		tasks, err := l.inspector.ListArchivedTasks(l.queue, asynq.PageSize(1000), asynq.Page(page))
		if err != nil {
			l.Fatal(err)
		}
		for _, task := range tasks {
			if !HasEnded(runs[task.ID]) {
				unrun[task.ID] = true
			}
		}
		if len(tasks) < 1000 {
			return unrun
		}
	}
}

// check waits until all that was acknowledged has run to its end, and counts.
func (l *load) check() {
	calls := ReadCalls(l, l.calls)
	var runs map[string][]Line
	var archived map[string]bool
	isLost := func() (lost []string) {
		runs = RunsOf(ReadLedger(l, l.ledger))
		archived = l.archivedUnrun(runs)
		for id, outcome := range calls {
			if outcome == "acked" && !HasEnded(runs[id]) && !archived[id] {
				lost = append(lost, id)
			}
		}
		return lost
	}
	for end := time.Now().Add(2 * time.Minute); len(isLost()) > 0 && time.Now().Before(end); {
		time.Sleep(time.Second)
	}
	lost := isLost()
	counts := map[string]int{"archived unrun": len(archived)}
	for id, outcome := range calls {
		counts[outcome]++
		if outcome == "refused" && len(runs[id]) > 0 {
			l.Errorf("%s: the client said that it was not enqueued: %v", id, runs[id])
		}
	}
	if goWorkers() == 0 && len(archived) > 0 {
		l.Errorf("archived, and nobody ran them: %v", archived)
	}
	for id, lines := range runs {
		counts["twice"] += l.countTwice(id, lines)
	}
	if len(l.pairs) > 0 {
		l.pairs[len(l.pairs)-1].close()
	}
	l.Logf("%d faults, %d calls: %v; %s; %s", len(l.faults), len(calls), counts, l.account(lost, calls, runs), l.back())
	if replicas() > 0 && len(lost) > 0 {
		l.Errorf("LOST: %v", lost)
	}
}

// countTwice wants a cause for each start but the first: the handler failed, or a fault between the two, with which the first outcome
// was lost.
func (l *load) countTwice(id string, lines []Line) (twice int) {
	var last *Line
	number, _ := strconv.Atoi(strings.TrimPrefix(id, "s-"))
	for i := range lines {
		if lines[i].What != "start" {
			continue
		}
		isRetry := last != nil && number%len(kinds) == failsOnce && last.Retry == 0 && lines[i].Retry == 1
		if last != nil && !isRetry {
			twice++
			if l.told++; l.told <= 10 {
				l.Logf("%s ran twice: %v, %v; ended: %v", id, time.UnixMicro(last.AtUs), time.UnixMicro(lines[i].AtUs), lines)
			}
			if !l.hasFaultBetween(last, &lines[i]) {
				l.Errorf("%s: TWICE, and no fault between: %v", id, lines)
			}
		}
		last = &lines[i]
	}
	return twice
}

// noteReplaced notes when another master was there, if the client still enqueues: else nothing need begin.
func (l *load) noteReplaced() {
	if len(ReadCalls(l, l.calls)) < l.count {
		l.promoted = append(l.promoted, time.Now())
	}
}

// back tells how long it took from each promotion until a handler began again, and wants that within workIsBack.
func (l *load) back() string {
	var waits []time.Duration
	starts := ReadLedger(l, l.ledger)
	for _, at := range l.promoted {
		next := time.Duration(-1)
		for _, line := range starts {
			if since := time.UnixMicro(line.AtUs).Sub(at); line.What == "start" && since >= 0 && (next < 0 || since < next) {
				next = since
			}
		}
		if next < 0 || next > workIsBack {
			l.Errorf("work was not back %v after the promotion at %v, but %v", workIsBack, at, next)
		}
		waits = append(waits, next)
	}
	if len(waits) == 0 {
		return "no promotion"
	}
	slices.Sort(waits)
	return fmt.Sprintf("work was back after %v, at the worst after %v", waits[len(waits)/2].Round(time.Millisecond), waits[len(waits)-1].Round(time.Millisecond))
}

func (l *load) hasFaultBetween(run, next *Line) bool {
	from, to := time.UnixMicro(run.AtUs).Add(-time.Second), time.UnixMicro(next.AtUs)
	for _, f := range l.faults {
		if f.to.After(from) && f.from.Before(to) {
			return true
		}
	}
	return false
}

// replaced waits until another master has the slot, while something befell the old one.
func (l *load) replaced(c *Cluster, slot int, old *Redis) {
	Eventually(l, 60*time.Second, "another master", func() bool { return c.Owner(slot) != old })
	l.noteReplaced()
}

// TestClusterKills: the master of the queue is killed, a replica takes over, and the killed one comes back as a replica.
func TestClusterKills(t *testing.T) {
	t.Parallel()
	clusterFailovers(t, (*Redis).Kill, (*Redis).Start)
}

// TestClusterPauses: the master is stopped for three times as long as its silence is borne, and goes on: what it still has in its
// sockets is no outcome any more.
func TestClusterPauses(t *testing.T) {
	t.Parallel()
	clusterFailovers(t, (*Redis).Stop, func(old *Redis) {
		time.Sleep(2 * time.Second) // the first second was over before it was replaced
		old.Continue()
	})
}

func clusterFailovers(t *testing.T, end, comeBack func(*Redis)) {
	c := StartNodes(t, 3, 1, writesDown...)
	queue := c.QueueOn(c.Masters[0], "q")
	slot := c.Slot(QueueKey(queue, "pending"))
	l := startLoad(t, c.URI(), c.Opt(), queue)
	masters := func() (*Redis, *Redis) {
		master := c.Owner(slot)
		return master, c.ReplicaOf(master)
	}
	l.failovers(5*time.Second, masters, func(old *Redis) {
		end(old)
		l.replaced(c, slot, old)
		comeBack(old)
	})
	l.check()
}

// TestClusterLongCopy: a slot is copied for a long time under 1,000 running tasks. Their leases are renewed meanwhile, those whose
// hash has gone ahead too, and each runs once.
func TestClusterLongCopy(t *testing.T) {
	t.Parallel()
	const running = 1000
	lasts := time.Duration(int(Setting("ASYNQ_COPY_SECONDS", 40))) * time.Second
	c := StartNodes(t, 2, 0)
	queue := c.QueueOn(c.Masters[0], "q")
	ledger := filepath.Join(t.TempDir(), "ledger")
	StartCServer(t, c.URI(), ServerOptions{Concurrency: running, LedgerPath: ledger, Queues: map[string]int{queue: 1}})
	client := asynq.NewClient(c.Opt())
	defer client.Close()
	for range running {
		payload := Wish{SleepMs: int(lasts.Milliseconds()) + 10_000}.Payload()
		if _, err := client.Enqueue(asynq.NewTask("t", []byte(*payload)), asynq.Queue(queue), asynq.MaxRetry(0)); err != nil {
			t.Fatal(err)
		}
	}
	Eventually(t, time.Minute, "all tasks to run", func() bool { return len(Starts(ReadLedger(t, ledger))) == running })
	move := c.BeginMove(c.Slot(QueueKey(queue, "pending")), c.Masters[1])
	for begin := time.Now(); time.Since(begin) < lasts; time.Sleep(lasts / 100) {
		move.Some(running / 100)
	}
	move.Finish()
	Eventually(t, 2*time.Minute, "all tasks to end", func() bool { return len(ReadLedger(t, ledger)) >= 2*running })
	for id, runs := range Starts(ReadLedger(t, ledger)) {
		if runs != 1 {
			t.Errorf("%s ran %d times", id, runs)
		}
	}
	Eventually(t, time.Minute, "their outcomes to be written", func() bool {
		return c.Client.LLen(Ctx, QueueKey(queue, "active")).Val() == 0 && c.Client.ZCard(Ctx, QueueKey(queue, "lease")).Val() == 0
	})
	if archived := c.Client.ZCard(Ctx, QueueKey(queue, "archived")).Val(); archived != 0 {
		t.Errorf("%d were archived", archived)
	}
}

// TestClusterMoves: the slot of the queue moves key by key from one master to the other, and back.
func TestClusterMoves(t *testing.T) {
	t.Parallel()
	c := StartNodes(t, 2, 1)
	queue := c.QueueOn(c.Masters[0], "q")
	slot := c.Slot(QueueKey(queue, "pending"))
	l := startLoad(t, c.URI(), c.Opt(), queue)
	l.during(queue, 5*time.Second, func() {
		to := c.Masters[0]
		if c.Owner(slot) == to {
			to = c.Masters[1]
		}
		move := c.BeginMove(slot, to)
		for range 10 {
			move.Some(2)
			time.Sleep(100 * time.Millisecond)
		}
		move.Finish()
	})
	l.check()
}

// TestSentinelFailovers: the master is killed, stopped for 30 s, or told to step down.
func TestSentinelFailovers(t *testing.T) {
	t.Parallel()
	s := StartSentinels(t, writesDown...)
	l := startLoad(t, s.URI(), s.Opt(), "default")
	turn := 0
	masters := func() (*Redis, *Redis) { return s.Master(), s.ReplicaOf(s.Master()) }
	l.failovers(15*time.Second, masters, func(old *Redis) {
		turn++
		var stopped time.Time
		switch turn % 3 {
		case 0:
			s.Failover()
		case 1:
			old.Kill()
		case 2:
			old.Stop()
			stopped = time.Now()
		}
		s.AwaitFailover(old)
		l.noteReplaced()
		switch turn % 3 {
		case 1:
			old.Start()
		case 2:
			time.Sleep(30*time.Second - time.Since(stopped))
			old.Continue()
		}
	})
	l.check()
}
