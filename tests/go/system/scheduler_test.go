package system

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
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

// harm does something bad to a scheduler and repairs it again.
func (f *fleetScheduler) harm(t *testing.T, random *rand.Rand, longestStop time.Duration) string {
	switch random.Intn(4) {
	case 0:
		f.Kill()
		time.Sleep(time.Duration(random.Intn(5000)) * time.Millisecond)
		f.start(t)
		return "killed"
	case 1:
		f.Suspend()
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
// when it comes back is refused. If it comes back so late that its connection counts as dead, it sends nothing: then
// once more.
func TestPausedHolder(t *testing.T) {
	t.Parallel()
	for range 4 {
		if pausedHolderTries(t) {
			return
		}
	}
	t.Error("no paused scheduler tried to enqueue anything")
}

func pausedHolderTries(t *testing.T) bool {
	r := StartRedis(t)
	paused := &fleetScheduler{proxy: StartProxy(t, r, ScriptNames(t))}
	paused.start(t)
	defer paused.Kill()
	count := func() int64 { return r.Int("LLEN", QueueKey("default", "pending")) }
	Eventually(t, 20*time.Second, "ticks", func() bool { return count() >= fleetEntries })
	paused.Hooks()
	paused.Suspend()
	other := &fleetScheduler{proxy: StartProxy(t, r, ScriptNames(t))}
	other.start(t)
	defer other.Kill()
	time.Sleep(2 * time.Second)
	before := count()
	Eventually(t, 30*time.Second, "the other one to take over", func() bool { return count() > before })
	paused.Signal(syscall.SIGCONT)
	before = count()
	Eventually(t, 20*time.Second, "more ticks", func() bool { return count() >= before+fleetEntries*3 })
	for name, ticks := range tickLedger(t, r, "default") {
		checkTicks(t, name, ticks, 1)
	}
	for _, hook := range paused.Hooks() {
		if hook["hook"] == "pre" {
			return true
		}
	}
	return false
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

// TestCatchUp: what becomes of ticks that were missed while no scheduler ran, by the entry's policy.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	const once, all, skip = 0, 1, 2
	for name, row := range map[string]struct {
		policy     int
		limit      time.Duration
		added      int // ticks that are made up for, of 50 that were missed
		firstAfter int64
	}{
		"once":               {once, 0, 1, 50},
		"once, too late":     {once, time.Second, 0, 51},
		"all":                {all, 2 * time.Hour, 50, 1},
		"all within a limit": {all, 3500 * time.Second, 35, 16},
		"skip":               {skip, 0, 0, 51},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			entry := Entry{Spec: "@every 100s", Name: "e", CatchUp: row.policy, LimitMs: row.limit.Milliseconds(), Task: Task{Type: "t"}}
			s := NewCScheduler(t, r.URI(), false, SchedulerOptions{})
			id, err := s.Register(entry)
			if err != nil {
				t.Fatal(err)
			}
			// The last tick was 5,050 s ago: 50 others are over since.
			last := time.Now().Unix() - 5050
			r.Int("HSET", "asynq:{default}:libasynq:entry:"+id, "tick", last)
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			Eventually(t, 20*time.Second, "the ticks", func() bool {
				return r.Int("LLEN", QueueKey("default", "pending")) >= int64(row.added) && entryShown(r)
			})
			ticks := tickLedger(t, r, "default")["t"]
			equal(t, "ticks made up for", checkTicks(t, name, ticks, 100), row.added)
			if row.added > 0 {
				equal(t, "the first", ticks[0], last+row.firstAfter*100)
			}
			var missed []M
			for _, hook := range s.Hooks() {
				if hook["hook"] == "missed" {
					missed = append(missed, hook)
				}
			}
			if row.firstAfter == 1 {
				equal(t, "reports of missed ticks", len(missed), 0)
			} else if len(missed) != 1 || Number(missed[0], "first_ms") != (last+100)*1000 || Number(missed[0], "last_ms") != (last+(row.firstAfter-1)*100)*1000 {
				t.Errorf("missed: %v", missed)
			}
			s.Shutdown()
			equal(t, "the record says where to go on", r.Text("HGET", "asynq:{default}:libasynq:entry:"+id, "tick"), fmt.Sprint(last+5000))
			IsWell(t, r)
		})
	}
}

// entryShown tells whether some scheduler shows user interfaces an entry.
func entryShown(r *Redis) bool {
	for _, list := range r.Strings("KEYS", "asynq:schedulers:*") {
		if r.Int("LLEN", list) > 0 {
			return true
		}
	}
	return false
}

// TestHandOver: of two schedulers with the same entries one shows and enqueues them; when it ends, the other does.
func TestHandOver(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	fleet := []*fleetScheduler{{proxy: StartProxy(t, r, ScriptNames(t))}, {proxy: StartProxy(t, r, ScriptNames(t))}}
	for _, f := range fleet {
		f.start(t)
	}
	shown := func() int { return len(ShownEntries(t, r)) }
	count := func() int64 { return r.Int("LLEN", QueueKey("default", "pending")) }
	Eventually(t, 20*time.Second, "ticks", func() bool { return count() >= fleetEntries*3 })
	equal(t, "entries shown", shown(), fleetEntries)
	fleet[0].Shutdown()
	fleet[0].End()
	before := count()
	Eventually(t, 20*time.Second, "ticks of the other", func() bool { return count() >= before+fleetEntries*3 })
	Eventually(t, 20*time.Second, "the other to show the entries", func() bool { return shown() == fleetEntries })
	for name, ticks := range tickLedger(t, r, "default") {
		checkTicks(t, name, ticks, 1)
	}
}

// TestForgottenTicks: Redis loses everything; ticks that the scheduler knows are over do not come again.
func TestForgottenTicks(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	f := &fleetScheduler{proxy: StartProxy(t, r, ScriptNames(t))}
	f.start(t)
	count := func() int64 { return r.Int("LLEN", QueueKey("default", "pending")) }
	Eventually(t, 20*time.Second, "ticks", func() bool { return count() >= fleetEntries*2 })
	before := tickLedger(t, r, "default")
	r.Do("FLUSHALL")
	Eventually(t, 20*time.Second, "ticks again", func() bool { return count() >= fleetEntries*3 })
	for name, ticks := range tickLedger(t, r, "default") {
		checkTicks(t, name, ticks, 1)
		if old := before[name]; ticks[0] <= old[len(old)-1] {
			t.Errorf("%s: tick %d came again", name, ticks[0])
		}
	}
}

// TestJitter: each entry is enqueued later by a time of its own, which is in its id.
func TestJitter(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := NewCScheduler(t, r.URI(), false, SchedulerOptions{})
	delays := map[string]time.Duration{}
	for i := range 20 {
		name := fmt.Sprint("entry ", i)
		id, err := s.Register(Entry{Spec: "@every 2s", JitterMs: 1500, Task: Task{Type: name}})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
		if err != nil {
			t.Fatal(err)
		}
		delays[name] = time.Duration(binary.LittleEndian.Uint64(raw)%1501) * time.Millisecond
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, "ticks", func() bool { return r.Int("LLEN", QueueKey("default", "pending")) >= 60 })
	different := map[time.Duration]bool{}
	for _, id := range r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1) {
		message := &pb.TaskMessage{}
		if err := proto.Unmarshal([]byte(r.Text("HGET", TaskKey("default", id), "msg")), message); err != nil {
			t.Fatal(err)
		}
		tick, _ := time.Parse(time.RFC3339, message.Headers["libasynq-tick"])
		since, _ := strconv.ParseInt(r.Text("HGET", TaskKey("default", id), "pending_since"), 10, 64)
		delay := delays[message.Type]
		different[delay] = true
		if late := time.Unix(0, since).Sub(tick); late < delay-10*time.Millisecond {
			t.Errorf("%s was enqueued after %v, before its delay of %v", message.Type, late, delay)
		}
	}
	if len(different) < 10 {
		t.Errorf("%d different delays", len(different))
	}
}
