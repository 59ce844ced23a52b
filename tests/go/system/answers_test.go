package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// Each error that Redis, or a proxy before it, may answer with, given to each script and command that each of our
// programs sends, for a while. Nothing is lost, nothing runs twice, nobody storms or fills the log, callers get the right
// status, and when the fault ends all goes on.

// class is what an error means for whoever gets it.
type class string

const (
	later     class = "later"     // the same server will take it
	elsewhere class = "elsewhere" // another server will
	missing   class = "missing"   // the script has to be loaded
	full      class = "full"
	refused   class = "refused"
	wrong     class = "wrong"
)

// statusOf is what a caller gets when his time is over, or at once.
var statusOf = map[class]int{later: -5, elsewhere: -5, missing: -5, full: -15, refused: -8, wrong: -7}

type redisError struct {
	name, reply string
	class       class
}

// redisErrors are in Redis 7's words, and those of proxies.
var redisErrors = []redisError{
	{"LOADING", "-LOADING Redis is loading the dataset in memory", later},
	{"BUSY", "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", later},
	{"MISCONF", "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", later},
	{"NOREPLICAS", "-NOREPLICAS Not enough good replicas to write.", later},
	{"CLUSTERDOWN", "-CLUSTERDOWN The cluster is down", later},
	{"TRYAGAIN", "-TRYAGAIN Multiple keys request during rehashing of slot", later},
	{"clients", "-ERR max number of clients reached", later},
	{"READONLY", "-READONLY You can't write against a read only replica.", elsewhere},
	{"MASTERDOWN", "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", elsewhere},
	{"MOVED", "-MOVED 3999 127.0.0.1:6381", elsewhere},
	{"NOSCRIPT", "-NOSCRIPT No matching script. Please use EVAL.", missing},
	{"OOM", "-OOM command not allowed when used memory > 'maxmemory'.", full},
	{"NOAUTH", "-NOAUTH Authentication required.", refused},
	{"WRONGPASS", "-WRONGPASS invalid username-password pair or user is disabled.", refused},
	{"NOPERM", "-NOPERM this user has no permissions to run the 'evalsha' command", refused},
	{"WRONGTYPE", "-WRONGTYPE Operation against a key holding the wrong kind of value", wrong},
	{"proxy", "-ERR upstream failure", wrong},
}

// oneOfEach are the names of errors that stand for their class where each would take too long.
var oneOfEach = map[string]bool{"BUSY": true, "READONLY": true, "NOSCRIPT": true, "OOM": true, "NOPERM": true, "WRONGTYPE": true}

// wrongShapes are answers that no script of ours gives.
var wrongShapes = map[string]string{"number": ":7", "nothing": "$-1", "no list": "*-1", "an empty list": "*0", "a word": "+QUEUED",
	"a text": "$5\r\nhello", "lists in lists": "*2\r\n*1\r\n*1\r\n:1\r\n*0", "errors in a list": "*2\r\n-ERR a\r\n-ERR b",
	"texts": "*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb"}

// serverKinds are what a server sends.
var serverKinds = []string{"lease", "lease-some", "lease-read-back", "settle", "write-result", "renew", "forward", "expire", "expired-leases", "orphans",
	"adopt", "take-group", "read-set", "finish-set", "reclaim-sets", "semaphore", "beat", "drop-active", "announce", "take-role", "look-groups", "clear-set", "open-session",
	"renew-session", "late-sessions", "take-back", "stale-leases", "end-leases", "HKEYS",
	"LLEN", "ZRANGE", "CLIENT TRACKING", "CLIENT CACHING", "SUBSCRIBE"}

// mainKinds get each error, others one of each class.
var mainKinds = map[string]bool{"lease": true, "settle": true, "enqueue": true, "fire-tick": true, "task-info": true}

// inBrief: with other servers and with parking, the main things are tried once more.
var inBrief = os.Getenv("REDIS_SERVER") != "" || os.Getenv("ASYNQ_PEER_PARK_THRESHOLD") != ""

func isCell(kind string, e redisError) bool {
	if inBrief && !(mainKinds[kind] && oneOfEach[e.name]) {
		return false
	}
	isScript := strings.ToLower(kind) == kind
	return (mainKinds[kind] || oneOfEach[e.name]) && (isScript || e.class != missing)
}

// TestServerMeetsErrors: see above.
func TestServerMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, kind := range serverKinds {
		for _, e := range redisErrors {
			if isCell(kind, e) {
				all.start(kind+" "+e.name, func(c *cell) { c.server(kind, e.reply) })
			}
		}
	}
}

// server has a server do a bit of everything.
func (c *cell) server(kind, reply string) {
	path := filepath.Join(c.r.Dir, "ledger")
	want := c.fill(kind)
	if kind == "lease-read-back" {
		c.fake.On("lease").Nth(1).Loses()
	}
	if kind == "announce" { // only where not all keys are in one place
		c.fake.On("beat").Nth(1).Answer("-CROSSSLOT Keys in request don't hash to the same slot")
	}
	rule := c.fake.On(kind).Answer(reply)
	s := StartCServerIn(StartPeerUnder(c, []string{"env", "ASYNQ_PEER_PARK_THRESHOLD=1"}, c.fake.URI()),
		ServerOptions{LedgerPath: path, RetryMs: P(int64(0)), Aggregates: true, Grace: time.Minute, MaxSize: 3,
			Routes: append(limited(1), routesWithRoom(kind)...)})
	c.hold(rule)
	c.fake.Clear()
	Eventually(c, 2*recoversWithin, "all tasks to be done", func() bool {
		return tasksLeft(c.r) == 2 && c.r.Int("ZCARD", QueueKey("default", "completed")) == 2 && // aggregated ones
			c.r.Int("LLEN", QueueKey("default", "active")) == 0
	})
	got := Starts(ReadLedger(c, path))
	for id, count := range want {
		equal(c.T, "runs of "+id, got["default/"+id], count)
	}
	equal(c.T, "archived", c.r.Int("ZCARD", QueueKey("default", "archived")), 0)
	c.logged(s.Notes())
	IsWell(c, c.r)
}

// routesWithRoom make a server pass over tasks that it has no room for.
func routesWithRoom(kind string) []Route {
	if kind != "lease-some" {
		return nil
	}
	return []Route{{Pattern: "roomy", Capacity: 1, Room: 1}}
}

// fill puts into Redis what makes a server use each of its scripts, and returns how often each task is to be run.
func (c *cell) fill(kind string) map[string]int {
	client := asynq.NewClient(c.r.Opt())
	defer client.Close()
	want := map[string]int{}
	add := func(id, taskType string, wish Wish, runs int, options ...asynq.Option) {
		_, err := client.Enqueue(asynq.NewTask(taskType, []byte(*wish.Payload())), append(options, asynq.TaskID(id))...)
		if err != nil {
			c.Fatal(err)
		}
		want[id] = runs
	}
	for i := range 4 {
		add(fmt.Sprint("plain-", i), "t", Wish{}, 1, asynq.MaxRetry(0))
	}
	for i := range 2 {
		add(fmt.Sprint("limited-", i), "limited", Wish{SleepMs: 50}, 1, asynq.MaxRetry(0))
	}
	add("fails", "t", Wish{Do: "fail", Times: P(1)}, 2)
	add("soon", "t", Wish{}, 1, asynq.MaxRetry(0), asynq.ProcessIn(time.Second))
	for i := range 3 {
		add(fmt.Sprint("grouped-", i), "t", Wish{}, 0, asynq.Group("g"))
	}
	if kind == "lease-some" {
		for i := range 4 {
			add(fmt.Sprint("roomy-", i), "roomy", Wish{SleepMs: 50}, 1, asynq.MaxRetry(0))
		}
	}
	if kind == "write-result" {
		add("flushes", "t", Wish{Flush: "early", SleepMs: 50}, 1, asynq.MaxRetry(0))
	}
	if kind == "renew-session" {
		add("long", "t", Wish{SleepMs: 3000}, 1, asynq.MaxRetry(0))
	}
	if kind == "renew" {
		add("long", "t", Wish{SleepMs: 9000}, 1, asynq.MaxRetry(0))
	}
	c.lose(kind, want)
	return want
}

// lose puts tasks into the states in which dead servers leave them.
func (c *cell) lose(kind string, want map[string]int) {
	ago := time.Now().Add(-time.Hour).Unix()
	put := func(id string) *base.TaskMessage {
		message := &base.TaskMessage{ID: id, Type: "t", Payload: []byte("{}"), Queue: "default", Retry: 1, Timeout: 1800}
		c.r.Do("SADD", "asynq:queues", "default")
		c.r.Do("HSET", TaskKey("default", id), "msg", Encode(c, message), "state", "active")
		want[id] = 1
		return message
	}
	put("leased")
	c.r.Do("LPUSH", QueueKey("default", "active"), "leased")
	c.r.Do("ZADD", QueueKey("default", "lease"), ago, "leased")
	if kind == "take-back" { // of a server whose session is over
		put("held")
		c.r.Do("LPUSH", QueueKey("default", "active"), "held")
		c.r.Do("ZADD", QueueKey("default", "lease"), fmt.Sprintf("%.7f", float64(time.Now().Unix()+25)+5.0/1024), "held")
		c.r.Do("ZADD", "asynq:libasynq:sessions", time.Now().Add(-time.Minute).UnixMilli(), "5 1000 host:1:gone")
	}
	if kind == "end-leases" || kind == "HKEYS" { // of a server in Go that does not renew its lease
		put("stale")
		c.r.Do("LPUSH", QueueKey("default", "active"), "stale")
		c.r.Do("ZADD", QueueKey("default", "lease"), time.Now().Unix()+3, "stale")
	}
	if kind == "orphans" || kind == "adopt" { // they take half a minute
		put("orphan")
		c.r.Do("LPUSH", QueueKey("default", "active"), "orphan")
	}
	if kind == "drop-active" { // an id without a task
		c.r.Do("LPUSH", QueueKey("default", "active"), "ghost")
		c.r.Do("ZADD", QueueKey("default", "lease"), ago, "ghost")
	}
	put("kept")
	c.r.Do("HSET", TaskKey("default", "kept"), "state", "completed")
	c.r.Do("ZADD", QueueKey("default", "completed"), ago, "kept")
	want["kept"] = 0
	for i := range 3 { // they join a group again, and make a set of their own
		id := fmt.Sprint("taken-", i)
		put(id)
		c.r.Do("HSET", TaskKey("default", id), "state", "aggregating", "group", "h")
		c.r.Do("ZADD", QueueKey("default", "g:h:old"), ago, id)
		want[id] = 0
	}
	c.r.Do("ZADD", QueueKey("default", "aggregation_sets"), ago, QueueKey("default", "g:h:old"))
}

// waits: the call goes on until the fault ends or its time is over.
func (e redisError) waits() bool {
	return e.class == later || e.class == elsewhere || e.class == missing
}

// retryable is what asynq_status_is_retryable() says of it.
func (e redisError) retryable() bool { return e.waits() || e.class == full }

// isFault wants the status and the flag of a call that has met a fault.
func (c *cell) isFault(answer M, e redisError) {
	c.Helper()
	if Status(answer) != statusOf[e.class] || answer["retryable"] != e.retryable() {
		c.Errorf("status %d, retryable %v (%v); want %d, %v", Status(answer), answer["retryable"], answer["error"],
			statusOf[e.class], e.retryable())
	}
	word := strings.TrimPrefix(strings.Fields(e.reply)[0], "-")
	if e.waits() {
		word = "Redis" // what it means stands there
	}
	if text := fmt.Sprint(answer["error"]); !strings.Contains(text, word) || strings.Contains(text, "no answer in time") {
		c.Errorf("%q does not tell what Redis said: %s", text, e.reply)
	}
}

// known makes a call until its outcome is known: its time may be over just when Redis has it once more.
func known(call func() M) (answer M) {
	for range 5 {
		if answer = call(); Status(answer) != -6 {
			break
		}
	}
	return answer
}

// TestClientMeetsErrors: an enqueue waits while that may help, and says what is wrong when it does not. What it says is true.
func TestClientMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, e := range redisErrors {
		all.start(e.name, func(c *cell) { c.client(e) })
	}
}

const bigLoad = 2000

func (c *cell) client(e redisError) {
	peer := c.peer(c.fake.URI())
	peer.Must("client.options", M{"timeout_ms": 60_000})
	peer.Must("ping", nil)
	rule := c.fake.On("enqueue").Answer(e.reply)
	done := make(chan M, 1)
	go func() {
		done <- peer.Do("load", M{"prefix": "load", "payload": "{}", "count": bigLoad, "threads": 4, "async": true})
	}()
	c.hold(rule)
	c.fake.Clear()
	answer, failed := <-done, 0
	if e.waits() {
		equal(c.T, "status after the fault", Status(answer), 0)
	} else {
		c.isFault(answer, e)
		failed = int(Number(answer, "failed"))
	}
	equal(c.T, "enqueued and failed", int(c.r.Int("LLEN", QueueKey("default", "pending")))+failed, bigLoad)

	c.fake.On("enqueue").Answer(e.reply)
	peer.Must("client.close", nil)
	peer.Must("client.options", M{"timeout_ms": 1500})
	c.isFault(known(func() M { return peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("late")}}.ForC()) }), e)
	c.fake.Clear()
	peer.Must("enqueue", Task{Type: "t", Own: Options{ID: P("late")}}.ForC())
	IsWell(c, c.r)
}

// handshake is what our programs send first on each connection.
var handshake = []string{"AUTH", "SELECT", "CLIENT SETNAME", "CLIENT ID", "CLIENT KILL", "SCRIPT LOAD", "INFO"}

// endsAll: a refusal of this kind is told at once, as waiting does not help.
var endsAll = map[string]bool{"AUTH": true, "SELECT": true, "SCRIPT LOAD": true}

// TestHandshakeMeetsErrors: a connection whose handshake fails is tried again, with growing pauses; what is really a
// mistake of the configuration is told at once.
func TestHandshakeMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, kind := range handshake {
		for _, e := range redisErrors {
			if e.class == missing || (!oneOfEach[e.name] && kind != "SELECT" && kind != "AUTH") || (inBrief && kind != "SELECT") {
				continue
			}
			all.start("client "+kind+" "+e.name, func(c *cell) { c.clientHandshake(kind, e) })
			all.start("server "+kind+" "+e.name, func(c *cell) { c.serverHandshake(kind, e) })
		}
	}
}

// locked wants a user's password, and returns the address with it.
func (c *cell) locked() string {
	c.r.Do("ACL", "SETUSER", "someone", "on", ">secret", "~*", "&*", "+@all")
	return strings.Replace(c.fake.URI(), "unix://", "unix://someone:secret@", 1)
}

func (c *cell) clientHandshake(kind string, e redisError) {
	peer := c.peer(c.locked())
	peer.Must("client.options", M{"timeout_ms": 60_000})
	peer.Must("ping", nil)
	rule := c.fake.On(kind).Answer(e.reply)
	if kind == "CLIENT KILL" { // ends a connection that was lost with commands under way
		c.fake.On("enqueue").Nth(1).Loses()
	} else {
		c.cut()
		c.met(rule)
	}
	answer := make(chan M, 1)
	go func() { answer <- peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("first")}}.ForC()) }()
	c.hold(rule)
	c.fake.Clear()
	if e.class == refused && endsAll[kind] {
		c.isFault(<-answer, e)
	} else {
		equal(c.T, "status after the fault", Status(<-answer), 0)
	}
	Eventually(c, recoversWithin, "an enqueue", func() bool {
		return Status(peer.Do("enqueue", Task{Type: "t", Own: Options{ID: P("last")}}.ForC())) != statusOf[refused]
	})
	equal(c.T, "the last task", c.r.Int("EXISTS", TaskKey("default", "last")), 1)
}

func (c *cell) serverHandshake(kind string, e redisError) {
	path := filepath.Join(c.r.Dir, "ledger")
	s := StartCServerIn(StartPeer(c, c.locked()), ServerOptions{LedgerPath: path})
	enqueuer := NewGoEnqueuer(c, c.r)
	enqueuer.Enqueue(Task{Type: "t", Payload: P("{}")})
	waitEmpty(c.T, c.r, recoversWithin)
	rule := c.fake.On(kind).Answer(e.reply)
	if kind == "CLIENT KILL" {
		c.fake.On("lease").Nth(1).Loses()
	} else {
		c.cut()
	}
	enqueuer.Enqueue(Task{Type: "t", Payload: P("{}")})
	c.hold(rule)
	c.fake.Clear()
	waitEmpty(c.T, c.r, recoversWithin)
	ranOnce(c.T, path, 2)
	c.logged(s.Notes())
}

// schedulerKinds are what a scheduler sends.
var schedulerKinds = []string{"fire-tick", "hold-entries", "write-entries", "record-tick", "SADD"}

// TestSchedulerMeetsErrors: no tick is left out, none fires twice.
func TestSchedulerMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, kind := range schedulerKinds {
		for _, e := range redisErrors {
			if isCell(kind, e) {
				all.start(kind+" "+e.name, func(c *cell) { c.scheduler(kind, e) })
			}
		}
	}
}

func (c *cell) scheduler(kind string, e redisError) {
	s := &CScheduler{Peer: c.peer(c.fake.URI())}
	s.Must("scheduler.new", M{"heartbeat_ms": 500, "notes": true})
	if _, err := s.Register(Entry{Spec: "@every 1s", CatchUp: 1, LimitMs: 120_000, Task: Task{Type: "tick", Payload: P("{}")}}); err != nil {
		c.Fatal(err)
	}
	if err := s.Start(); err != nil {
		c.Fatal(err)
	}
	ticks := func() int { return int(c.r.Int("LLEN", QueueKey("default", "pending"))) }
	Eventually(c, recoversWithin, "ticks", func() bool { return ticks() > 1 })
	rule := c.fake.On(kind).Answer(e.reply)
	c.cut() // some kinds are sent only at the start
	c.hold(rule)
	c.fake.Clear()
	now := time.Now().Unix()
	fired := func() []int64 { return tickLedger(c.T, c.r, "default")["tick"] }
	Eventually(c, recoversWithin, "ticks after the fault", func() bool { return slices.Max(fired()) > now })
	s.Shutdown()
	checkTicks(c.T, kind, fired(), 1)
}

// inspections are calls of the inspector, and the script or command that each sends. They change nothing that another
// one needs.
var inspections = []struct {
	kind, op  string
	arguments M
}{
	{"SMEMBERS", "inspect.queues", nil},
	{"queue-info", "inspect.queue", M{"queue": "default"}},
	{"queue-memory", "inspect.queue", M{"queue": "default"}},
	{"MGET", "inspect.history", M{"queue": "default", "days": 3}},
	{"group-sizes", "inspect.groups", M{"queue": "default"}},
	{"list-tasks", "inspect.list", M{"queue": "default", "state": "pending", "page": 1, "size": 5}},
	{"task-info", "inspect.task", M{"queue": "default", "id": "one"}},
	{"list-tasks", "inspect.find", M{"queue": "default", "state": "pending", "payload": "nowhere"}},
	{"steer", "inspect.act", M{"action": "archive", "queue": "default", "id": "one"}},
	{"find-pending", "inspect.act", M{"action": "archive", "queue": "default", "id": "one"}},
	{"steer", "inspect.act_all", M{"action": "delete", "queue": "default", "state": "pending"}},
	{"update-message", "inspect.update", M{"queue": "default", "id": "later", "payload": "new"}},
	{"SET", "inspect.pause", M{"queue": "default"}},
	{"PUBLISH", "inspect.cancel", M{"id": "none"}},
	{"list-alive", "inspect.servers", nil},
	{"list-alive", "inspect.schedules", nil},
	{"drop-queue", "inspect.delete_queue", M{"queue": "default", "force": true}},
}

// TestInspectorMeetsErrors: a call says what is wrong within its time, and works when the fault is over.
func TestInspectorMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, i := range inspections {
		for _, e := range redisErrors {
			if isCell(i.kind, e) {
				all.start(strings.TrimPrefix(i.op, "inspect.")+" "+i.kind+" "+e.name, func(c *cell) { c.inspector(i.kind, i.op, i.arguments, e) })
			}
		}
	}
}

func (c *cell) inspector(kind, op string, arguments M, e redisError) {
	enqueuer := NewGoEnqueuer(c, c.r)
	enqueuer.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("one")}})
	enqueuer.Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("later"), ProcessIn: P(time.Hour)}})
	if kind == "find-pending" { // which is asked for what stands far from both ends
		c.r.Do("EVAL", "for i = 1, 30000 do redis.call(ARGV[1 + i % 2], KEYS[1], 'other-' .. i) end", 1, QueueKey("default", "pending"),
			"LPUSH", "RPUSH")
	}
	peer := c.peer(c.fake.URI())
	peer.Must("inspect.options", M{"timeout_ms": 6000})
	peer.Must("inspect.queues", nil)
	rule := c.fake.On(kind).Answer(e.reply)
	done := make(chan M, 1)
	go func() { done <- known(func() M { return peer.Do(op, arguments) }) }()
	c.hold(rule)
	c.isFault(<-done, e)
	c.fake.Clear()
	peer.Must(op, arguments)
	if kind != "find-pending" {
		IsWell(c, c.r)
	}
}

// checks are the scripts that only "asynqctl fsck" calls, and what makes it call them.
var checks = []struct {
	kind string
	fill []any
}{
	{"look-members", nil},
	{"look-tasks", nil},
	{"check-keys", []any{"SET", "asynq:{default}:unique:x", "nobody"}},
	{"check-tasks", []any{"HSET", "asynq:{default}:t:lonely", "msg", "", "state", "pending"}},
}

// TestFsckMeetsErrors: it says what it could not see, and does not call it well.
func TestFsckMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, check := range checks {
		for _, e := range redisErrors {
			// A container of the wrong type is skipped here, as it is told of elsewhere.
			if e.name != "WRONGTYPE" && (e.name == "proxy" || isCell(check.kind, e)) {
				all.start(check.kind+" "+e.name, func(c *cell) { c.fsck(check.kind, check.fill, e) })
			}
		}
	}
}

func (c *cell) fsck(kind string, fill []any, e redisError) {
	NewGoEnqueuer(c, c.r).Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("one")}})
	if fill != nil {
		c.r.Do(fill...)
	}
	rule := c.fake.On(kind).Answer(e.reply)
	done := make(chan error, 1)
	var output []byte
	go func() {
		var err error
		output, err = exec.Command(filepath.Join(BuildDir(), "asynqctl"), "fsck", "--timeout", "4s", "--uri", c.fake.URI()).CombinedOutput()
		done <- err
	}()
	c.hold(rule)
	if err := <-done; err == nil {
		c.Errorf("fsck takes %s for well: %s", e.name, output)
	}
	if strings.Count(string(output), "\n") > linesPerMinute {
		c.Errorf("%d lines: %s", strings.Count(string(output), "\n"), output)
	}
}

// TestShutdownMeetsErrors: a server whose last words Redis refuses ends all the same.
func TestShutdownMeetsErrors(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for _, e := range redisErrors {
		if isCell("leave-role", e) {
			all.start(e.name, func(c *cell) { c.shutdown(e) })
		}
	}
}

func (c *cell) shutdown(e redisError) {
	s := StartCServerIn(StartPeerUnder(c, []string{"env", "ASYNQ_PEER_PARK_THRESHOLD=1"}, c.fake.URI()),
		ServerOptions{LedgerPath: filepath.Join(c.r.Dir, "ledger"), ShutdownMs: 1000})
	NewGoEnqueuer(c, c.r).Enqueue(Task{Type: "t", Payload: P("{}")})
	waitEmpty(c.T, c.r, recoversWithin)
	Eventually(c, recoversWithin, "a role", func() bool { return c.fake.Commands()["take-role"] > 0 })
	rule := c.fake.On("leave-role").Answer(e.reply)
	ended := make(chan bool, 1)
	go func() { s.Shutdown(); ended <- true }()
	select {
	case <-ended:
	case <-time.After(recoversWithin):
		c.Errorf("the server does not end; leave-role was sent %d times", rule.Calls())
	}
	if rule.Calls() == 0 {
		c.Error("no role was left")
	}
	c.logged(s.Notes())
}

// TestLogLines: a fault that lasts, met by all that a server with many queues, a scheduler and a client send, is told in a few
// lines a minute. The lines are counted at the end of each cell.
func TestLogLines(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	faults := map[string]func(*Rule) *Rule{"closed": (*Rule).Close, "lost": (*Rule).Loses, "number": func(rule *Rule) *Rule { return rule.Answer(":7") }}
	for _, e := range redisErrors {
		if oneOfEach[e.name] {
			faults[e.name] = func(rule *Rule) *Rule { return rule.Answer(e.reply) }
		}
	}
	programs := map[string]func(*cell, string) (work func()){"server": (*cell).runServer, "scheduler": (*cell).runScheduler, "client": (*cell).runClient}
	for program, run := range programs {
		all.start(program+" nobody", func(c *cell) {
			run(c, "unix://"+c.fake.Socket+"-nobody")()
		})
		for fault, give := range faults {
			all.start(program+" "+fault, func(c *cell) {
				work := run(c, c.fake.URI())
				give(c.fake.On(slices.Concat(serverKinds, schedulerKinds, []string{"enqueue"})...))
				work()
				c.fewLines() // before those that its end brings
				c.fake.Clear()
			})
		}
	}
}

// TestManyOddTasks: a queue full of what cannot be run is told of in a few lines, and is emptied.
func TestManyOddTasks(t *testing.T) {
	t.Parallel()
	const each = 300
	c := newCell(t)
	for i := range each {
		c.r.Do("LPUSH", QueueKey("default", "pending"), fmt.Sprint("waits-", i))
		c.r.Do("LPUSH", QueueKey("default", "active"), fmt.Sprint("runs-", i))
		c.r.Do("ZADD", QueueKey("default", "lease"), 1, fmt.Sprint("runs-", i))
		c.r.Do("ZADD", QueueKey("default", "scheduled"), 1, fmt.Sprint("is-due-", i))
		c.r.Do("ZADD", QueueKey("default", "retry"), 1, fmt.Sprint("is-due-again-", i))
	}
	c.r.Do("SADD", "asynq:queues", "default")
	s := StartCServerIn(c.peer(c.r.URI()), ServerOptions{})
	for _, name := range []string{"pending", "active", "lease", "scheduled", "retry"} {
		Eventually(t, 60*time.Second, name+" to be emptied", func() bool { return c.r.Int("EXISTS", QueueKey("default", name)) == 0 })
	}
	c.logged(s.Notes())
}

const lasting = 55 * time.Second // lines are counted in all of it

func rest() { time.Sleep(lasting) }

func (c *cell) runServer(uri string) func() {
	queues := map[string]int{}
	for i := range 20 {
		queue := fmt.Sprint("q", i)
		queues[queue] = 1
		enqueueMany(c.T, c.r, "t", 5, Wish{SleepMs: 100}, asynq.Queue(queue))
		enqueueMany(c.T, c.r, "t", 2, Wish{}, asynq.Queue(queue), asynq.Group("g"))
		enqueueMany(c.T, c.r, "t", 2, Wish{}, asynq.Queue(queue), asynq.ProcessIn(5*time.Second))
	}
	StartCServerIn(c.peer(uri), ServerOptions{Queues: queues, Concurrency: 5, Aggregates: true, Grace: time.Second})
	return rest
}

func (c *cell) runScheduler(uri string) func() {
	s := &CScheduler{Peer: c.peer(uri)}
	s.Must("scheduler.new", M{"heartbeat_ms": 500})
	for i := range 20 {
		if _, err := s.Register(Entry{Spec: "@every 2s", Task: Task{Type: fmt.Sprint("tick", i), Payload: P("{}")}}); err != nil {
			c.Fatal(err)
		}
	}
	if err := s.Start(); err != nil {
		c.Fatal(err)
	}
	return rest
}

func (c *cell) runClient(uri string) func() {
	peer := c.peer(uri)
	peer.Must("client.options", M{"timeout_ms": 2000})
	return func() {
		for begin := time.Now(); time.Since(begin) < lasting; {
			peer.Do("enqueue", Task{Type: "t", Payload: P("{}")}.ForC())
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// TestLargeMessages: messages that a lease leaves out are read one by one. Whatever becomes of such a command, each task
// runs once, and none is charged a failure. (Silence is not among the faults: it takes half of a lease to be noticed, and a
// slow machine the other half.)
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	faults := map[string]func(*Rule) *Rule{"none": func(rule *Rule) *Rule { return rule }, "closed": (*Rule).Close, "lost": (*Rule).Loses,
		"half": func(rule *Rule) *Rule { return rule.Half("$20000\r\nabc") }}
	for _, e := range redisErrors {
		if oneOfEach[e.name] && e.class != missing {
			faults[e.name] = func(rule *Rule) *Rule { return rule.Answer(e.reply) }
		}
	}
	for shape, reply := range wrongShapes {
		if reply != "$-1" && reply != "*-1" && !strings.HasPrefix(reply, "$5") && !strings.HasPrefix(reply, "+") { // they may be messages
			faults[shape] = func(rule *Rule) *Rule { return rule.Answer(reply) }
		}
	}
	for fault, give := range faults {
		all.start(fault, func(c *cell) { c.largeMessages(give) })
	}
}

func (c *cell) largeMessages(give func(*Rule) *Rule) {
	const tasks = 120
	client := asynq.NewClient(c.r.Opt())
	defer client.Close()
	for i := range tasks {
		size := []int{20_000, 5_000, 10, 100_000}[i%4]
		payload := fmt.Sprintf(`{"filler":"%s"}`, strings.Repeat("x", size))
		if _, err := client.Enqueue(asynq.NewTask("t", []byte(payload)), asynq.TaskID(fmt.Sprint(i)), asynq.MaxRetry(0)); err != nil {
			c.Fatal(err)
		}
	}
	rule := give(c.fake.On("HGET").Nth(17))
	path := filepath.Join(c.r.Dir, "ledger")
	s := StartCServerIn(c.peer(c.fake.URI()), ServerOptions{LedgerPath: path, Concurrency: 100})
	c.met(rule)
	Eventually(c, 2*recoversWithin, "all tasks to be done", func() bool { return tasksLeft(c.r) == 0 })
	got := Starts(ReadLedger(c, path))
	equal(c.T, "tasks that ran", len(got), tasks)
	for id, count := range got {
		equal(c.T, "runs of "+id, count, 1)
	}
	equal(c.T, "archived", c.r.Int("ZCARD", QueueKey("default", "archived")), 0)
	c.logged(s.Notes())
	IsWell(c, c.r)
}

// TestEachScriptMeetsErrors: a new script is in one of the lists above.
func TestEachScriptMeetsErrors(t *testing.T) {
	listed := map[string]bool{"enqueue": true, "leave-role": true}
	listed["restore"] = true // TestRestore: a call made once, by an operator
	for _, kind := range append(append([]string{}, serverKinds...), schedulerKinds...) {
		listed[kind] = true
	}
	for _, i := range inspections {
		listed[i.kind] = true
	}
	for _, check := range checks {
		listed[check.kind] = true
	}
	for _, name := range ScriptNames(t) {
		if !listed[name] {
			t.Errorf("%s is in no list", name)
		}
	}
}

// TestWrongShapes: answers that Redis never gives, to each script. They may mean anything, so tasks may run again; but
// nobody crashes, nobody storms, and new work is done when they end.
func TestWrongShapes(t *testing.T) {
	t.Parallel()
	all := cells{t: t}
	defer all.wait.Wait()
	for name, reply := range wrongShapes {
		all.start("server "+name, func(c *cell) { c.serverShape(reply) })
		all.start("client "+name, func(c *cell) { c.clientShape(reply) })
		all.start("scheduler "+name, func(c *cell) { c.schedulerShape(reply) })
	}
}

func (c *cell) serverShape(reply string) {
	c.fill("renew")
	rule := c.fake.OnScripts().Answer(reply)
	s := StartCServerIn(StartPeerUnder(c, []string{"env", "ASYNQ_PEER_PARK_THRESHOLD=1"}, c.fake.URI()),
		ServerOptions{LedgerPath: filepath.Join(c.r.Dir, "ledger"), RetryMs: P(int64(0)), Aggregates: true, Grace: time.Minute, MaxSize: 3,
			Routes: append(limited(1), routesWithRoom("lease-some")...)})
	c.hold(rule)
	c.fake.Clear()
	c.logged(s.Notes())
	NewGoEnqueuer(c, c.r).Enqueue(Task{Type: "t", Payload: P("{}"), Own: Options{ID: P("new")}})
	Eventually(c, recoversWithin, "new work to be done", func() bool { return Starts(s.Ledger())["default/new"] == 1 })
}

func (c *cell) clientShape(reply string) {
	peer := c.peer(c.fake.URI())
	peer.Must("client.options", M{"timeout_ms": 60_000})
	peer.Must("ping", nil)
	rule := c.fake.OnScripts().Answer(reply)
	done := make(chan M, 1)
	go func() {
		done <- peer.Do("load", M{"prefix": "load", "payload": "{}", "count": 500, "threads": 4, "async": true})
	}()
	c.hold(rule)
	c.fake.Clear()
	if answer := <-done; Status(answer) == 0 {
		c.Errorf("the client takes %q for success", reply)
	}
	peer.Must("enqueue", Task{Type: "t", Own: Options{ID: P("new")}}.ForC())
}

func (c *cell) schedulerShape(reply string) {
	s := &CScheduler{Peer: c.peer(c.fake.URI())}
	s.Must("scheduler.new", M{"heartbeat_ms": 500})
	if _, err := s.Register(Entry{Spec: "@every 1s", Task: Task{Type: "tick", Payload: P("{}")}}); err != nil {
		c.Fatal(err)
	}
	rule := c.fake.OnScripts().Answer(reply)
	if err := s.Start(); err != nil {
		c.Fatal(err)
	}
	c.hold(rule)
	c.fake.Clear()
	before := c.r.Int("LLEN", QueueKey("default", "pending"))
	Eventually(c, recoversWithin, "ticks", func() bool { return c.r.Int("LLEN", QueueKey("default", "pending")) > before+1 })
}
