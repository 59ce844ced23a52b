// Package interop compares our library with Go's Asynq: spec, appendix D, and byte for byte.
package interop

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const (
	pending     = 2
	scheduled   = 3
	aggregating = 7
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func contains(t *testing.T, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: %q does not contain %q", what, text, part)
	}
}

func simple(own Options) Task { return Task{Type: "t", Payload: P("p"), Own: own} }

// message enqueues one task and returns what stands in Redis.
func enqueueOK(t *testing.T, e Enqueuer, task Task) Enqueued {
	t.Helper()
	result := e.Enqueue(task)
	if result.Class != "" {
		t.Fatalf("enqueue: %s: %s", result.Class, result.Text)
	}
	return result
}

func queueOf(task Task) string {
	if task.Own.Queue != nil {
		return *task.Own.Queue
	}
	return "default"
}

// limits checks timeout and deadline of the stored message.
func limits(t *testing.T, own Options, timeout, deadline int64) {
	Enqueuers(t, func(t *testing.T, e Enqueuer) {
		result := enqueueOK(t, e, simple(own))
		message := e.Redis().Message("default", result.ID)
		equal(t, "timeout", message.Timeout, timeout)
		equal(t, "deadline", message.Deadline, deadline)
	})
}

// roundedLimits is the same for a timeout that Go cuts to seconds and we round up to them.
func roundedLimits(t *testing.T, own Options, inGo, inC int64) {
	Enqueuers(t, func(t *testing.T, e Enqueuer) {
		result := enqueueOK(t, e, simple(own))
		want := map[string]int64{"go": inGo, "c": inC}[e.Name()]
		equal(t, "timeout", e.Redis().Message("default", result.ID).Timeout, want)
		equal(t, "reported", result.Timeout, time.Duration(want)*time.Second)
	})
}

// D1 holds the cases of appendix D.1, each run with Go's client and with ours where Go 0.26 has the feature.
func TestD1(t *testing.T) {
	now := time.Now()
	inSeconds := func(n int) time.Time { return time.Unix(now.Unix()+int64(n), 0) } // which needs no rounding
	cases := map[string]func(t *testing.T){
		"C-01": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				result := enqueueOK(t, e, simple(Options{}))
				r := e.Redis()
				if !uuid4.MatchString(result.ID) {
					t.Errorf("id %q is not a UUID v4", result.ID)
				}
				equal(t, "queues", fmt.Sprint(r.Strings("SMEMBERS", "asynq:queues")), "[default]")
				equal(t, "pending", fmt.Sprint(r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1)), "["+result.ID+"]")
				equal(t, "fields", r.Int("HLEN", TaskKey("default", result.ID)), 3)
				equal(t, "state", r.Text("HGET", TaskKey("default", result.ID), "state"), "pending")
				equal(t, "digits of pending_since", len(r.Text("HGET", TaskKey("default", result.ID), "pending_since")), 19)
				message := r.Message("default", result.ID)
				equal(t, "retry", message.Retry, 25)
				equal(t, "timeout", message.Timeout, 1800)
				equal(t, "deadline", message.Deadline, 0)
			})
		},
		"C-02": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				enqueueOK(t, e, simple(Options{ID: P("A")}))
				enqueueOK(t, e, simple(Options{ID: P("B")}))
				equal(t, "pending", fmt.Sprint(e.Redis().Strings("LRANGE", QueueKey("default", "pending"), 0, -1)), "[B A]")
				broker := GoBroker(e.Redis(), now)
				message, _, err := broker.Dequeue("default")
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "first", message.ID, "A")
			})
		},
		"C-03": func(t *testing.T) { limits(t, Options{Timeout: P(time.Minute)}, 60, 0) },
		"C-04": func(t *testing.T) { limits(t, Options{Deadline: P(inSeconds(100))}, 0, inSeconds(100).Unix()) },
		"C-05": func(t *testing.T) {
			limits(t, Options{Timeout: P(time.Minute), Deadline: P(inSeconds(100))}, 60, inSeconds(100).Unix())
		},
		// Improved: Go cuts the fraction off, so that half a second becomes none at all, and then 30 minutes.
		"C-06": func(t *testing.T) { roundedLimits(t, Options{Timeout: P(500 * time.Millisecond)}, 0, 1) },
		"C-07": func(t *testing.T) { roundedLimits(t, Options{Timeout: P(90900 * time.Millisecond)}, 90, 91) },
		"C-08": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				result := enqueueOK(t, e, simple(Options{MaxRetry: P(-5)}))
				equal(t, "retry", e.Redis().Message("default", result.ID).Retry, 0)
			})
		},
		"C-09": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				task := simple(Options{MaxRetry: P(3)})
				task.Call = &Options{MaxRetry: P(7)}
				result := enqueueOK(t, e, task)
				equal(t, "retry", e.Redis().Message("default", result.ID).Retry, 7)
			})
		},
		"C-10": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				before := time.Now()
				result := enqueueOK(t, e, simple(Options{ProcessIn: P(time.Hour)}))
				after := time.Now()
				r := e.Redis()
				score := r.Client.ZScore(Ctx, QueueKey("default", "scheduled"), result.ID).Val()
				if int64(score) < before.Unix()+3600 || int64(score) > after.Unix()+3600 {
					t.Errorf("score %f is not an hour ahead", score)
				}
				if e.Name() == "c" { // improved: to the millisecond, as it is reported
					equal(t, "score in ms", int64(math.Round(score*1000)), result.NextProcessAt.UnixMilli())
				}
				equal(t, "fields", r.Int("HLEN", TaskKey("default", result.ID)), 2)
				equal(t, "state", r.Text("HGET", TaskKey("default", result.ID), "state"), "scheduled")
				equal(t, "pending", r.Int("LLEN", QueueKey("default", "pending")), 0)
			})
		},
		"C-11": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				result := enqueueOK(t, e, simple(Options{ProcessAt: P(now.Add(-10 * time.Second))}))
				equal(t, "state", result.State, pending)
				if age := time.Since(result.NextProcessAt); age < -time.Second || age > 5*time.Second {
					t.Errorf("next process time is %v ago, want now", age)
				}
			})
		},
		"C-12": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				task := simple(Options{ProcessIn: P(time.Hour)})
				task.Call = &Options{ProcessAt: P(now.Add(-time.Second))}
				equal(t, "state", enqueueOK(t, e, task).State, pending)
			})
		},
		"C-13": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				before := time.Now().Unix()
				result := enqueueOK(t, e, simple(Options{Group: P("g")}))
				r := e.Redis()
				score := int64(r.Client.ZScore(Ctx, QueueKey("default", "g:g"), result.ID).Val())
				if score < before || score > time.Now().Unix() {
					t.Errorf("score %d is not now", score)
				}
				equal(t, "groups", fmt.Sprint(r.Strings("SMEMBERS", QueueKey("default", "groups"))), "[g]")
				equal(t, "fields", r.Int("HLEN", TaskKey("default", result.ID)), 3)
				equal(t, "state", r.Text("HGET", TaskKey("default", result.ID), "state"), "aggregating")
				equal(t, "group", r.Text("HGET", TaskKey("default", result.ID), "group"), "g")
				equal(t, "state reported", result.State, aggregating)
				equal(t, "next process time is zero", result.NextProcessAt.IsZero(), true)
			})
		},
		"C-14": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				result := enqueueOK(t, e, simple(Options{Group: P("g"), ProcessIn: P(time.Hour)}))
				r := e.Redis()
				equal(t, "state", result.State, scheduled)
				equal(t, "scheduled", r.Int("ZCARD", QueueKey("default", "scheduled")), 1)
				equal(t, "has field group", r.Int("HEXISTS", TaskKey("default", result.ID), "group"), 0)
				equal(t, "group_key", r.Message("default", result.ID).GroupKey, "g")
				equal(t, "groups", r.Int("EXISTS", QueueKey("default", "groups")), 0)
			})
		},
		"C-15": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				enqueueOK(t, e, simple(Options{ID: P("x")}))
				before := fmt.Sprint(e.Redis().Snapshot())
				task := simple(Options{ID: P("x")})
				task.Payload = P("other")
				result := e.Enqueue(task)
				equal(t, "class", result.Class, "conflict")
				contains(t, "text", result.Text, "task ID conflicts with another task")
				equal(t, "state of Redis", fmt.Sprint(e.Redis().Snapshot()), before)
			})
		},
		"C-16": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				enqueueOK(t, e, simple(Options{ID: P("x")}))
				enqueueOK(t, e, simple(Options{ID: P("x"), Queue: P("low")}))
			})
		},
		"C-17": func(t *testing.T) { Enqueuers(t, uniqueTask) },
		"C-18": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				uniqueTask(t, e)
				result := e.Enqueue(emailTask(Options{Unique: P(time.Minute)}))
				equal(t, "class", result.Class, "duplicate")
				contains(t, "text", result.Text, "task already exists")
				equal(t, "queue length", e.Redis().Int("LLEN", QueueKey("default", "pending")), 1)
			})
		},
		"C-19": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				uniqueTask(t, e)
				enqueueOK(t, e, emailTask(Options{Unique: P(time.Minute), Queue: P("low")}))
			})
		},
		"C-20": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				task := Task{Type: "reindex", Own: Options{Unique: P(time.Minute)}}
				enqueueOK(t, e, task)
				task.Payload = P("")
				enqueueOK(t, e, task)
				r := e.Redis()
				equal(t, "lock without payload", r.Int("EXISTS", "asynq:{default}:unique:reindex:"), 1)
				equal(t, "lock of an empty payload",
					r.Int("EXISTS", "asynq:{default}:unique:reindex:d41d8cd98f00b204e9800998ecf8427e"), 1)
			})
		},
		"C-21": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				enqueueOK(t, e, emailTask(Options{Unique: P(time.Minute), ProcessIn: P(100 * time.Second)}))
				ttl := e.Redis().Int("TTL", emailLock)
				if ttl != 159 && ttl != 160 {
					t.Errorf("lock lives %d s, want 159 or 160", ttl)
				}
			})
		},
		"C-22": func(t *testing.T) {
			refused(t, simple(Options{Unique: P(500 * time.Millisecond)}), "Unique TTL cannot be less than 1s")
		},
		"C-23": func(t *testing.T) { refused(t, Task{Type: "  "}, "task typename cannot be empty") },
		"C-24": func(t *testing.T) {
			refused(t, simple(Options{Queue: P(" ")}), "queue name must contain one or more characters")
			refused(t, simple(Options{ID: P("")}), "task ID cannot be empty")
			refused(t, simple(Options{Group: P("\t")}), "group key cannot be empty")
		},
		"C-25": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				enqueueOK(t, e, simple(Options{ID: P("x")}))
				result := e.Enqueue(emailTask(Options{ID: P("x"), Unique: P(time.Minute)}))
				equal(t, "class", result.Class, "conflict")
				if e.Name() == "c" { // improved: no lock is left behind
					equal(t, "lock", e.Redis().Int("EXISTS", emailLock), 0)
				}
			})
		},
		"C-26": func(t *testing.T) {
			e := NewCEnqueuer(t, StartRedis(t))
			task := simple(Options{Headers: map[string]string{"a": "1", "b": "2"}})
			task.Call = &Options{Headers: map[string]string{"b": "3"}}
			result := enqueueOK(t, e, task)
			equal(t, "headers", fmt.Sprint(e.Redis().Message("default", result.ID).Headers), "map[a:1 b:3]")
		},
		"C-27": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				result := enqueueOK(t, e, simple(Options{Retention: P(90500 * time.Millisecond)}))
				want := map[string]int64{"go": 90, "c": 91}[e.Name()] // improved: never less than asked for
				equal(t, "retention", e.Redis().Message("default", result.ID).Retention, want)
			})
		},
		"C-28": func(t *testing.T) {
			r := StartRedis(t)
			results := batch(t, r, simple(Options{}), Task{Type: " "}, simple(Options{ProcessIn: P(time.Hour)}))
			equal(t, "classes", classes(results), ",error,")
			equal(t, "pending", r.Int("LLEN", QueueKey("default", "pending")), 1)
			equal(t, "scheduled", r.Int("ZCARD", QueueKey("default", "scheduled")), 1)
		},
		"C-29": func(t *testing.T) { // improved: the conflict is reported
			r := StartRedis(t)
			batch(t, r, simple(Options{ID: P("x")}))
			before := r.Text("HGET", TaskKey("default", "x"), "msg")
			other := simple(Options{ID: P("x")})
			other.Payload = P("other")
			results := batch(t, r, other, simple(Options{}), simple(Options{ID: P("z")}), simple(Options{ID: P("z")}))
			equal(t, "classes", classes(results), "conflict,,,conflict")
			equal(t, "message of x", r.Text("HGET", TaskKey("default", "x"), "msg"), before)
			equal(t, "pending", r.Int("LLEN", QueueKey("default", "pending")), 3)
		},
		"C-30": func(t *testing.T) { // improved: a batch takes every kind of task
			r := StartRedis(t)
			results := batch(t, r, simple(Options{Group: P("g")}), emailTask(Options{Unique: P(time.Minute)}),
				emailTask(Options{Unique: P(time.Minute)}))
			equal(t, "classes", classes(results), ",,duplicate")
			equal(t, "group", r.Int("ZCARD", QueueKey("default", "g:g")), 1)
			equal(t, "lock", r.Text("GET", emailLock), results[1].ID)
		},
		"C-31": func(t *testing.T) {
			r := StartRedis(t)
			batch(t, r, simple(Options{ID: P("A")}), simple(Options{ID: P("B")}), simple(Options{ID: P("C")}))
			broker := GoBroker(r, now)
			for _, want := range []string{"A", "B", "C"} {
				message, _, err := broker.Dequeue("default")
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "next", message.ID, want)
			}
		},
		"C-32": func(t *testing.T) {
			r := StartRedis(t)
			r.Do("CONFIG", "RESETSTAT")
			equal(t, "results", len(batch(t, r)), 0)
			equal(t, "keys", len(r.Keys()), 0)
		},
		"C-33": func(t *testing.T) {
			r := StartRedis(t)
			peer := StartPeer(t, r.URI())
			answer := peer.Do("enqueue", M{"task": M{"type": "t", "type_bytes": []int{0x74, 0xff}}})
			equal(t, "status", Status(answer), -1)
			contains(t, "text", answer["error"].(string), "UTF-8")
			equal(t, "keys", len(r.Keys()), 0)
			goClient := NewGoEnqueuer(t, r)
			equal(t, "class in Go", goClient.Enqueue(Task{Type: "t\xff"}).Class, "error")
			equal(t, "keys after Go", len(r.Keys()), 0)
		},
		"C-34": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				for _, state := range []string{"completed", "archived"} {
					e.Redis().Do("HSET", TaskKey("default", state), "msg", "", "state", state)
					e.Redis().Do("ZADD", QueueKey("default", state), 1, state)
					equal(t, state, e.Enqueue(simple(Options{ID: P(state)})).Class, "conflict")
				}
			})
		},
		"C-35": func(t *testing.T) {
			Enqueuers(t, func(t *testing.T, e Enqueuer) {
				r := e.Redis()
				late := Task{Type: "t", Payload: P(`{}`), Own: Options{Timeout: P(-time.Second)}}
				if e.Name() == "c" { // improved: what is over before it begins is refused; Go's tasks end as Go's do
					refusal := e.Enqueue(late)
					equal(t, "class", refusal.Class, "error")
					contains(t, "text", refusal.Text, "timeout_ms is -1000; it cannot be negative")
					e = NewGoEnqueuer(t, r)
				}
				result := enqueueOK(t, e, late)
				equal(t, "timeout", r.Message("default", result.ID).Timeout, -1)
				for _, kind := range []string{"go", "c"} {
					r.Do("DEL", QueueKey("default", "retry"))
					server := StartServer(t, kind, r, ServerOptions{})
					Eventually(t, 10*time.Second, "the task to be retried", func() bool {
						return r.Int("ZCARD", QueueKey("default", "retry")) == 1
					})
					equal(t, "error", r.Message("default", result.ID).ErrorMsg, "context deadline exceeded")
					equal(t, "runs", len(server.Ledger()), 0)
					server.Shutdown()
					r.Do("ZREM", QueueKey("default", "retry"), result.ID)
					r.Do("LPUSH", QueueKey("default", "pending"), result.ID)
					r.Do("HSET", TaskKey("default", result.ID), "state", "pending")
				}
			})
		},
	}
	runCases(t, cases)
}

func runCases(t *testing.T, cases map[string]func(t *testing.T)) {
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

const emailLock = "asynq:{default}:unique:email:send:cfeb4906248f18cb94f202711c2a34cf" // GV-9

func emailTask(own Options) Task { return Task{Type: "email:send", Payload: P(`{"u":1}`), Own: own} }

func uniqueTask(t *testing.T, e Enqueuer) {
	result := enqueueOK(t, e, emailTask(Options{Unique: P(time.Minute)}))
	r := e.Redis()
	equal(t, "lock", r.Text("GET", emailLock), result.ID)
	if ttl := r.Int("TTL", emailLock); ttl < 30 || ttl > 60 { // what has passed since depends on the machine
		t.Errorf("lock lives %d s, want 60", ttl)
	}
	equal(t, "unique_key", r.Text("HGET", TaskKey("default", result.ID), "unique_key"), emailLock)
	equal(t, "field 10", r.Message("default", result.ID).UniqueKey, emailLock)
}

func refused(t *testing.T, task Task, text string) {
	Enqueuers(t, func(t *testing.T, e Enqueuer) {
		result := e.Enqueue(task)
		equal(t, "class", result.Class, "error")
		contains(t, "text", result.Text, text)
		equal(t, "keys", len(e.Redis().Keys()), 0)
	})
}

func batch(t *testing.T, r *Redis, tasks ...Task) []Enqueued {
	t.Helper()
	answer := StartPeer(t, r.URI()).Do("batch", BatchForC(tasks))
	var results []Enqueued
	list, _ := answer["results"].([]any)
	for _, result := range list {
		results = append(results, ReadEnqueued(result.(M)))
	}
	return results
}

func classes(results []Enqueued) string {
	var list []string
	for _, result := range results {
		list = append(list, result.Class)
	}
	return strings.Join(list, ",")
}
