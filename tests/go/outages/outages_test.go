// Package outages cuts the network between Redis and our programs for seconds to half a minute, again and again, and heals it
// so that old bytes arrive. A ledger of the client's calls and of the handlers' runs tells whether a task was lost, or run
// twice without a cause.
//
//	ASYNQ_OUTAGES        how many outages, over all lanes (default 4)
//	ASYNQ_OUTAGE_LANES   how many roads side by side, each with a Redis, a client and a server (default 2)
//	ASYNQ_OUTAGE_TASKS   how many tasks, over all lanes (default 2000)
//	ASYNQ_OUTAGE_SEED    what lengths, kinds and pauses are drawn from (default: the time)
package outages

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// An outage of this length or longer, with all that happens until the server is heard again, may outlast a session of 11 s.
const sessionAtRisk = 8 * time.Second

// outage is one that is planned, and then when it was.
type outage struct {
	how           Outage
	pause, length time.Duration
	from, to      time.Time
}

// plan draws the outages of a lane. The few of a short run are of a length at which connections are given up and leases
// are not yet over.
func plan(random *rand.Rand, count int, isShort bool) (plan []*outage) {
	between := func(lowest, highest time.Duration) time.Duration {
		return lowest + time.Duration(random.Int63n(int64(highest-lowest)))
	}
	for range count {
		o := &outage{how: Outage(random.Intn(int(Outages))), pause: between(3*time.Second, 11*time.Second), length: between(time.Second, 40*time.Second)}
		if isShort {
			o.how, o.length = Outage(random.Intn(int(CableOut))), between(17*time.Second, 24*time.Second)
		}
		plan = append(plan, o)
	}
	return plan
}

// tasks are what a client enqueues in turns. One of them fails once; half of them are not retried, so that one whose
// lease ran out unnoticed would be lost.
var tasks = []Task{
	{Type: "t", Payload: P("{}"), Own: Options{MaxRetry: P(0)}},
	{Type: "t", Payload: Wish{SleepMs: 30}.Payload()},
	{Type: "t", Payload: Wish{SleepMs: 5, Text: strings.Repeat("x", 20_000)}.Payload(), Own: Options{MaxRetry: P(0)}},
	{Type: "t", Payload: Wish{Do: "fail", Times: P(1)}.Payload()},
	{Type: "t", Payload: Wish{SleepMs: 500, Result: "r"}.Payload(), Own: Options{MaxRetry: P(0)}},
	{Type: "async:t", Payload: Wish{SleepMs: 100}.Payload(), Own: Options{Unique: P(time.Hour)}},
	{Type: "t", Payload: P("{}"), Own: Options{MaxRetry: P(0), ProcessIn: P(time.Second)}},
}

const failsOnce = 3 // its place in tasks

// TestOutages: no acknowledged task is lost, and none is run twice without a cause.
func TestOutages(t *testing.T) {
	lanes := Setting("ASYNQ_OUTAGE_LANES", 2)
	outages, tasks := Setting("ASYNQ_OUTAGES", 4), Setting("ASYNQ_OUTAGE_TASKS", 2000)
	seed := Setting("ASYNQ_OUTAGE_SEED", time.Now().UnixNano())
	t.Logf("ASYNQ_OUTAGE_SEED=%d", seed)
	for i := range lanes {
		t.Run(fmt.Sprint("lane ", i), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewSource(seed + i))
			l := newLane(t, i%2 == 1)
			l.run(plan(random, int(outages/lanes), outages/lanes < 10), int(tasks/lanes))
			l.check()
		})
	}
}

// lane is a road with a Redis at one end, and at the other a client and a server of ours.
type lane struct {
	*testing.T
	road          *Road
	redis         *Redis
	client        *Peer
	outages       []*outage
	calls, ledger string
}

// A neighbour is a second server, beside Redis, which no outage reaches: it takes over what the first one loses.
func newLane(t *testing.T, hasNeighbour bool) *lane {
	road := NewRoad(t)
	r := StartRedisUnder(t, road.AtRedis(), "--port", "6379", "--bind", RoadRedis, "--protected-mode", "no")
	l := &lane{T: t, road: road, redis: r, calls: filepath.Join(r.Dir, "calls"), ledger: filepath.Join(r.Dir, "ledger")}
	uri := "redis://" + RoadRedis
	options := ServerOptions{Concurrency: 10, LedgerPath: l.ledger, RetryMs: P(int64(0))}
	StartCServerIn(StartPeerUnder(t, road.AtPeer(), uri), options)
	if hasNeighbour {
		StartCServer(t, r.URI(), options)
	}
	l.client = StartPeerUnder(t, road.AtPeer(), uri)
	l.client.Must("client.options", M{"timeout_ms": 30_000})
	return l
}

// run has the client enqueue tasks over the time of all outages.
func (l *lane) run(outages []*outage, count int) {
	var whole time.Duration
	for _, o := range outages {
		whole += o.pause + o.length
	}
	var turns []M
	for _, task := range tasks {
		turns = append(turns, task.ForC()["task"].(M))
	}
	l.outages = outages
	l.client.Must("stream.start", M{"tasks": turns, "prefix": "s", "count": count, "ledger": l.calls,
		"pause_us": (whole / time.Duration(count)).Microseconds()})
	for _, o := range outages {
		time.Sleep(o.pause)
		o.from = time.Now()
		l.road.Close(o.how)
		time.Sleep(o.length)
		l.road.Open(o.how)
		o.to = time.Now()
	}
	l.client.Must("stream.wait", nil)
	l.drain(3 * time.Minute)
	time.Sleep(15 * time.Second) // what is sent again after growing pauses comes by now
	l.drain(3 * time.Minute)
}

// drain waits until nothing is left to be done.
func (l *lane) drain(limit time.Duration) {
	l.Helper()
	Eventually(l, limit, "all tasks to be done", func() bool {
		time.Sleep(100 * time.Millisecond)
		left := int64(0)
		for _, list := range []string{"pending", "active"} {
			left += l.redis.Int("LLEN", QueueKey("default", list))
		}
		for _, set := range []string{"scheduled", "retry", "lease"} {
			left += l.redis.Int("ZCARD", QueueKey("default", set))
		}
		return left == 0
	})
}

// check holds the two ledgers together.
func (l *lane) check() {
	calls, runs := ReadCalls(l, l.calls), RunsOf(ReadLedger(l, l.ledger))
	counts := map[string]int{}
	for id, outcome := range calls {
		counts[outcome]++
		switch ended := HasEnded(runs[id]); {
		case outcome == "intend":
			l.Errorf("%s: the client never said what became of it", id)
		case outcome == "acked" && !ended:
			l.Errorf("%s: LOST: acknowledged, and never run to its end: %v", id, runs[id])
		case outcome == "refused" && len(runs[id]) > 0:
			l.Errorf("%s: UNEXPECTED: the client said that it was not enqueued: %v", id, runs[id])
		}
	}
	for id, lines := range runs {
		if calls[id] == "" {
			l.Errorf("%s: UNEXPECTED: nobody enqueued it", id)
		}
		counts["recovered"] += l.checkStarts(id, lines)
	}
	l.Logf("%d outages, %d calls: %v", len(l.outages), len(calls), counts)
	IsWell(l, l.redis)
}

// checkStarts wants a cause for each start but the first: the handler failed, or the session ran out in an outage, which is
// counted.
func (l *lane) checkStarts(id string, lines []Line) (recovered int) {
	var last *Line
	number, _ := strconv.Atoi(strings.TrimPrefix(id, "s-"))
	for i := range lines {
		line := &lines[i]
		if line.What != "start" {
			continue
		}
		switch {
		case last == nil:
		case line.Retry == last.Retry && l.sessionRanOut(last, line): // it has not failed
			recovered++
		case line.Retry != last.Retry+1:
			l.Errorf("%s: TWICE: run again as attempt %d after attempt %d: %v", id, line.Retry, last.Retry, lines)
		case number%len(tasks) == failsOnce && last.Retry == 0:
		default:
			l.Errorf("%s: TWICE: run again without a cause: %v", id, lines)
		}
		last = line
	}
	return recovered
}

// sessionRanOut says whether the session under which a task was run may have been over when the next run began.
func (l *lane) sessionRanOut(run, next *Line) bool {
	from, to := time.UnixMicro(run.AtUs), time.UnixMicro(next.AtUs)
	for _, o := range l.outages {
		if o.length >= sessionAtRisk && o.from.Before(to) && o.to.After(from) && to.Sub(from) > 10*time.Second {
			return true
		}
	}
	return false
}
