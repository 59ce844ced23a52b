package system

import (
	"encoding/base64"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/redis/go-redis/v9"
)

// ---- a store to be damaged ----

// ward holds tasks in all states, some of each, that nobody works on.
type ward struct {
	t      *testing.T
	r      *Redis
	queue  string
	random *rand.Rand
	tasks  map[string][]string // by state
	groups []string            // of one task each; the others are in "crowd"
	sets   []string            // keys of aggregations under way, of one task each
	serial int
}

func (w *ward) key(suffix string) string { return QueueKey(w.queue, suffix) }

// fill creates n tasks of each state, all at once, as Go's Asynq would.
func (w *ward) fill(n int) {
	later, soon := float64(time.Now().Add(time.Hour).Unix()), time.Now().Unix()
	pipe := w.r.Client.Pipeline()
	pipe.SAdd(Ctx, "asynq:queues", w.queue)
	put := func(state, group string) string {
		w.serial++
		id := fmt.Sprintf("%s-%d", state, w.serial)
		message := &base.TaskMessage{ID: id, Type: "t", Payload: []byte(`{}`), Queue: w.queue, Retry: 25,
			Timeout: 1800, GroupKey: group}
		if state == "completed" {
			message.CompletedAt, message.Retention = soon, 7200
		}
		fields := []any{"msg", Encode(w.t, message), "state", state}
		if group != "" {
			fields = append(fields, "group", group)
		}
		if state == "pending" {
			fields = append(fields, "pending_since", time.Now().UnixNano())
		}
		pipe.HSet(Ctx, w.key("t:"+id), fields...)
		return id
	}
	for range n {
		for _, state := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
			id := put(state, "")
			w.tasks[state] = append(w.tasks[state], id)
			if state == "pending" || state == "active" {
				pipe.LPush(Ctx, w.key(state), id)
			} else {
				pipe.ZAdd(Ctx, w.key(state), redis.Z{Score: later, Member: id})
			}
			if state == "active" {
				pipe.ZAdd(Ctx, w.key("lease"), redis.Z{Score: later, Member: id})
			}
		}
		id, solo, staged := put("aggregating", "crowd"), fmt.Sprintf("solo%d", w.serial), fmt.Sprintf("staged%d", w.serial)
		w.tasks["aggregating"] = append(w.tasks["aggregating"], id)
		set := w.key("g:" + staged + ":" + newUUID(w.random))
		pipe.ZAdd(Ctx, w.key("g:crowd"), redis.Z{Score: float64(soon), Member: id})
		pipe.ZAdd(Ctx, w.key("g:"+solo), redis.Z{Score: float64(soon), Member: put("aggregating", solo)})
		pipe.SAdd(Ctx, w.key("groups"), "crowd", solo)
		pipe.ZAdd(Ctx, set, redis.Z{Score: float64(soon), Member: put("aggregating", staged)})
		pipe.ZAdd(Ctx, w.key("aggregation_sets"), redis.Z{Score: later, Member: set})
		w.groups, w.sets = append(w.groups, solo), append(w.sets, set)
		if len(w.groups)%200 == 0 {
			w.exec(pipe)
		}
	}
	w.exec(pipe)
}

func (w *ward) exec(pipe redis.Pipeliner) {
	if _, err := pipe.Exec(Ctx); err != nil {
		w.t.Fatal(err)
	}
}

func newUUID(random *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), random.Intn(1<<16), random.Intn(1<<12),
		random.Intn(1<<12), random.Int63n(1<<48))
}

func take(from *[]string, random *rand.Rand) string {
	list := *from
	i := random.Intn(len(list))
	taken := list[i]
	list[i] = list[len(list)-1]
	*from = list[:len(list)-1]
	return taken
}

// task is one that nobody has damaged yet, in one of some states.
func (w *ward) task(states ...string) (id, state string) {
	state = states[w.random.Intn(len(states))]
	list := w.tasks[state]
	id = take(&list, w.random)
	w.tasks[state] = list
	return id, state
}

// dumps is everything in Redis, byte by byte.
func dumps(r *Redis) map[string]string {
	all := map[string]string{}
	for _, key := range r.Strings("KEYS", "*") {
		if !strings.Contains(key, "libasynq:client") {
			all[key] = r.Text("DUMP", key)
		}
	}
	return all
}

func (w *ward) leave(id, state string) {
	switch state {
	case "pending":
		w.r.Int("LREM", w.key("pending"), 0, id)
	case "active":
		w.r.Int("LREM", w.key("active"), 0, id)
		w.r.Int("ZREM", w.key("lease"), id)
	case "aggregating":
		w.r.Int("ZREM", w.key("g:crowd"), id)
	default:
		w.r.Int("ZREM", w.key(state), id)
	}
}

// ---- injuries ----

var inSets = []string{"scheduled", "retry", "archived", "completed"}
var inLists = []string{"pending", "active"}
var anywhere = append(append([]string{"aggregating"}, inSets...), inLists...)

// injury damages something and tells the key that fsck should name.
type injury struct {
	name, fault string
	do          func(w *ward) (key string)
}

func (w *ward) next(name string) string {
	w.serial++
	return fmt.Sprintf("%s%d", name, w.serial)
}

func onTask(states []string, do func(w *ward, id, state string)) func(w *ward) string {
	return func(w *ward) string {
		id, state := w.task(states...)
		do(w, id, state)
		return w.key("t:" + id)
	}
}

var injuries = []injury{
	{"hash deleted", "member-without-task", onTask(anywhere, func(w *ward, id, state string) {
		w.r.Int("DEL", w.key("t:"+id))
	})},
	{"taken out of its container", "task-in-no-set", onTask(anywhere, func(w *ward, id, state string) { w.leave(id, state) })},
	{"put into a second set", "task-twice", onTask(anywhere, func(w *ward, id, state string) {
		other := inSets[w.random.Intn(len(inSets))]
		if other == state {
			other = inSets[(w.random.Intn(len(inSets)-1)+1+indexOf(inSets, state))%len(inSets)]
		}
		w.r.Int("ZADD", w.key(other), time.Now().Add(time.Hour).Unix(), id)
	})},
	{"pushed a second time", "task-twice", onTask(inLists, func(w *ward, id, state string) {
		w.r.Int("LPUSH", w.key(state), id)
	})},
	{"also pending", "task-twice", onTask([]string{"active", "scheduled", "retry", "archived"}, func(w *ward, id, state string) {
		w.r.Int("RPUSH", w.key("pending"), id)
	})},
	{"state of another place", "wrong-state", onTask(anywhere, func(w *ward, id, state string) {
		other := anywhere[(indexOf(anywhere, state)+1+w.random.Intn(len(anywhere)-1))%len(anywhere)]
		w.r.Int("HSET", w.key("t:"+id), "state", other)
	})},
	{"state of nonsense", "wrong-state", onTask(anywhere, func(w *ward, id, state string) {
		w.r.Int("HSET", w.key("t:"+id), "state", "\x00\xff")
	})},
	{"no state", "wrong-state", onTask(anywhere, func(w *ward, id, state string) { w.r.Int("HDEL", w.key("t:"+id), "state") })},
	{"another group", "wrong-state", onTask([]string{"aggregating"}, func(w *ward, id, state string) {
		w.r.Int("HSET", w.key("t:"+id), "group", "elsewhere")
	})},
	{"lease lost", "active-without-lease", onTask([]string{"active"}, func(w *ward, id, state string) {
		w.r.Int("ZREM", w.key("lease"), id)
	})},
	{"only the lease left", "lease-without-active", onTask([]string{"active"}, func(w *ward, id, state string) {
		w.r.Int("LREM", w.key("active"), 0, id)
	})},
	{"lease of an idle task", "lease-without-active", onTask([]string{"pending", "scheduled", "retry", "archived", "completed",
		"aggregating"}, func(w *ward, id, state string) {
		w.r.Int("ZADD", w.key("lease"), time.Now().Add(time.Hour).Unix(), id)
	})},
	{"message of garbage", "unreadable-task", onTask(anywhere, func(w *ward, id, state string) {
		w.r.Int("HSET", w.key("t:"+id), "msg", "\x0a\xff\x01garbage")
	})},
	{"no message", "unreadable-task", onTask(anywhere, func(w *ward, id, state string) { w.r.Int("HDEL", w.key("t:"+id), "msg") })},
	{"message of another task", "unreadable-task", onTask(anywhere, func(w *ward, id, state string) {
		w.r.Int("HSET", w.key("t:"+id), "msg", Encode(w.t, &base.TaskMessage{ID: "other", Type: "x", Queue: w.queue}))
	})},
	{"a text in place of the task", "wrong-type", onTask(anywhere, func(w *ward, id, state string) {
		w.r.Text("SET", w.key("t:"+id), "text")
	})},
	{"only a late result", "unreadable-task", func(w *ward) string {
		key := w.key("t:" + w.next("late"))
		w.r.Int("HSET", key, "result", "too late")
		return key
	}},
	{"lock of a task that has gone", "stale-lock", func(w *ward) string {
		key := w.key("unique:work:" + w.next("gone"))
		w.r.Text("SET", key, "gone", "EX", 3600)
		return key
	}},
	{"lock without end", "missing-ttl", func(w *ward) string {
		id, _ := w.task("scheduled")
		key := w.key("unique:work:" + w.next("endless"))
		w.r.Text("SET", key, id)
		return key
	}},
	{"group that is not listed", "unlisted-group", func(w *ward) string {
		group := take(&w.groups, w.random)
		w.r.Int("SREM", w.key("groups"), group)
		return w.key("g:" + group)
	}},
	{"listed group without tasks", "empty-group", func(w *ward) string {
		group := w.next("nobody")
		w.r.Int("SADD", w.key("groups"), group)
		return w.key("g:" + group)
	}},
	{"aggregation that is not listed", "stale-aggregation-set", func(w *ward) string {
		set := take(&w.sets, w.random)
		w.r.Int("ZREM", w.key("aggregation_sets"), set)
		return set
	}},
	{"listed aggregation without tasks", "stale-aggregation-set", func(w *ward) string {
		set := w.key("g:" + w.next("nobody") + ":" + newUUID(w.random))
		w.r.Int("ZADD", w.key("aggregation_sets"), time.Now().Add(time.Hour).Unix(), set)
		return set
	}},
	{"daily counter without end", "missing-ttl", func(w *ward) string {
		key := w.key("processed:" + time.Now().AddDate(0, 0, -w.serial).Format(time.DateOnly))
		w.serial++
		w.r.Int("INCR", key)
		return key
	}},
	{"counter of letters", "wrong-type", func(w *ward) string {
		key := w.key("failed:" + time.Now().AddDate(0, 0, -w.serial).Format(time.DateOnly))
		w.serial++
		w.r.Text("SET", key, "many", "EX", 3600)
		return key
	}},
	{"key of ours without end", "missing-ttl", func(w *ward) string {
		key := w.key("libasynq:client:" + w.next("c"))
		w.r.Int("HSET", key, "batch0", "1")
		return key
	}},
	{"queue that is not registered", "unregistered-queue", func(w *ward) string {
		other := &ward{t: w.t, r: w.r, queue: w.next("hidden"), random: w.random, tasks: map[string][]string{}}
		other.fill(1)
		w.r.Int("SREM", "asynq:queues", other.queue)
		return other.key("")
	}},
	{"server that has gone", "stale-record", func(w *ward) string {
		key := "asynq:servers:{gone:1:" + w.next("s") + "}"
		w.r.Int("ZADD", "asynq:servers", time.Now().Add(-time.Minute).Unix(), key)
		return key
	}},
	{"scheduler that has gone", "stale-record", func(w *ward) string {
		key := "asynq:schedulers:{gone:1:" + w.next("s") + "}"
		w.r.Int("ZADD", "asynq:schedulers", time.Now().Add(-time.Minute).Unix(), key)
		return key
	}},
	{"server without a record", "stale-record", func(w *ward) string {
		key := "asynq:servers:{gone:2:" + w.next("s") + "}"
		w.r.Int("ZADD", "asynq:servers", time.Now().Add(time.Hour).Unix(), key)
		return key
	}},
	{"workers without end", "missing-ttl", func(w *ward) string {
		key := "asynq:workers:{gone:3:" + w.next("s") + "}"
		w.r.Int("HSET", key, "id", "x")
		return key
	}},
	{"history of an entry that has gone", "stale-record", func(w *ward) string {
		key := "asynq:scheduler_history:" + w.next("e")
		w.r.Int("ZADD", key, time.Now().Add(-time.Hour).Unix(), "event")
		return key
	}},
}

func indexOf(list []string, wanted string) int {
	for i, each := range list {
		if each == wanted {
			return i
		}
	}
	return -1
}

// TestFsck breaks one thing at a time: it is found as what it is, once and alone, repaired, and then all is well.
func TestFsck(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	// Keys that cannot be broken often: one of each container.
	once := []injury{}
	for _, container := range append([]string{"groups", "aggregation_sets", "lease", "paused", "processed"}, anywhere[1:]...) {
		once = append(once, injury{"wrong type of " + container, "wrong-type", func(w *ward) string {
			w.r.Int("DEL", w.key(container))
			w.r.Int("GEOADD", w.key(container+"-"), 1, 1, "x")
			w.r.Text("RENAME", w.key(container+"-"), w.key(container))
			if container == "lease" || indexOf(inSets, container) >= 0 || container == "aggregation_sets" {
				w.r.Int("DEL", w.key(container))
				w.r.Int("LPUSH", w.key(container), "x")
			}
			return w.key(container)
		}})
	}
	for seed, each := range append(append([]injury{}, injuries...), once...) {
		for round := range 2 {
			r.Do("FLUSHALL")
			w := &ward{t: t, r: r, queue: "q", random: rand.New(rand.NewSource(int64(100*round + seed))), tasks: map[string][]string{}}
			w.fill(5)
			if findings, _, _ := Fsck(t, r); len(findings) > 0 {
				t.Fatalf("before anything was broken: %+v", findings)
			}
			key := each.do(w)
			what := fmt.Sprintf("%s (%d)", each.name, round)
			alone := !strings.HasPrefix(each.name, "wrong type of") // then the tasks in it are lost, too
			for _, args := range [][]string{{}, {"--repair"}} {
				before := dumps(r)
				findings, summary, status := Fsck(t, r, args...)
				isDry := len(args) == 0
				found := 0
				for _, f := range findings {
					if f.Key == key && f.Fault == each.fault && (f.Repaired == "") == isDry {
						found++
					}
				}
				if found != 1 || (alone && len(findings) != 1) {
					t.Errorf("%s %v: fsck tells %+v, not only %s of %s", what, args, findings, each.fault, key)
				}
				equal(t, what+": exit status", status, map[bool]int{true: 5, false: 7}[isDry])
				if isDry {
					equal(t, what+": repaired", summary.Repaired, 0)
					equal(t, what+": snapshot", fmt.Sprint(dumps(r)), fmt.Sprint(before))
				} else {
					equal(t, what+": repaired", summary.Repaired, summary.Findings)
				}
			}
			if findings, _, status := Fsck(t, r); status != 0 {
				t.Errorf("%s: after the repair: %+v", what, findings)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// ---- many injuries, under load ----

// load is what goes on meanwhile: servers and clients of both libraries, in the queue of the injured and in another one.
type load struct {
	stop chan struct{}
	done sync.WaitGroup
}

func startLoad(t *testing.T, w *ward) *load {
	l := &load{stop: make(chan struct{})}
	busy := ServerOptions{Concurrency: 5, Queues: map[string]int{"busy": 1}}
	c, g := StartServer(t, "c", w.r, busy), StartServer(t, "go", w.r, busy)
	peer := StartPeer(t, w.r.URI())
	client := asynq.NewClient(w.r.Opt())
	repeat := func(do func(i int)) {
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				case <-time.After(500 * time.Microsecond):
					do(i)
				}
			}
		}()
	}
	repeat(func(i int) {
		queue := []string{"busy", w.queue}[i%2]
		options := [][]asynq.Option{{}, {asynq.ProcessIn(time.Second)}, {asynq.Retention(time.Second)},
			{asynq.Unique(time.Minute)}, {asynq.Group("crowd")}}[i%5]
		task := asynq.NewTask("t", fmt.Appendf(nil, `{"text":"%d"}`, i), append(options, asynq.Queue(queue), asynq.MaxRetry(0))...)
		if _, err := client.Enqueue(task); err != nil {
			t.Error(err)
		}
	})
	repeat(func(i int) {
		peer.Must("enqueue", Task{Type: "t", Payload: P("{}"), Own: Options{Queue: P([]string{"busy", w.queue}[i%2])}}.ForC())
	})
	inspector := asynq.NewInspector(w.r.Opt())
	repeat(func(i int) {
		tasks, err := inspector.ListPendingTasks("busy", asynq.PageSize(3))
		for _, task := range tasks {
			inspector.ArchiveTask("busy", task.ID) // they move while fsck looks
			inspector.RunTask("busy", task.ID)
		}
		if err != nil {
			time.Sleep(time.Millisecond)
		}
	})
	t.Cleanup(func() { client.Close(); inspector.Close(); c.Shutdown(); g.Shutdown() })
	return l
}

func (l *load) end() {
	close(l.stop)
	l.done.Wait()
}

// TestFsckUnderLoad damages a store that is in use, in all ways in turn, and lets it be repaired. FSCK_INJURIES says how
// often; 320 times without it.
func TestFsckUnderLoad(t *testing.T) {
	t.Parallel()
	count := 320
	if text := os.Getenv("FSCK_INJURIES"); text != "" {
		count, _ = strconv.Atoi(text)
	}
	r := StartRedis(t)
	w := &ward{t: t, r: r, queue: "q", random: rand.New(rand.NewSource(time.Now().UnixNano())), tasks: map[string][]string{}}
	w.fill(count/3 + 40)
	l := startLoad(t, w)
	IsWell(t, r)
	expected, faults := map[string]string{}, map[string]int{}
	for i := range count {
		injury := injuries[i%len(injuries)]
		expected[injury.do(w)] = injury.fault
	}
	for _, args := range [][]string{{}, {"--repair"}} {
		findings, _, _ := Fsck(t, r, args...)
		missing := map[string]string{}
		for key, fault := range expected {
			missing[key] = fault
		}
		for _, f := range findings {
			if missing[f.Key] != f.Fault {
				t.Errorf("%v: wrong or told twice: %+v", args, f)
			}
			delete(missing, f.Key)
			faults[f.Fault]++
		}
		for key, fault := range missing {
			t.Errorf("%v: not found: %s of %s", args, fault, key)
		}
	}
	IsWell(t, r)
	l.end()
	t.Logf("%d injuries; findings in two runs: %v", count, faults)
	endAll(t, w)
}

// endAll lets everything run: no task stays, but those in quarantine, which had no message.
func endAll(t *testing.T, w *ward) {
	inspector := asynq.NewInspector(w.r.Opt())
	defer inspector.Close()
	for _, key := range w.r.Strings("ZRANGE", w.key("lease"), 0, -1) { // as if their servers had died a while ago
		w.r.Int("ZADD", w.key("lease"), 1, key)
	}
	for _, run := range []func(string) (int, error){inspector.RunAllScheduledTasks, inspector.RunAllRetryTasks,
		inspector.RunAllArchivedTasks, inspector.DeleteAllCompletedTasks} {
		if _, err := run(w.queue); err != nil {
			t.Error(err)
		}
	}
	for _, set := range w.r.Strings("ZRANGE", w.key("aggregation_sets"), 0, -1) {
		w.r.Int("ZADD", w.key("aggregation_sets"), 1, set)
	}
	if err := GoBroker(w.r, time.Now()).ReclaimStaleAggregationSets(w.queue); err != nil {
		t.Error(err)
	}
	// Go does not list the groups to which tasks went back: aggregators would never see them.
	findings, _, _ := Fsck(t, w.r, "--repair")
	for _, f := range findings {
		equal(t, "what Go leaves broken", f.Fault, "unlisted-group")
	}
	groups, err := inspector.Groups(w.queue)
	if err != nil {
		t.Error(err)
	}
	for _, group := range groups {
		if _, err := inspector.RunAllAggregatingTasks(w.queue, group.Group); err != nil {
			t.Error(err)
		}
	}
	StartServer(t, "c", w.r, ServerOptions{Concurrency: 20, Queues: map[string]int{w.queue: 1}})
	left := map[string]int{}
	defer func() {
		if len(left) > 0 {
			t.Errorf("left, by state: %v", left)
		}
	}()
	Eventually(t, 2*time.Minute, "no task is left", func() bool {
		time.Sleep(100 * time.Millisecond)
		inspector.RunAllRetryTasks(w.queue)
		clear(left)
		for _, key := range w.r.Strings("KEYS", w.key("t:*")) {
			if state := w.r.Text("HGET", key, "state"); state != "completed" {
				left[state]++
			}
		}
		return len(left) == 0
	})
}

// TestFsckStrangeNames: names that look like patterns, or like keys of another queue.
func TestFsckStrangeNames(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	names := []string{"a", "a}:t:b", "a}:pending", "x*y", "[z]", "^", "\\", "with space", "日本", "}:t:", "-"}
	wards := map[string]*ward{}
	for i, name := range names {
		wards[name] = &ward{t: t, r: r, queue: name, random: rand.New(rand.NewSource(int64(i))), tasks: map[string][]string{}}
		wards[name].fill(2)
	}
	before := dumps(r)
	if findings, _, _ := Fsck(t, r, "--repair"); len(findings) > 0 {
		t.Fatalf("nothing is broken: %+v", findings)
	}
	equal(t, "unchanged", fmt.Sprint(dumps(r)), fmt.Sprint(before))
	for _, name := range names {
		id, _ := wards[name].task("retry")
		wards[name].leave(id, "retry")
		findings, _, status := Fsck(t, r, "--repair", "--queue="+name)
		if status != 7 || len(findings) != 1 || findings[0].Queue != name || findings[0].TaskID != id {
			t.Errorf("%q: status %d, %+v", name, status, findings)
		}
	}
	IsWell(t, r)

	// Bytes that are no text are told as such, and stop nothing.
	r.Int("LPUSH", QueueKey("a", "pending"), "\xff\xfe")
	r.Int("SADD", "asynq:queues", "\xf0")
	ctl(t, r, "fsck", "--json").expect(t, "odd bytes", 5, `"task_id":\{"base64":"//4="\}.*\n.*"findings":1`, "")
	ctl(t, r, "fsck", "--repair").expect(t, "odd bytes", 7, `asynq:\{a\}:t:\\xff\\xfe: it stands in pending \(id removed\)`, "")
	put := r.Int("HSET", TaskKey("a", "\xff"), "msg", "x", "state", "retry")
	equal(t, "fields", put, 2)
	r.Int("ZADD", QueueKey("a", "retry"), 1, "\xff")
	ctl(t, r, "task", "find", "-q", "a", "-s", "retry", "--json").expect(t, "odd bytes in an id", 0, `"id":\{"base64":"/w=="\}`, "")
	ctl(t, r, "queue", "ls", "--json").expect(t, "odd bytes in a name", 0, `"base64": "8A=="`, "")
}

// TestFsckAfterGo: Go's inspector leaves a task without a place for each one that does not fit into the archive.
// They are set aside, because the archive is full; they can be listed, exported and, once seen, deleted.
func TestFsckAfterGo(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	peer := StartPeer(t, r.URI())
	peer.Must("load", M{"prefix": "load", "payload": `{"to":"x"}`, "count": 10300, "threads": 1})
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	if _, err := inspector.ArchiveAllPendingTasks("default"); err != nil {
		t.Fatal(err)
	}
	findings, _, status := Fsck(t, r, "--repair")
	equal(t, "exit status", status, 7)
	equal(t, "orphans", len(findings), 10300-9999)
	for _, f := range findings {
		equal(t, f.Key, f.Fault+": "+f.Repaired, "task-in-no-set: moved to the quarantine")
	}
	IsWell(t, r)
	equal(t, "archive", r.Int("ZCARD", QueueKey("default", "archived")), 9999)

	listed := ctl(t, r, "quarantine", "ls", "--json").document(t).([]any)
	equal(t, "listed", len(listed), 301)
	exported := ctl(t, r, "quarantine", "export", "-q", "default")
	exported.expect(t, "export", 0, `"name":"t:load-`, "^301 entries exported\n$")
	entry := listed[0].(map[string]any)
	name := entry["name"].(string)
	message, _ := base64.StdEncoding.DecodeString(fmt.Sprint(entry["message"].(map[string]any)["base64"]))
	decoded, err := base.DecodeMessage(message)
	if err != nil || "t:"+decoded.ID != name || !strings.Contains(entry["reason"].(string), "the archive is full") {
		t.Errorf("entry: %v: %v %v", entry, decoded, err)
	}
	dump, _ := base64.StdEncoding.DecodeString(fmt.Sprint(entry["dump"].(map[string]any)["base64"]))
	equal(t, "restore", r.Text("RESTORE", "copy", 0, string(dump)), "OK")
	equal(t, "restored", r.Text("HGET", "copy", "msg"), string(message))
	ctl(t, r, "quarantine", "rm", name).expect(t, "not asked", 4, "", "nobody is here to ask")
	ctl(t, r, "quarantine", "rm", "-y", name).expect(t, "rm", 0, "", "")
	ctl(t, r, "quarantine", "rm", "-y", name).expect(t, "rm again", 3, "", "is not in the quarantine")
	equal(t, "left", len(ctl(t, r, "quarantine", "ls", "--json").document(t).([]any)), 300)
	ctl(t, r, "fsck").expect(t, "fsck for people", 0, "^9999 tasks and [0-9]+ keys looked at: all is well\n$", "")
	ctl(t, r, "fsck", "-q", "none").expect(t, "unknown queue", 3, "", `queue "none" not found`)
	r.Do("RENAME", "asynq:queues", "kept")
	r.Int("LPUSH", "asynq:queues", "x")
	ctl(t, r, "fsck").expect(t, "no set of queues", 1, "", "SMEMBERS asynq:queues: .*WRONGTYPE")
	r.Do("RENAME", "kept", "asynq:queues")
	r.Int("DEL", TaskKey("default", fmt.Sprint(r.Strings("ZRANGE", QueueKey("default", "archived"), 0, 0)[0])))
	ctl(t, r, "fsck", "--repair").expect(t, "fsck for people", 7,
		`(?s)^member-without-task +asynq:\{default\}:t:load-\S+: it stands in archived \(id removed\)\n.*1 fault, 1 of them repaired`, "")
}
