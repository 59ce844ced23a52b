package system

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// soon is far below the safety poll (7 to 22 s), so a task that runs within it was announced.
const soon = 4 * time.Second

// worker starts an idle server of ours and waits until Redis tracks its reads.
func worker(t *testing.T, r *Redis, options ServerOptions) *CServer {
	t.Helper()
	s := StartServer(t, "c", r, options).(*CServer)
	waitTracked(t, r)
	return s
}

func waitTracked(t *testing.T, r *Redis) {
	t.Helper()
	Eventually(t, 10*time.Second, "Redis to track the server's reads", func() bool {
		return strings.Contains(r.Text("INFO", "clients"), "tracking_clients:1") && tracked(r) >= 1
	})
	time.Sleep(50 * time.Millisecond)
}

func tracked(r *Redis) int {
	var keys int
	for _, line := range strings.Split(r.Text("INFO", "stats"), "\r\n") {
		fmt.Sscanf(line, "tracking_total_keys:%d", &keys)
	}
	return keys
}

// runsSoon enqueues tasks one after the other with Go's client; each must be done at once.
func runsSoon(t *testing.T, r *Redis, count int) {
	t.Helper()
	e := NewGoEnqueuer(t, r)
	for i := range count {
		result := e.Enqueue(Task{Type: "t", Payload: P("{}")})
		if result.Class != "" {
			t.Fatal(result.Text)
		}
		Eventually(t, soon, fmt.Sprintf("task %d to be done", i), func() bool {
			return r.Int("EXISTS", TaskKey("default", result.ID)) == 0
		})
	}
}

// TestPushOneShot: each message of Redis comes once; every later enqueue is announced as well.
func TestPushOneShot(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{})
	runsSoon(t, r, 300)
}

// TestPushRace: enqueues that fall into the moment between a lease that finds nothing and the watch. Bursts of random
// distance make the message overtake the reply many times; no wake-up is lost.
func TestPushRace(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := worker(t, r, ServerOptions{Concurrency: 1})
	e := NewGoEnqueuer(t, r)
	for i := range 3000 {
		e.Enqueue(Task{Type: "t", Payload: P("{}")})
		time.Sleep(time.Duration(i%7*37) * time.Microsecond)
	}
	// A slow machine may have many of them before it; but while there are some, one is always started soon.
	for started := -1; started < 3000; {
		before := started
		Eventually(t, soon, fmt.Sprintf("more than %d of 3000 tasks", before), func() bool {
			started = len(Starts(s.Ledger()))
			return started > before
		})
	}
}

// TestPushFlushAll: FLUSHALL takes all watches away.
func TestPushFlushAll(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{})
	for range 5 {
		r.Do("FLUSHALL")
		runsSoon(t, r, 2)
	}
}

// TestPushDeadSubscriber: the subscriber dies, and the work connection is not told.
func TestPushDeadSubscriber(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{})
	for range 5 {
		r.Do("CLIENT", "KILL", "TYPE", "pubsub")
		runsSoon(t, r, 2)
		waitTracked(t, r)
		runsSoon(t, r, 5)
	}
}

// TestPushWorkConnectionDies: the other connection dies.
func TestPushWorkConnectionDies(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{})
	for range 5 {
		for _, line := range strings.Split(r.Text("CLIENT", "LIST"), "\n") {
			if strings.Contains(line, "name=asynq-server ") {
				var id int
				fmt.Sscanf(line, "id=%d", &id)
				r.Do("CLIENT", "KILL", "ID", id)
			}
		}
		runsSoon(t, r, 2)
		waitTracked(t, r)
		runsSoon(t, r, 5)
	}
}

// TestPushRefused: TRACKING or SUBSCRIBE may be forbidden; then queues are polled, and the log says so once.
func TestPushRefused(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string][]string{
		"TRACKING":  {"-client|tracking"},
		"SUBSCRIBE": {"-subscribe"},
		"CHANNEL":   {"resetchannels", "&asynq:*"},
		"CACHING":   {"-client|caching", "-client|tracking"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			rule := []any{"ACL", "SETUSER", "worker", "on", ">secret", "~asynq:*", "&*", "+@all"}
			for _, word := range rules {
				rule = append(rule, word)
			}
			if err := r.Client.Do(Ctx, rule...).Err(); err != nil {
				t.Skip(err) // Redis 6.2 cannot forbid a subcommand
			}
			s := StartCServer(t, strings.Replace(r.URI(), "unix://", "unix://worker:secret@", 1), ServerOptions{LedgerPath: r.Dir + "/ledger"})
			runsSoon(t, r, 3)
			r.Do("CLIENT", "KILL", "USER", "worker") // a new connection does not say it again
			time.Sleep(500 * time.Millisecond)
			runsSoon(t, r, 2)
			lines := 0
			for _, note := range s.Notes() {
				if strings.Contains(note, "redis notifications unavailable: ") && strings.Contains(note, " &__redis__:invalidate") {
					lines++
				}
			}
			equal(t, "log lines", lines, 1)
		})
	}
}

// TestPushTableFull: a full tracking table answers every watch at once. The server must neither spin nor sleep.
func TestPushTableFull(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Do("CONFIG", "SET", "tracking-table-max-keys", 1)
	s := StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"default": 1, "low": 1, "other": 1}})
	time.Sleep(3 * time.Second)
	before := commands(r)
	time.Sleep(5 * time.Second)
	if rate := (commands(r) - before) / 5; rate > 400 {
		t.Errorf("%d commands per second while nothing happens", rate)
	}
	runsSoon(t, r, 20)
	equal(t, "runs", len(Starts(s.Ledger())), 20)
}

func commands(r *Redis) int {
	var count int
	for _, line := range strings.Split(r.Text("INFO", "stats"), "\r\n") {
		fmt.Sscanf(line, "total_commands_processed:%d", &count)
	}
	return count
}

// TestPushDueAmongMany: a stream of tasks that are due much later does not hide one that is due soon.
func TestPushDueAmongMany(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := worker(t, r, ServerOptions{})
	e := NewGoEnqueuer(t, r)
	for i := range 600 {
		e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ProcessIn: P(time.Hour)}})
		time.Sleep(5 * time.Millisecond)
		if i == 300 {
			e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ProcessIn: P(time.Second)}})
		}
	}
	Eventually(t, soon-2*time.Second, "the task due soon", func() bool { return len(Starts(s.Ledger())) == 1 })
}

// TestPushOtherDatabase: a key of the same name in another database sends a message too many, which is harmless.
func TestPushOtherDatabase(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{})
	other := redis.NewClient(&redis.Options{Network: "unix", Addr: r.Socket, DB: 1})
	defer other.Close()
	for range 20 {
		other.LPush(Ctx, QueueKey("default", "pending"), "x")
		runsSoon(t, r, 1)
	}
}

// TestPushRestart: Redis goes and comes back.
func TestPushRestart(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{})
	for range 3 {
		r.Kill()
		time.Sleep(100 * time.Millisecond)
		r.Start()
		waitTracked(t, r)
		runsSoon(t, r, 5)
	}
}

// TestPushPausedAndDue: resumed queues and earlier due tasks are announced, too.
func TestPushPausedAndDue(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := worker(t, r, ServerOptions{})
	e := NewGoEnqueuer(t, r)
	r.Do("SET", QueueKey("default", "paused"), "1")
	e.Enqueue(Task{Type: "t", Payload: P("{}")})
	time.Sleep(time.Second)
	equal(t, "runs while paused", len(s.Ledger()), 0)
	r.Do("DEL", QueueKey("default", "paused"))
	Eventually(t, soon, "the resumed queue", func() bool { return len(Starts(s.Ledger())) == 1 })

	e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ProcessIn: P(time.Hour)}})
	e.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ProcessIn: P(2 * time.Second)}})
	Eventually(t, soon, "the earlier task", func() bool { return len(Starts(s.Ledger())) == 2 })
}

// TestScriptFlush: Redis forgets our scripts while they are in use; nobody notices.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := worker(t, r, ServerOptions{})
	peer := StartPeer(t, r.URI())
	for round := range 20 {
		r.Do("SCRIPT", "FLUSH")
		answer := peer.Must("load", M{"prefix": fmt.Sprint("round-", round), "payload": "{}", "count": 20, "threads": 2})
		equal(t, "failed", Number(answer, "failed"), 0)
		waitEmpty(t, r, soon)
	}
	equal(t, "runs", len(Starts(s.Ledger())), 400)
}

// TestIdleCost: an idle server that is notified sends Redis next to nothing.
func TestIdleCost(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	worker(t, r, ServerOptions{Queues: map[string]int{"default": 3, "critical": 6, "low": 1}})
	time.Sleep(time.Second)
	before := commands(r)
	time.Sleep(10 * time.Second)
	if count := commands(r) - before; count > 150 {
		t.Errorf("%d commands in ten idle seconds", count)
	}
}
