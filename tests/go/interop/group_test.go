package interop

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// groupLimits are those of an aggregation, in seconds; 0: none.
type groupLimits struct{ grace, delay, size int }

// groups is one library's set of operations on groups, on a Redis of its own. Its clock stands at `now`.
type groups interface {
	redis() *Redis
	// take answers the id of the set that was formed; empty: none.
	take(group string, limits groupLimits) (set string)
	read(group, set string) (ids []string)
	finish(group, set string)
	reclaim()
}

const groupQueue = "default"

func setKey(group, set string) string { return QueueKey(groupQueue, "g:"+group+":"+set) }

func (b *goBroker) take(group string, limits groupLimits) string {
	set, err := b.AggregationCheck(groupQueue, group, now, time.Duration(limits.grace)*time.Second,
		time.Duration(limits.delay)*time.Second, limits.size)
	if err != nil {
		b.t.Fatal(err)
	}
	return set
}

func (b *goBroker) read(group, set string) (ids []string) {
	messages, deadline, err := b.ReadAggregationSet(groupQueue, group, set)
	if err != nil {
		b.t.Fatal(err)
	}
	equal(b.t, "deadline", float64(deadline.Unix()), score(b.r, QueueKey(groupQueue, "aggregation_sets"), setKey(group, set)))
	for _, message := range messages {
		ids = append(ids, message.ID)
	}
	return ids
}

func (b *goBroker) finish(group, set string) {
	if err := b.DeleteAggregationSet(Ctx, groupQueue, group, set); err != nil {
		b.t.Fatal(err)
	}
}

func (b *goBroker) reclaim() {
	if err := b.ReclaimStaleAggregationSets(groupQueue); err != nil {
		b.t.Fatal(err)
	}
}

func (b *cBroker) take(group string, limits groupLimits) string {
	const id = "7b0c2f5e-97cd-4f0e-8f43-6a8e6ed5b1a7"
	answer := b.peer.Must("group.take", M{"group": group, "set_id": id, "grace_s": limits.grace, "max_delay_s": limits.delay,
		"max_size": limits.size})
	if reply(answer)[0].(fmt.Stringer).String() == "0" {
		return ""
	}
	return id
}

func (b *cBroker) read(group, set string) (ids []string) {
	list := reply(b.peer.Must("group.read", M{"set": setKey(group, set)}))
	equal(b.t, "size", list[0].(fmt.Stringer).String(), fmt.Sprint(len(list)/2))
	for i := 1; i < len(list); i += 2 {
		ids = append(ids, list[i].(string))
	}
	return ids
}

func (b *cBroker) finish(group, set string) {
	if answer := b.peer.Must("group.finish", M{"set": setKey(group, set)}); Number(answer, "reply") != 1 {
		b.t.Errorf("finish: %v", answer)
	}
}

func (b *cBroker) reclaim() { b.peer.Must("group.reclaim", nil) }

// putInGroup adds tasks that joined the group at the given seconds: t0, t1 and so on.
func putInGroup(t *testing.T, r *Redis, group string, at ...int64) {
	t.Helper()
	for i, second := range at {
		id := fmt.Sprint("t", i)
		message := Encode(t, &base.TaskMessage{Type: "t", ID: id, Queue: groupQueue, Retry: 25, Timeout: 1800, GroupKey: group})
		r.Int("HSET", TaskKey(groupQueue, id), "msg", message, "state", "aggregating", "group", group)
		r.Int("ZADD", QueueKey(groupQueue, "g:"+group), second, id)
	}
	r.Int("SADD", QueueKey(groupQueue, "groups"), group)
	r.Int("SADD", "asynq:queues", groupQueue)
}

// scored are the ids and scores of a sorted set.
func scored(r *Redis, key string) string {
	var texts []string
	for _, z := range r.Client.ZRangeWithScores(Ctx, key, 0, -1).Val() {
		texts = append(texts, fmt.Sprintf("%v:%+d", z.Member, int64(z.Score)-n))
	}
	return strings.Join(texts, " ")
}

func isListed(r *Redis, group string) bool {
	return r.Client.SIsMember(Ctx, QueueKey(groupQueue, "groups"), group).Val()
}

// TestD3: G-01 to G-12, each with both libraries.
func TestD3(t *testing.T) {
	t.Parallel()
	group := QueueKey(groupQueue, "g:g")
	none := func(at []int64, limits groupLimits) func(t *testing.T, g groups, isOurs bool) {
		return func(t *testing.T, g groups, isOurs bool) {
			if len(at) > 0 {
				putInGroup(t, g.redis(), "g", at...)
			}
			before := scored(g.redis(), group)
			equal(t, "set", g.take("g", limits), "")
			equal(t, "group", scored(g.redis(), group), before)
		}
	}
	all := func(at []int64, limits groupLimits, moved string) func(t *testing.T, g groups, isOurs bool) {
		return func(t *testing.T, g groups, isOurs bool) {
			putInGroup(t, g.redis(), "g", at...)
			set := g.take("g", limits)
			equal(t, "set", scored(g.redis(), setKey("g", set)), moved)
			equal(t, "group", scored(g.redis(), group), "")
			equal(t, "the group is listed", isListed(g.redis(), "g"), false)
			equal(t, "list of sets", scored(g.redis(), QueueKey(groupQueue, "aggregation_sets")), setKey("g", set)+":+120")
			equal(t, "state", state(g.redis(), "t0"), "aggregating")
		}
	}
	for id, run := range map[string]func(t *testing.T, g groups, isOurs bool){
		"G-01": none(nil, groupLimits{60, 0, 0}),
		"G-02": all([]int64{n - 4, n - 3, n - 2, n - 1, n}, groupLimits{60, 0, 5}, "t0:-4 t1:-3 t2:-2 t3:-1 t4:+0"),
		"G-03": func(t *testing.T, g groups, isOurs bool) {
			putInGroup(t, g.redis(), "g", n-6, n-5, n-4, n-3, n-2, n-1, n)
			set := g.take("g", groupLimits{60, 0, 5})
			equal(t, "set", scored(g.redis(), setKey("g", set)), "t0:-6 t1:-5 t2:-4 t3:-3 t4:-2")
			equal(t, "group", scored(g.redis(), group), "t5:-1 t6:+0")
			equal(t, "the group is listed", isListed(g.redis(), "g"), true)
		},
		"G-04": all([]int64{n - 80, n - 70, n - 60}, groupLimits{60, 0, 0}, "t0:-80 t1:-70 t2:-60"),
		"G-05": none([]int64{n - 80, n - 70, n - 59}, groupLimits{60, 0, 0}),
		"G-06": all([]int64{n - 300, n}, groupLimits{60, 300, 0}, "t0:-300 t1:+0"),
		"G-07": none([]int64{n - 299, n}, groupLimits{60, 300, 0}),
		"G-08": func(t *testing.T, g groups, isOurs bool) {
			putInGroup(t, g.redis(), "g", n-70, n-80)
			equal(t, "read", strings.Join(g.read("g", g.take("g", groupLimits{60, 0, 0})), " "), "t1 t0")
		},
		"G-09": func(t *testing.T, g groups, isOurs bool) {
			putInGroup(t, g.redis(), "g", n-80, n-70)
			g.redis().Do("SET", QueueKey(groupQueue, "unique:t:lock"), "t0", "EX", 60)
			g.finish("g", g.take("g", groupLimits{60, 0, 0}))
			equal(t, "what stays", strings.Join(g.redis().Keys(), " "), "asynq:queues "+QueueKey(groupQueue, "unique:t:lock"))
		},
		"G-10": func(t *testing.T, g groups, isOurs bool) {
			putInGroup(t, g.redis(), "a:b", n-80, n-70)
			set := g.take("a:b", groupLimits{60, 0, 0})
			g.redis().Do("ZADD", QueueKey(groupQueue, "aggregation_sets"), n-1, setKey("a:b", set))
			g.reclaim()
			equal(t, "group", scored(g.redis(), QueueKey(groupQueue, "g:a:b")), "t0:-80 t1:-70")
			equal(t, "set", g.redis().Int("EXISTS", setKey("a:b", set)), 0)
			equal(t, "list of sets", g.redis().Int("EXISTS", QueueKey(groupQueue, "aggregation_sets")), 0)
			equal(t, "the group is listed (Q-13)", isListed(g.redis(), "a:b"), isOurs)
		},
		"G-11": func(t *testing.T, g groups, isOurs bool) {
			putInGroup(t, g.redis(), "g", n-80, n-70)
			set := g.take("g", groupLimits{60, 0, 0})
			g.redis().Do("ZADD", QueueKey(groupQueue, "aggregation_sets"), n+1, setKey("g", set))
			before := fmt.Sprint(g.redis().Snapshot())
			g.reclaim()
			equal(t, "everything", fmt.Sprint(g.redis().Snapshot()), before)
		},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			t.Run("go", func(t *testing.T) { run(t, newGoBroker(t).(*goBroker), false) })
			t.Run("c", func(t *testing.T) { run(t, newCBroker(t).(*cBroker), true) })
		})
	}
	t.Run("G-12", func(t *testing.T) {
		for _, kind := range []string{"go", "c"} {
			r := StartRedis(t)
			first, second := NewGoEnqueuer(t, r), NewCEnqueuer(t, r)
			if kind == "c" {
				first, second = second, first
			}
			task := Task{Type: "t", Payload: P("p"), Own: Options{Group: P("g"), Unique: P(time.Minute)}}
			enqueueOK(t, first, task)
			equal(t, "an equal task", second.Enqueue(task).Class, "duplicate")
		}
	})
}

// TestServerReclaimsSets: a server of either kind takes the set of a vanished aggregator back into its group; ours also
// makes the group known again.
func TestServerReclaimsSets(t *testing.T) {
	t.Parallel()
	Servers(t, func(t *testing.T, kind string) {
		r := StartRedis(t)
		putInGroup(t, r, "g", n-80, n-70)
		b := &cBroker{t, r, StartPeer(t, r.URI())}
		set := b.take("g", groupLimits{60, 0, 0})
		if set == "" {
			t.Fatal("no set")
		}
		for i := range 40 {
			r.Int("ZADD", QueueKey(groupQueue, fmt.Sprint("g:other ", i, ":", set)), n, fmt.Sprint("x", i))
			r.Int("ZADD", QueueKey(groupQueue, "aggregation_sets"), n-10, QueueKey(groupQueue, fmt.Sprint("g:other ", i, ":", set)))
		}
		r.Do("ZADD", QueueKey(groupQueue, "aggregation_sets"), n-1, setKey("g", set))
		StartServer(t, kind, r, ServerOptions{})
		Eventually(t, 20*time.Second, "the sets to be taken back", func() bool {
			return r.Int("EXISTS", QueueKey(groupQueue, "aggregation_sets")) == 0
		})
		equal(t, "group", scored(r, QueueKey(groupQueue, "g:g")), "t0:-80 t1:-70")
		equal(t, "another", scored(r, QueueKey(groupQueue, "g:other 39")), "x39:+0")
		equal(t, "the group is listed", isListed(r, "g"), kind == "c")
	})
}

// sums reads the aggregated tasks of the queue, in any state: of each group the payloads that went into each of them.
func sums(t *testing.T, r *Redis) map[string][][]string {
	t.Helper()
	found := map[string][][]string{}
	for _, key := range r.Strings("KEYS", TaskKey(groupQueue, "*")) {
		message, err := base.DecodeMessage([]byte(r.Text("HGET", key, "msg")))
		if err != nil {
			t.Fatal(err)
		}
		if message.Type != "t:sum" {
			continue
		}
		var sum struct {
			Group string
			Tasks []string
		}
		if err := json.Unmarshal(message.Payload, &sum); err != nil {
			t.Fatal(err)
		}
		sort.Strings(sum.Tasks) // those of one second stand in the order of their random ids
		found[sum.Group] = append(found[sum.Group], sum.Tasks)
	}
	return found
}

// TestAggregation: G-13, and what else becomes of groups, with servers of both kinds.
func TestAggregation(t *testing.T) {
	t.Parallel()
	group := func(name, payload string) Task {
		return Task{Type: "t", Payload: P(payload), Own: Options{Group: P(name)}}
	}
	together := func(peer *Peer, count int) { // in one step: however slow the machine is, no grace period ends between two
		var tasks []Task
		for i := range count {
			tasks = append(tasks, group("g", fmt.Sprint(i)))
		}
		peer.Must("batch", BatchForC(tasks))
	}
	t.Run("G-13", func(t *testing.T) {
		Servers(t, func(t *testing.T, kind string) {
			r := StartRedis(t)
			peer := StartPeer(t, r.URI())
			StartServer(t, kind, r, ServerOptions{Aggregates: true, Grace: time.Second})
			together(peer, 3)
			Eventually(t, 20*time.Second, "one completed task", func() bool { return r.Int("ZCARD", QueueKey(groupQueue, "completed")) == 1 })
			equal(t, "sums", fmt.Sprint(sums(t, r)), "map[g:[[0 1 2]]]")
			equal(t, "tasks", len(r.Strings("KEYS", TaskKey(groupQueue, "*"))), 1)
			equal(t, "other queues", len(r.Strings("KEYS", "asynq:{elsewhere}*")), 0)
			IsWell(t, r)
		})
	})
	t.Run("limits", func(t *testing.T) {
		Servers(t, func(t *testing.T, kind string) {
			r := StartRedis(t)
			e := NewCEnqueuer(t, r)
			StartServer(t, kind, r, ServerOptions{Aggregates: true, Grace: 2 * time.Second, MaxDelay: 4 * time.Second, MaxSize: 5})
			together(StartPeer(t, r.URI()), 12)
			stop := time.Now().Add(30 * time.Second)
			for i := 0; len(sums(t, r)["busy"]) == 0 && time.Now().Before(stop); i++ { // the grace period never ends
				enqueueOK(t, e, group("busy", fmt.Sprint(i)))
				time.Sleep(time.Second)
			}
			if len(sums(t, r)["busy"]) == 0 {
				t.Error("the longest delay was not kept")
			}
			Eventually(t, 30*time.Second, "all groups to be empty", func() bool {
				return len(r.Strings("KEYS", QueueKey(groupQueue, "g:*"))) == 0
			})
			found := sums(t, r)
			var sizes []int
			for _, tasks := range found["g"] {
				sizes = append(sizes, len(tasks))
			}
			sort.Ints(sizes)
			equal(t, "sizes", fmt.Sprint(sizes), "[2 5 5]")
			IsWell(t, r)
		})
	})
}

// TestAggregationOutcomes: what our aggregator can say, groups that were there before the server, one that is gone on
// shutting down, and a connection that dies.
func TestAggregationOutcomes(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	e := NewGoEnqueuer(t, r)
	for _, name := range []string{"early", "broken", "drop", "slow"} {
		enqueueOK(t, e, Task{Type: "t", Payload: P("p"), Own: Options{Group: P(name)}})
	}
	s := StartCServer(t, r.URI(), ServerOptions{Aggregates: true, Grace: time.Second, LedgerPath: filepath.Join(r.Dir, "ledger")})
	Eventually(t, 20*time.Second, "the others to be aggregated", func() bool {
		return len(sums(t, r)) == 2 && r.Int("ZCARD", QueueKey(groupQueue, "aggregation_sets")) == 1
	})
	equal(t, "sums", fmt.Sprint(sums(t, r)), "map[early:[[p]] slow:[[p]]]")
	equal(t, "groups", len(r.Strings("KEYS", QueueKey(groupQueue, "g:*"))), 1)
	set := r.Strings("ZRANGE", QueueKey(groupQueue, "aggregation_sets"), 0, 0)[0]
	contains(t, "the set that stays", set, ":g:broken:")
	IsWell(t, r)

	r.Do("ZADD", QueueKey(groupQueue, "aggregation_sets"), "XX", 1, set) // its time is over
	Eventually(t, 20*time.Second, "it to be tried again", func() bool {
		tries := 0
		for _, note := range s.Notes() {
			tries += strings.Count(note, "aggregates 1 of broken")
		}
		return tries > 0
	})

	enqueueOK(t, e, Task{Type: "t", Payload: P("p"), Own: Options{Group: P("slow 2")}})
	Eventually(t, 20*time.Second, "an aggregation to begin", func() bool { return r.Int("EXISTS", QueueKey(groupQueue, "g:slow 2")) == 0 })
	s.Shutdown()
	equal(t, "aggregated before the end", fmt.Sprint(sums(t, r)["slow 2"]), "[[p]]")
	IsWell(t, r)
}
