package system

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// roomy are routes of which each has a capacity of its own.
func roomy(patterns ...string) (routes []Route) {
	for i, pattern := range patterns {
		routes = append(routes, Route{Pattern: pattern, Capacity: i + 1, Room: i + 1})
	}
	return routes
}

// setRoom changes a capacity, and returns how much of it is in use.
func setRoom(server *CServer, number, room int) int64 {
	return Number(server.Must("server.room", M{"capacity": number, "room": room}), "in_use")
}

// enqueueNamed enqueues tasks with the ids name-0, name-1 and so on, of the type name.
func enqueueNamed(t *testing.T, r *Redis, name string, n int, wish Wish, options ...asynq.Option) {
	t.Helper()
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	for i := range n {
		if _, err := client.Enqueue(asynq.NewTask(name, []byte(*wish.Payload())), append(options, asynq.TaskID(fmt.Sprint(name, "-", i)))...); err != nil {
			t.Fatal(err)
		}
	}
}

// order are the ids name-0 and so on by their starts.
func order(lines []Line, name string) (ids []string) {
	for _, line := range lines {
		if at := strings.LastIndex(line.ID, "-"); at >= 0 && line.ID[:at] == name && line.What == "start" {
			ids = append(ids, line.ID)
		}
	}
	return ids
}

// TestNoRoom: a route without room leaves its tasks in the queue, and those of others pass them, however many there are.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	const slow, quick = 2000, 20
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 200, LedgerPath: filepath.Join(r.Dir, "ledger"),
		Routes: roomy("slow")})
	setRoom(server, 1, 4)
	enqueueNamed(t, r, "slow", slow, Wish{SleepMs: 300}, asynq.MaxRetry(0), asynq.Timeout(10*time.Second))
	for i := range quick {
		enqueueNamed(t, r, fmt.Sprint("t", i), 1, Wish{}, asynq.MaxRetry(0))
		Eventually(t, 20*time.Second, "a quick task", func() bool { return len(order(server.Ledger(), fmt.Sprint("t", i))) == 1 })
		if active := r.Int("LLEN", QueueKey("default", "active")); active > 4+1 {
			t.Errorf("%d tasks are active", active)
		}
	}
	if pending := r.Int("LLEN", QueueKey("default", "pending")); pending < slow/2 {
		t.Errorf("only %d slow tasks are still pending, so nothing had to pass them", pending)
	}
	setRoom(server, 1, 150)
	Eventually(t, 2*time.Minute, "all of them", func() bool { return tasksLeft(r) == 0 })
	equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "")
	equal(t, "starts", len(Starts(server.Ledger())), slow+quick)
	IsWell(t, r)
}

// TestRoomIsShared: two servers share the work of a queue by the room that they have.
func TestRoomIsShared(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	var servers []*CServer
	for i := range 2 {
		servers = append(servers, StartCServer(t, r.URI(), ServerOptions{Concurrency: 100,
			LedgerPath: filepath.Join(r.Dir, fmt.Sprint("ledger", i)), Routes: roomy("slow")}))
		setRoom(servers[i], 1, 2)
	}
	enqueueNamed(t, r, "slow", 80, Wish{SleepMs: 200}, asynq.MaxRetry(0))
	Eventually(t, 60*time.Second, "all tasks", func() bool { return tasksLeft(r) == 0 })
	for i, server := range servers {
		if ran := len(Starts(server.Ledger())); ran < 24 || ran > 56 {
			t.Errorf("server %d ran %d of 80 tasks", i, ran)
		}
	}
	IsWell(t, r)
}

// TestRoomComesAndGoes: tasks without any room wait in the queue, in their order, and begin when there is room; what a
// server holds of it comes back whatever becomes of a task.
func TestRoomComesAndGoes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 50, LedgerPath: filepath.Join(r.Dir, "ledger"), RetryMs: P(int64(100)),
		Routes: append(roomy("slow"), Route{Pattern: "slow-er"})})
	setRoom(server, 1, 0)
	enqueueNamed(t, r, "slow", 30, Wish{SleepMs: 20})
	enqueueNamed(t, r, "slow-er", 10, Wish{}) // a pattern of its own, which has room
	enqueueNamed(t, r, "slow-fails", 5, Wish{Do: "fail", Times: P(1)})
	enqueueNamed(t, r, "slow-late", 3, Wish{SleepMs: 60_000}, asynq.Timeout(time.Second), asynq.MaxRetry(0))
	Eventually(t, 20*time.Second, "those with room", func() bool { return len(order(server.Ledger(), "slow-er")) == 10 })
	equal(t, "started without room", len(order(server.Ledger(), "slow")), 0)
	equal(t, "pending", r.Int("LLEN", QueueKey("default", "pending")), 38)
	setRoom(server, 1, 1)
	Eventually(t, 60*time.Second, "all others", func() bool { return r.Int("ZCARD", QueueKey("default", "archived")) == 3 && tasksLeft(r) == 3 })
	started := order(server.Ledger(), "slow")
	for i, id := range started {
		equal(t, "the next in order", id, fmt.Sprint("slow-", i))
	}
	Eventually(t, 10*time.Second, "all room to be free", func() bool { return setRoom(server, 1, 1) == 0 })
	IsWell(t, r)
}

// TestRoomOfSeveral: of three routes in one queue, each begins as it has room, though the tasks of the first are in front.
func TestRoomOfSeveral(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 100, LedgerPath: filepath.Join(r.Dir, "ledger"),
		Routes: roomy("first", "second", "third")})
	for number := range 3 {
		setRoom(server, number+1, 0)
	}
	enqueueNamed(t, r, "first", 3000, Wish{SleepMs: 100})
	enqueueNamed(t, r, "second", 60, Wish{SleepMs: 10})
	enqueueNamed(t, r, "third", 60, Wish{SleepMs: 10})
	for number := range 3 {
		setRoom(server, number+1, number+1)
	}
	Eventually(t, 60*time.Second, "the tasks behind", func() bool {
		return len(order(server.Ledger(), "second")) == 60 && len(order(server.Ledger(), "third")) == 60
	})
	for number, name := range []string{"second", "third"} {
		for i, id := range order(server.Ledger(), name) { // as far as threads begin in the order in which they are told to
			place, _ := strconv.Atoi(id[len(name)+1:])
			if place < i-number-2 || place > i+number+2 {
				t.Errorf("%s begins in place %d", id, i)
			}
		}
	}
	if left := r.Int("LLEN", QueueKey("default", "pending")); left < 500 {
		t.Errorf("only %d tasks of the first route are pending", left)
	}
}

// TestRoomBehind: a task that was passed over begins as soon as its route has room, also if a task before it was taken
// meanwhile and still runs.
func TestRoomBehind(t *testing.T) {
	t.Parallel()
	names := []string{"first", "second", "third"}
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 100, LedgerPath: filepath.Join(r.Dir, "ledger"), Routes: roomy(names...)})
	for number, name := range names {
		setRoom(server, number+1, 0)
		enqueueNamed(t, r, name, 1, Wish{SleepMs: 20_000})
	}
	time.Sleep(500 * time.Millisecond) // all of them are passed over
	for number, name := range names {
		setRoom(server, number+1, 1)
		Eventually(t, 5*time.Second, name+" begins", func() bool { return len(order(server.Ledger(), name)) == 1 })
	}
}

// TestManyRooms: two servers with little room for each of many routes have all of it in use while there are tasks for it,
// whatever else is taken from the queue, put back into it, and added.
func TestManyRooms(t *testing.T) {
	t.Parallel()
	const each = 60
	names := []string{"ra", "rb", "rc", "rd"}
	r := StartRedis(t)
	var servers []*CServer
	for i := range 2 {
		servers = append(servers, StartCServer(t, r.URI(), ServerOptions{Concurrency: 100, RetryMs: P(int64(50)),
			LedgerPath: filepath.Join(r.Dir, fmt.Sprint("ledger", i)), Routes: roomy(names...)}))
		for number := range names {
			setRoom(servers[i], number+1, 1)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 3 { // the next ones come while the last ones still run
		for _, name := range append(names, "t") {
			enqueueNamed(t, r, fmt.Sprint(name, "-", round), each/3, Wish{SleepMs: 10 + random.IntN(40)}, asynq.MaxRetry(2))
		}
		time.Sleep(200 * time.Millisecond)
	}
	for number := range names { // one that has no room any more leaves its part to the other
		setRoom(servers[0], number+1, number%2)
	}
	last := map[string]time.Time{}
	Eventually(t, 60*time.Second, "all of them", func() bool {
		for _, server := range servers {
			for _, line := range server.Ledger() {
				name, _, _ := strings.Cut(line.ID, "-")
				if at := time.UnixMicro(line.AtUs); at.After(last[name]) {
					last[name] = at
				}
			}
		}
		left := r.Client.LRange(Ctx, QueueKey("default", "pending"), 0, -1).Val()
		for _, id := range left {
			name, _, _ := strings.Cut(id, "-")
			if idle := time.Since(last[name]); !last[name].IsZero() && idle > 8*time.Second {
				t.Fatalf("%s is pending, and none of its route has begun for %v", id, idle)
			}
		}
		return tasksLeft(r) == 0
	})
	IsWell(t, r)
}

// TestPriorityWithRoom: where there is room for one task only, queues get it by their priority, and a paused one does not.
func TestPriorityWithRoom(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprint("strict ", strict), func(t *testing.T) {
			r := StartRedis(t)
			for _, queue := range []string{"critical", "low", "paused"} {
				for i := range 100 {
					client := asynq.NewClient(r.Opt())
					client.Enqueue(asynq.NewTask("slow", []byte(`{"sleep_ms":5}`)), asynq.Queue(queue), asynq.TaskID(fmt.Sprint(queue, i)))
					client.Close()
				}
			}
			r.Do("SET", QueueKey("paused", "paused"), 1)
			server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 50, Strict: strict, LedgerPath: filepath.Join(r.Dir, "ledger"),
				Queues: map[string]int{"critical": 9, "low": 1, "paused": 5}, Routes: roomy("slow")})
			var lines []Line
			Eventually(t, 60*time.Second, "all but those of the paused queue", func() bool {
				lines = server.Ledger()
				return tasksLeft(r) == 100
			})
			byQueue := map[byte]int{}
			for _, line := range lines[:200] { // the start and the end of each
				if line.What == "start" {
					byQueue[line.ID[0]]++
				}
			}
			lowest := 75
			if strict {
				lowest = 99
			}
			if byQueue['c'] < lowest || byQueue['p'] != 0 || (!strict && byQueue['l'] == 0) {
				t.Errorf("of the first 100 tasks: %v", byQueue)
			}
		})
	}
}

// TestStartsLater: the time limit of a task begins with its work, and no attempt is told before.
func TestStartsLater(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	server := StartCServer(t, r.URI(), ServerOptions{Concurrency: 50, Attempts: true, LedgerPath: filepath.Join(r.Dir, "ledger"),
		Routes: []Route{{Pattern: "waits", Later: true}}})
	enqueueNamed(t, r, "waits", 20, Wish{SleepMs: 900}, asynq.MaxRetry(0), asynq.Timeout(time.Second))
	enqueueNamed(t, r, "waits-long", 2, Wish{SleepMs: 60_000}, asynq.MaxRetry(0), asynq.Timeout(time.Second))
	Eventually(t, 30*time.Second, "all to end", func() bool { return int64(tasksLeft(r)) == r.Int("ZCARD", QueueKey("default", "archived")) })
	equal(t, "archived", r.Int("ZCARD", QueueKey("default", "archived")), 2)
	equal(t, "starts", len(Starts(server.Ledger())), 22)
}

// TestOthersTakeAndAdd: another server takes a task and a client adds one, while a server that has no room for what is there asks how
// many there are. The number is what it was; the new task begins all the same.
func TestOthersTakeAndAdd(t *testing.T) {
	t.Parallel()
	c := newCell(t)
	server := StartCServer(t, c.fake.URI(), ServerOptions{Concurrency: 100, ShutdownMs: 500, LedgerPath: filepath.Join(c.r.Dir, "ledger"), Routes: roomy("full")})
	setRoom(server, 1, 0)
	enqueueNamed(t, c.r, "full", 3, Wish{SleepMs: 60_000})
	time.Sleep(500 * time.Millisecond) // they are passed over
	var once sync.Once
	asks := c.fake.On("LLEN").Before(func() {
		once.Do(func() {
			c.r.Do("RPOP", QueueKey("default", "pending"))
			enqueueNamed(t, c.r, "t", 1, Wish{})
		})
	})
	setRoom(server, 1, 1)
	c.met(asks)
	Eventually(t, 5*time.Second, "the new one to begin", func() bool { return len(order(server.Ledger(), "t")) == 1 })
}
