package interop

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	"github.com/hibiken/asynq/internal/rdb"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// now is where the clocks of both brokers stand still. Real time matters for expiries, so it is near.
var now = time.Now().Truncate(time.Second).Add(123456789 * time.Nanosecond)

var n = now.Unix()

// broker is one library's set of transitions, on a Redis of its own.
type broker interface {
	redis() *Redis
	dequeue(queues ...string) (id string)
	settle(way string, message *base.TaskMessage, at time.Time, text string) error
	forward(queues ...string)
	expire(queue string, batch int)
	extendLease(queue string, ids ...string)
	listExpired(queue string, cutoff int64) []string
}

// ---- Go's ----

type goBroker struct {
	t *testing.T
	r *Redis
	*rdb.RDB
}

func newGoBroker(t *testing.T) broker {
	r := StartRedis(t)
	return &goBroker{t, r, GoBroker(r, now)}
}

func (b *goBroker) redis() *Redis { return b.r }

func (b *goBroker) dequeue(queues ...string) string {
	message, _, err := b.Dequeue(queues...)
	if err != nil {
		return ""
	}
	return message.ID
}

func (b *goBroker) settle(way string, message *base.TaskMessage, at time.Time, text string) error {
	switch way {
	case "done":
		return b.Done(Ctx, message)
	case "complete":
		return b.MarkAsComplete(Ctx, message)
	case "retry", "again":
		return b.Retry(Ctx, message, at, text, way == "retry")
	case "archive":
		return b.Archive(Ctx, message, text)
	default:
		return b.Requeue(Ctx, message)
	}
}

func (b *goBroker) forward(queues ...string) {
	if err := b.ForwardIfReady(queues...); err != nil {
		b.t.Error(err)
	}
}

func (b *goBroker) expire(queue string, batch int) {
	if err := b.DeleteExpiredCompletedTasks(queue, batch); err != nil {
		b.t.Error(err)
	}
}

func (b *goBroker) extendLease(queue string, ids ...string) {
	if _, err := b.ExtendLease(queue, ids...); err != nil {
		b.t.Error(err)
	}
}

func (b *goBroker) listExpired(queue string, cutoff int64) []string {
	messages, err := b.ListLeaseExpired(time.Unix(cutoff, 0), queue)
	if err != nil {
		b.t.Error(err)
	}
	var ids []string
	for _, message := range messages {
		ids = append(ids, message.ID)
	}
	return ids
}

// ---- ours ----

type cBroker struct {
	t    *testing.T
	r    *Redis
	peer *Peer
}

func newCBroker(t *testing.T) broker {
	r := StartRedis(t)
	b := &cBroker{t, r, StartPeer(t, r.URI())}
	b.peer.Freeze(now)
	return b
}

func (b *cBroker) redis() *Redis { return b.r }

func reply(answer M) []any {
	list, _ := answer["reply"].([]any)
	return list
}

func (b *cBroker) dequeue(queues ...string) string {
	for _, queue := range queues {
		if taken := reply(b.peer.Must("lease", M{"queue": queue})); len(taken) > 1 {
			return taken[1].(string)
		}
	}
	return ""
}

func (b *cBroker) settle(way string, message *base.TaskMessage, at time.Time, text string) error {
	answer := b.peer.Must("settle", M{"way": way, "queue": message.Queue, "at": at.Unix(), "error": text,
		"msg": hex.EncodeToString([]byte(Encode(b.t, message)))})
	if result := reply(answer)[0].(json.Number).String(); result != "1" {
		return fmt.Errorf("NOT FOUND (%s)", result)
	}
	return nil
}

func (b *cBroker) forward(queues ...string) {
	for _, queue := range queues {
		b.peer.Must("forward", M{"queue": queue})
	}
}

func (b *cBroker) expire(queue string, batch int) {
	b.peer.Must("expire", M{"queue": queue, "max": batch})
}

func (b *cBroker) extendLease(queue string, ids ...string) {
	b.peer.Must("renew", M{"queue": queue, "ids": ids})
}

func (b *cBroker) listExpired(queue string, cutoff int64) []string {
	var ids []string
	list := reply(b.peer.Must("list_expired", M{"queue": queue, "cutoff": cutoff}))
	for i := 0; i < len(list); i += 4 {
		if list[i+2] != nil {
			ids = append(ids, list[i].(string))
		}
	}
	return ids
}

// ---- seeding ----

func task(id string) *base.TaskMessage {
	return &base.TaskMessage{ID: id, Type: "t", Payload: []byte("p"), Queue: "default", Retry: 25, Timeout: 1800}
}

// put writes a task and makes it a member of a container.
func put(t *testing.T, r *Redis, state string, score int64, message *base.TaskMessage, fields ...any) {
	t.Helper()
	r.Do(append([]any{"HSET", TaskKey(message.Queue, message.ID), "msg", Encode(t, message), "state", state}, fields...)...)
	switch state {
	case "pending":
		r.Do("LPUSH", QueueKey(message.Queue, state), message.ID)
	case "active":
		r.Do("LPUSH", QueueKey(message.Queue, state), message.ID)
		r.Do("ZADD", QueueKey(message.Queue, "lease"), score, message.ID)
	default:
		r.Do("ZADD", QueueKey(message.Queue, state), score, message.ID)
	}
}

func daily(counter string) string {
	return QueueKey("default", counter+":"+now.UTC().Format("2006-01-02"))
}

func list(r *Redis, suffix string) string {
	return fmt.Sprint(r.Strings("LRANGE", QueueKey("default", suffix), 0, -1))
}

func members(r *Redis, suffix string) string {
	return fmt.Sprint(r.Strings("ZRANGE", QueueKey("default", suffix), 0, -1))
}

func exists(r *Redis, key string) bool { return r.Int("EXISTS", key) == 1 }

// both runs one case with each library from the same state and compares the two Redis afterwards, byte for byte.
func both(t *testing.T, test func(t *testing.T, b broker)) {
	compare(t, test, func(t *testing.T, inGo, inC map[string]string) { sameState(t, inGo, inC) })
}

func compare(t *testing.T, test func(*testing.T, broker), check func(t *testing.T, inGo, inC map[string]string)) {
	var inGo, inC map[string]string
	t.Run("go", func(t *testing.T) { b := newGoBroker(t); test(t, b); inGo = b.redis().Snapshot() })
	t.Run("c", func(t *testing.T) { b := newCBroker(t); test(t, b); inC = b.redis().Snapshot() })
	check(t, inGo, inC)
}

// improved runs a case in which ours does better than the reference: each library has its own expectation.
func improved(t *testing.T, test func(t *testing.T, b broker, isOurs bool)) {
	t.Run("go", func(t *testing.T) { test(t, newGoBroker(t), false) })
	t.Run("c", func(t *testing.T) { test(t, newCBroker(t), true) })
}

var ttlOf = regexp.MustCompile(`\(ttl about (\d+) s\)`)

// sameValue: one key may have been written a moment after the other, so their life times can lie on both sides of a step.
func sameValue(a, b string) bool {
	x, y := ttlOf.FindStringSubmatch(a), ttlOf.FindStringSubmatch(b)
	if a == b || x == nil || y == nil {
		return a == b
	}
	seconds, _ := strconv.Atoi(x[1])
	others, _ := strconv.Atoi(y[1])
	return ttlOf.ReplaceAllString(a, "") == ttlOf.ReplaceAllString(b, "") && max(seconds-others, others-seconds) <= 10
}

func sameState(t *testing.T, inGo, inC map[string]string) {
	t.Helper()
	for key, value := range inGo {
		if !sameValue(inC[key], value) {
			t.Errorf("%s differs\n  Go: %s\n  C:  %s", key, value, inC[key])
		}
	}
	for key, value := range inC {
		if _, known := inGo[key]; !known {
			t.Errorf("%s exists only in C: %s", key, value)
		}
	}
}

func TestD2(t *testing.T) {
	runCases(t, map[string]func(t *testing.T){
		"T-01": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "pending", 0, task("A"), "pending_since", now.UnixNano())
				equal(t, "dequeued", b.dequeue("default"), "A")
				equal(t, "pending", list(b.redis(), "pending"), "[]")
				equal(t, "active", list(b.redis(), "active"), "[A]")
				equal(t, "lease", int64(b.redis().Client.ZScore(Ctx, QueueKey("default", "lease"), "A").Val()), n+30)
				equal(t, "pending_since", b.redis().Int("HEXISTS", TaskKey("default", "A"), "pending_since"), 0)
			})
		},
		"T-02": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "pending", 0, task("A"))
				b.redis().Do("SET", QueueKey("default", "paused"), n)
				equal(t, "dequeued", b.dequeue("default"), "")
				equal(t, "pending", list(b.redis(), "pending"), "[A]")
			})
		},
		"T-03": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				message := task("B")
				message.Queue = "low"
				put(t, b.redis(), "pending", 0, message)
				equal(t, "dequeued", b.dequeue("default", "low"), "B")
			})
		},
		"T-04": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				equal(t, "dequeued", b.dequeue("default", "low"), "")
				equal(t, "keys", len(b.redis().Keys()), 0)
			})
		},
		"T-05": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				r := b.redis()
				put(t, r, "active", n+10, task("A"))
				equal(t, "error", b.settle("done", task("A"), now, ""), nil)
				equal(t, "left", exists(r, TaskKey("default", "A")) || exists(r, QueueKey("default", "active")) || exists(r, QueueKey("default", "lease")), false)
				equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "1")
				equal(t, "today", r.Text("GET", daily("processed")), "1")
				equal(t, "expiry", r.ExpiresAt(daily("processed")), n+7776000)
			})
		},
		"T-06": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "active", n+10, task("A"))
				b.redis().Do("SET", daily("processed"), 5)
				b.settle("done", task("A"), now, "")
				equal(t, "today", b.redis().Text("GET", daily("processed")), "6")
				equal(t, "ttl", b.redis().Int("TTL", daily("processed")), -1)
			})
		},
		"T-07": func(t *testing.T) {
			for _, start := range []string{"9223372036854775807", "9223372036854775296", "9223372036854775295"} {
				both(t, func(t *testing.T, b broker) {
					put(t, b.redis(), "active", n+10, task("A"))
					b.redis().Do("SET", QueueKey("default", "processed"), start)
					b.settle("done", task("A"), now, "")
					if start == "9223372036854775807" {
						equal(t, "processed", b.redis().Text("GET", QueueKey("default", "processed")), "1")
					}
				})
			}
		},
		"T-08": func(t *testing.T) { lockCase(t, "A", false) },
		"T-09": func(t *testing.T) { lockCase(t, "B", true) },
		"T-10": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "pending", 0, task("A"))
				if b.settle("done", task("A"), now, "") == nil {
					t.Error("no error")
				}
				equal(t, "processed", exists(b.redis(), QueueKey("default", "processed")), false)
			})
		},
		"T-11": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				message := task("A")
				message.Retention, message.UniqueKey = 3600, "asynq:{default}:unique:t:x"
				put(t, b.redis(), "active", n+10, message, "unique_key", message.UniqueKey)
				b.redis().Do("SET", message.UniqueKey, "A")
				equal(t, "error", b.settle("complete", message, now, ""), nil)
				equal(t, "completed", int64(b.redis().Client.ZScore(Ctx, QueueKey("default", "completed"), "A").Val()), n+3600)
				equal(t, "completed_at", b.redis().Message("default", "A").CompletedAt, n)
				equal(t, "lock", exists(b.redis(), message.UniqueKey), false)
			})
		},
		"T-12": func(t *testing.T) { retryCase(t, "retry", 3) },
		"T-13": func(t *testing.T) { retryCase(t, "again", 2) },
		"T-14": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				message := task("A")
				message.Retried = 2
				put(t, b.redis(), "active", n+10, message)
				equal(t, "error", b.settle("archive", message, now, "e"), nil)
				equal(t, "archived", int64(b.redis().Client.ZScore(Ctx, QueueKey("default", "archived"), "A").Val()), n)
				equal(t, "retried", b.redis().Message("default", "A").Retried, 2)
				equal(t, "error_msg", b.redis().Message("default", "A").ErrorMsg, "e")
				equal(t, "failed", b.redis().Text("GET", QueueKey("default", "failed")), "1")
			})
		},
		"T-15": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				fillArchive(t, b.redis(), 9999)
				archiveOne(t, b)
				equal(t, "size", b.redis().Int("ZCARD", QueueKey("default", "archived")), 9999)
				equal(t, "oldest", exists(b.redis(), TaskKey("default", "old-0")), false)
			})
		},
		"T-16": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				days := int64(24 * 3600)
				put(t, b.redis(), "archived", n-91*days, task("X"))
				put(t, b.redis(), "archived", n-90*days, task("Y"))
				put(t, b.redis(), "archived", n-90*days+1, task("Z"))
				archiveOne(t, b)
				equal(t, "archived", members(b.redis(), "archived"), "[Z A]")
				equal(t, "hashes", exists(b.redis(), TaskKey("default", "X")) || exists(b.redis(), TaskKey("default", "Y")), false)
			})
		},
		"T-17": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				b.redis().Do("SET", QueueKey("default", "processed"), "9223372036854775807")
				b.redis().Do("SET", QueueKey("default", "failed"), 9)
				archiveOne(t, b)
				equal(t, "processed", b.redis().Text("GET", QueueKey("default", "processed")), "1")
				equal(t, "failed", b.redis().Text("GET", QueueKey("default", "failed")), "1")
			})
		},
		"T-18": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "pending", 0, task("P"))
				put(t, b.redis(), "active", n+10, task("A"))
				equal(t, "error", b.settle("requeue", task("A"), now, ""), nil)
				equal(t, "pending", list(b.redis(), "pending"), "[P A]")
				equal(t, "processed", exists(b.redis(), QueueKey("default", "processed")), false)
				equal(t, "next", b.dequeue("default"), "A")
			})
		},
		"T-19": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				for id, score := range map[string]int64{"A": n - 1, "B": n, "C": n + 1} {
					put(t, b.redis(), "scheduled", score, task(id))
				}
				b.forward("default")
				equal(t, "pending", list(b.redis(), "pending"), "[B A]")
				equal(t, "scheduled", members(b.redis(), "scheduled"), "[C]")
				equal(t, "pending_since", b.redis().Text("HGET", TaskKey("default", "A"), "pending_since"), fmt.Sprint(now.UnixNano()))
				equal(t, "first", b.dequeue("default"), "A")
			})
		},
		"T-20": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				for i := range 250 {
					put(t, b.redis(), "scheduled", n-int64(i), task(fmt.Sprint("id", i)))
				}
				b.forward("default")
				equal(t, "pending", b.redis().Int("LLEN", QueueKey("default", "pending")), 250)
			})
		},
		"T-21": func(t *testing.T) {
			improved(t, func(t *testing.T, b broker, isOurs bool) {
				message := task("R")
				message.GroupKey = "g"
				put(t, b.redis(), "retry", n, message, "group", "g")
				b.forward("default")
				equal(t, "group", int64(b.redis().Client.ZScore(Ctx, QueueKey("default", "g:g"), "R").Val()), n)
				equal(t, "state", b.redis().Text("HGET", TaskKey("default", "R"), "state"), "aggregating")
				equal(t, "pending", exists(b.redis(), QueueKey("default", "pending")), false)
				equal(t, "g in groups", b.redis().Int("SISMEMBER", QueueKey("default", "groups"), "g") == 1, isOurs)
			})
		},
		"T-22": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "retry", n, task("R"), "group", "")
				b.forward("default")
				equal(t, "pending", list(b.redis(), "pending"), "[R]")
			})
		},
		"T-23": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "completed", n, task("A"))
				put(t, b.redis(), "completed", n+1, task("B"))
				b.expire("default", 100)
				equal(t, "completed", members(b.redis(), "completed"), "[B]")
				equal(t, "hash of A", exists(b.redis(), TaskKey("default", "A")), false)
			})
		},
		"T-24": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				b.redis().Do("ZADD", QueueKey("default", "lease"), n+5, "A")
				b.extendLease("default", "A", "B")
				equal(t, "lease", int64(b.redis().Client.ZScore(Ctx, QueueKey("default", "lease"), "A").Val()), n+30)
				equal(t, "members", members(b.redis(), "lease"), "[A]")
			})
		},
		"T-25": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				for id, score := range map[string]int64{"A": n - 31, "B": n - 29, "C": n - 30} {
					put(t, b.redis(), "active", score, task(id))
				}
				b.redis().Do("DEL", QueueKey("default", "active")) // in random order; not looked at
				equal(t, "expired", fmt.Sprint(b.listExpired("default", n-30)), "[A C]")
			})
		},
		"T-26": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				b.redis().Do("ZADD", QueueKey("default", "lease"), n-100, "X")
				equal(t, "expired", fmt.Sprint(b.listExpired("default", n-30)), "[]")
			})
		},
		"T-27": resultCase,
		"T-28": func(t *testing.T) {
			improved(t, func(t *testing.T, b broker, isOurs bool) {
				put(t, b.redis(), "active", n+10, task("A"))
				b.redis().Do("DEL", QueueKey("default", "lease"))
				before := fmt.Sprint(b.redis().Snapshot())
				if b.settle("done", task("A"), now, "") == nil {
					t.Error("no error")
				}
				equal(t, "nothing changed", fmt.Sprint(b.redis().Snapshot()) == before, isOurs)
			})
		},
		"T-29": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				fillArchive(t, b.redis(), 10050)
				archiveOne(t, b)
				equal(t, "size", b.redis().Int("ZCARD", QueueKey("default", "archived")), 9999)
				equal(t, "52nd oldest", exists(b.redis(), TaskKey("default", "old-51")), false)
				equal(t, "53rd oldest", exists(b.redis(), TaskKey("default", "old-52")), true)
			})
		},
		"T-30": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				put(t, b.redis(), "active", n+10, task("A"), "result", "r", "foo", "bar")
				b.settle("retry", task("A"), now.Add(time.Minute), "e")
				equal(t, "result", b.redis().Text("HGET", TaskKey("default", "A"), "result"), "r")
				equal(t, "foo", b.redis().Text("HGET", TaskKey("default", "A"), "foo"), "bar")
			})
		},
		"T-31": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				b.redis().Do("SET", QueueKey("default", "paused"), n)
				put(t, b.redis(), "scheduled", n, task("A"))
				b.forward("default")
				equal(t, "pending", list(b.redis(), "pending"), "[A]")
			})
		},
		"T-32": func(t *testing.T) {
			both(t, func(t *testing.T, b broker) {
				for _, id := range []string{"A", "B"} {
					put(t, b.redis(), "active", n+10, task(id))
					b.redis().Do("DEL", TaskKey("default", id))
				}
				equal(t, "retry", b.settle("retry", task("A"), now.Add(time.Minute), "e"), nil)
				equal(t, "requeue", b.settle("requeue", task("B"), now, ""), nil)
				equal(t, "state", b.redis().Text("HGET", TaskKey("default", "A"), "state"), "retry")
				equal(t, "fields", b.redis().Int("HLEN", TaskKey("default", "B")), 1)
			})
		},
	})
}

func lockCase(t *testing.T, holder string, remains bool) {
	both(t, func(t *testing.T, b broker) {
		message := task("A")
		message.UniqueKey = "asynq:{default}:unique:t:x"
		put(t, b.redis(), "active", n+10, message, "unique_key", message.UniqueKey)
		b.redis().Do("SET", message.UniqueKey, holder)
		equal(t, "error", b.settle("done", message, now, ""), nil)
		equal(t, "lock", exists(b.redis(), message.UniqueKey), remains)
	})
}

func retryCase(t *testing.T, way string, retried int32) {
	both(t, func(t *testing.T, b broker) {
		message := task("A")
		message.Retried = 2
		put(t, b.redis(), "active", n+10, message)
		equal(t, "error", b.settle(way, message, now.Add(time.Minute), "e"), nil)
		equal(t, "retry", int64(b.redis().Client.ZScore(Ctx, QueueKey("default", "retry"), "A").Val()), n+60)
		stored := b.redis().Message("default", "A")
		equal(t, "retried", stored.Retried, retried)
		equal(t, "error_msg", stored.ErrorMsg, "e")
		equal(t, "last_failed_at", stored.LastFailedAt, n)
		equal(t, "counted", exists(b.redis(), QueueKey("default", "failed")), way == "retry")
		equal(t, "processed", exists(b.redis(), QueueKey("default", "processed")), way == "retry")
	})
}

func fillArchive(t *testing.T, r *Redis, count int) {
	t.Helper()
	pipe := r.Client.Pipeline()
	for i := range count {
		id := fmt.Sprint("old-", i)
		pipe.HSet(Ctx, TaskKey("default", id), "msg", Encode(t, task(id)), "state", "archived")
		pipe.Do(Ctx, "ZADD", QueueKey("default", "archived"), n-100000+int64(i), id)
	}
	if _, err := pipe.Exec(Ctx); err != nil {
		t.Fatal(err)
	}
}

func archiveOne(t *testing.T, b broker) {
	t.Helper()
	put(t, b.redis(), "active", n+10, task("A"))
	equal(t, "error", b.settle("archive", task("A"), now, "e"), nil)
	equal(t, "A is archived", strings.Contains(members(b.redis(), "archived"), "A"), true)
}

// T-27: the result of an active task. Ours is written together with the outcome, so a server has to run.
func resultCase(t *testing.T) {
	Servers(t, func(t *testing.T, kind string) {
		r := StartRedis(t)
		e := NewGoEnqueuer(t, r)
		done := enqueueOK(t, e, Task{Type: "t", Payload: Wish{Result: "r"}.Payload(), Own: Options{Retention: P(time.Hour)}})
		failed := enqueueOK(t, e, Task{Type: "t", Payload: Wish{Do: "fail", Result: "part"}.Payload()})
		StartServer(t, kind, r, ServerOptions{})
		Eventually(t, 5*time.Second, "both tasks to end", func() bool {
			return r.Int("ZCARD", QueueKey("default", "completed")) == 1 && r.Int("ZCARD", QueueKey("default", "retry")) == 1
		})
		equal(t, "result", r.Text("HGET", TaskKey("default", done.ID), "result"), "r")
		equal(t, "result of the failed one", r.Text("HGET", TaskKey("default", failed.ID), "result"), "part")
	})
}
