package system

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	pb "github.com/hibiken/asynq/internal/proto"
	"google.golang.org/protobuf/proto"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// tickLedger reads what schedulers have enqueued: of each type the ticks (Unix s), in the order of enqueueing.
func tickLedger(t *testing.T, r *Redis, queue string) map[string][]int64 {
	t.Helper()
	ticks := map[string][]int64{}
	ids := r.Strings("LRANGE", QueueKey(queue, "pending"), 0, -1)
	for i := len(ids) - 1; i >= 0; i-- { // the right end is the oldest
		message := &pb.TaskMessage{}
		if err := proto.Unmarshal([]byte(r.Text("HGET", TaskKey(queue, ids[i]), "msg")), message); err != nil {
			t.Fatal(err)
		}
		tick, err := time.Parse(time.RFC3339, message.Headers["libasynq-tick"])
		if err != nil {
			t.Fatal(err)
		}
		ticks[message.Type] = append(ticks[message.Type], tick.Unix())
	}
	return ticks
}

// checkTicks wants every tick of an entry once and in order, a period apart. Returns their number.
func checkTicks(t *testing.T, name string, ticks []int64, period int64) int {
	t.Helper()
	for i := 1; i < len(ticks); i++ {
		if ticks[i] != ticks[i-1]+period {
			t.Errorf("%s: tick %d follows tick %d", name, ticks[i], ticks[i-1])
			return len(ticks)
		}
	}
	return len(ticks)
}

const fleetEntries = 50

// A fleetScheduler is one of several elected schedulers, behind a proxy of its own.
type fleetScheduler struct {
	*CScheduler
	proxy *Proxy
}

func (f *fleetScheduler) start(t *testing.T) {
	f.CScheduler = NewCScheduler(t, f.proxy.URI(), false, SchedulerOptions{Heartbeat: time.Second})
	for i := range fleetEntries {
		if _, err := f.Register(Entry{Spec: "@every 1s", CatchUp: 1, LimitMs: 120_000,
			Task: Task{Type: fmt.Sprint("entry ", i), Payload: P("{}")}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
}

// harm does something bad to a scheduler and mends it again.
func (f *fleetScheduler) harm(t *testing.T, random *rand.Rand, longestStop time.Duration) string {
	switch random.Intn(4) {
	case 0:
		f.Kill()
		time.Sleep(time.Duration(random.Intn(5000)) * time.Millisecond)
		f.start(t)
		return "killed"
	case 1:
		f.Signal(syscall.SIGSTOP)
		time.Sleep(time.Second + time.Duration(random.Int63n(int64(longestStop-time.Second))))
		f.Signal(syscall.SIGCONT)
		return "stopped"
	case 2:
		f.proxy.CutAll()
		return "cut off"
	default:
		f.proxy.LoseOneIn(1 + random.Intn(50))
		time.Sleep(time.Duration(random.Intn(3000)) * time.Millisecond)
		f.proxy.LoseOneIn(0)
		return "without replies"
	}
}

// TestSchedulerFleet: several elected schedulers with the same 50 entries, among kills, stops, lost connections and lost
// replies, one of Go's beside them in one run: every tick of every entry is enqueued once. SCHEDULER_TICKS sets how many;
// with 10,000 or more, which take over 200 s, stops last up to 40 s.
func TestSchedulerFleet(t *testing.T) {
	t.Parallel()
	wanted, _ := strconv.Atoi(os.Getenv("SCHEDULER_TICKS"))
	longestStop := 40 * time.Second
	if wanted < 10_000 {
		wanted, longestStop = max(wanted, 1500), 10*time.Second
	}
	for _, count := range []int{2, 3} {
		t.Run(fmt.Sprint(count, " of C"), func(t *testing.T) {
			t.Parallel()
			seed := time.Now().UnixNano()
			r := StartRedis(t)
			if count == 2 {
				watchGoBeside(t, r)
			}
			fleet := make([]*fleetScheduler, count)
			for i := range fleet {
				fleet[i] = &fleetScheduler{proxy: StartProxy(t, r, ScriptNames(t))}
				fleet[i].start(t)
			}
			harmed := make(chan map[string]int)
			end := make(chan bool)
			for i, f := range fleet {
				go func() {
					random := rand.New(rand.NewSource(seed + int64(i)))
					done := map[string]int{}
					for {
						select {
						case <-end:
							harmed <- done
							return
						case <-time.After(time.Duration(random.Intn(3000)) * time.Millisecond):
							done[f.harm(t, random, longestStop)]++
						}
					}
				}()
			}
			Eventually(t, time.Duration(wanted/fleetEntries)*time.Second+2*time.Minute, "the ticks", func() bool {
				time.Sleep(100 * time.Millisecond)
				return r.Int("LLEN", QueueKey("default", "pending")) >= int64(wanted)
			})
			close(end)
			harms := map[string]int{}
			for range fleet {
				for what, times := range <-harmed {
					harms[what] += times
				}
			}
			last := time.Now().Unix()
			Eventually(t, time.Minute, "the schedulers to catch up", func() bool {
				ledger := tickLedger(t, r, "default")
				for _, ticks := range ledger {
					if ticks[len(ticks)-1] < last {
						return false
					}
				}
				return len(ledger) == fleetEntries
			})
			total := 0
			for name, ticks := range tickLedger(t, r, "default") {
				total += checkTicks(t, name, ticks, 1)
			}
			IsWell(t, r)
			t.Logf("seed %d: %d ticks; schedulers were %v", seed, total, harms)
		})
	}
}

// TestPausedHolder: a scheduler stops for longer than its hold, another goes on in its place, and what the first one sends
// when it comes back is refused.
func TestPausedHolder(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	paused := &fleetScheduler{proxy: StartProxy(t, r, ScriptNames(t))}
	paused.start(t)
	count := func() int64 { return r.Int("LLEN", QueueKey("default", "pending")) }
	Eventually(t, 20*time.Second, "ticks", func() bool { return count() >= fleetEntries })
	paused.Hooks()
	paused.Signal(syscall.SIGSTOP)
	other := &fleetScheduler{proxy: StartProxy(t, r, ScriptNames(t))}
	other.start(t)
	time.Sleep(2 * time.Second)
	before := count()
	Eventually(t, 30*time.Second, "the other one to take over", func() bool { return count() >= before+fleetEntries*5 })
	paused.Signal(syscall.SIGCONT)
	Eventually(t, 20*time.Second, "the first one to try", func() bool {
		tries := 0
		for _, hook := range paused.Hooks() {
			if hook["hook"] == "pre" {
				tries++
			}
		}
		return tries > 0
	})
	before = count()
	Eventually(t, 20*time.Second, "more ticks", func() bool { return count() >= before+fleetEntries*2 })
	for name, ticks := range tickLedger(t, r, "default") {
		checkTicks(t, name, ticks, 1)
	}
}

// watchGoBeside runs Go's scheduler with an entry of its own, which must come every second.
func watchGoBeside(t *testing.T, r *Redis) {
	s := NewScheduler(t, "go", r, SchedulerOptions{Heartbeat: time.Second})
	if _, err := s.Register(Entry{Spec: "@every 1s", Task: Task{Type: "go", Call: &Options{Queue: P("of-go")}}}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		count, seconds := r.Int("LLEN", QueueKey("of-go", "pending")), int64(time.Since(begin).Seconds())
		if count < seconds-2 || count > seconds+1 {
			t.Errorf("Go's scheduler enqueued %d tasks in %d s", count, seconds)
		}
	})
}
