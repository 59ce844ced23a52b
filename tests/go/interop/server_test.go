package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

func wish(w Wish, own Options) Task { return Task{Type: "t", Payload: w.Payload(), Own: own} }

func serverKey(t *testing.T, r *Redis) string {
	t.Helper()
	keys := r.Strings("KEYS", "asynq:servers:{*")
	if len(keys) != 1 {
		t.Fatalf("%d server records", len(keys))
	}
	return keys[0]
}

func workersKey(t *testing.T, r *Redis) string {
	return strings.Replace(serverKey(t, r), "asynq:servers:", "asynq:workers:", 1)
}

func serverInfo(t *testing.T, r *Redis) *base.ServerInfo {
	t.Helper()
	info, err := base.DecodeServerInfo([]byte(r.Text("GET", serverKey(t, r))))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func waitForServer(t *testing.T, r *Redis) {
	t.Helper()
	Eventually(t, 5*time.Second, "the server's record", func() bool {
		return len(r.Strings("KEYS", "asynq:servers:{*")) == 1 && r.Int("ZCARD", "asynq:servers") == 1 // in a cluster they are written one by one
	})
}

func waitIn(t *testing.T, r *Redis, limit time.Duration, state string, count int64) {
	t.Helper()
	Eventually(t, limit, fmt.Sprintf("%d tasks in %s", count, state), func() bool {
		return r.Int("ZCARD", QueueKey("default", state)) == count
	})
}

func waitGone(t *testing.T, r *Redis, id string) {
	t.Helper()
	Eventually(t, 5*time.Second, "the task to be deleted", func() bool { return !exists(r, TaskKey("default", id)) })
}

// eachServer runs a case with a Redis and a Go client for each kind of server.
func eachServer(t *testing.T, test func(t *testing.T, kind string, r *Redis, e Enqueuer)) {
	Servers(t, func(t *testing.T, kind string) {
		r := StartRedis(t)
		test(t, kind, r, NewGoEnqueuer(t, r))
	})
}

func TestD4(t *testing.T) {
	runCases(t, map[string]func(t *testing.T){
		"S-01": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{})
				waitForServer(t, r)
				equal(t, "members", r.Int("ZCARD", "asynq:servers"), 1)
				key := serverKey(t, r)
				Eventually(t, 20*time.Second, "a record that expires in 10 s", func() bool {
					ahead := int64(r.Client.ZScore(Ctx, "asynq:servers", key).Val()) - time.Now().Unix()
					return ahead >= 8 && ahead <= 11
				})
				if ttl := r.Int("TTL", key); ttl < 1 || ttl > 10 {
					t.Errorf("the key lives %d s, want at most 10", ttl)
				}
				equal(t, "status", serverInfo(t, r).Status, "active")
				equal(t, "workers key", exists(r, workersKey(t, r)), false)
			})
		},
		"S-02": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{ShutdownMs: 100})
				waitForServer(t, r)
				result := enqueueOK(t, e, wish(Wish{SleepMs: 60000}, Options{}))
				Eventually(t, 10*time.Second, "the worker's record", func() bool { return exists(r, workersKey(t, r)) })
				fields := r.Client.HGetAll(Ctx, workersKey(t, r)).Val()
				equal(t, "records", len(fields), 1)
				worker, err := base.DecodeWorkerInfo([]byte(fields[result.ID]))
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "task", worker.ID, result.ID)
				equal(t, "queue", worker.Queue, "default")
				if since := time.Since(worker.Started); since < 0 || since > 15*time.Second {
					t.Errorf("started %v ago", since)
				}
				equal(t, "minutes until the deadline", int(worker.Deadline.Sub(worker.Started).Round(time.Minute).Minutes()), 30)
				equal(t, "active workers", serverInfo(t, r).ActiveWorkerCount, 1)
				lease := int64(r.Client.ZScore(Ctx, QueueKey("default", "lease"), result.ID).Val())
				if ahead := lease - time.Now().Unix(); ahead < 24 || ahead > 31 {
					t.Errorf("the lease ends in %d s", ahead)
				}
			})
		},
		"S-03": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				waitForServer(t, r)
				s.Stop()
				time.Sleep(6 * time.Second)
				equal(t, "status", serverInfo(t, r).Status, "stopped")
				enqueueOK(t, e, wish(Wish{}, Options{}))
				time.Sleep(time.Second)
				equal(t, "pending", r.Int("LLEN", QueueKey("default", "pending")), 1)
			})
		},
		"S-04": func(t *testing.T) { // by signal for ours in TestSignals; here the call
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				waitForServer(t, r)
				s.Terminate()
				equal(t, "keys", len(r.Strings("KEYS", "asynq:servers*"))+len(r.Strings("KEYS", "asynq:workers*")), 0)
			})
		},
		"S-05": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{ShutdownMs: 1000, Concurrency: 1})
				result := enqueueOK(t, e, wish(Wish{SleepMs: 60000}, Options{}))
				Eventually(t, 5*time.Second, "the task to run", func() bool { return len(s.Ledger()) == 1 })
				enqueueOK(t, e, wish(Wish{}, Options{}))
				s.Terminate()
				ids := r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1)
				equal(t, "pending", len(ids), 2)
				equal(t, "rightmost", ids[len(ids)-1], result.ID)
				equal(t, "state", r.Text("HGET", TaskKey("default", result.ID), "state"), "pending")
				equal(t, "leases", exists(r, QueueKey("default", "lease")), false)
				equal(t, "retried", r.Message("default", result.ID).Retried, 0)
			})
		},
		"S-06": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{})
				result := enqueueOK(t, e, wish(Wish{Do: "fail"}, Options{MaxRetry: P(3)}))
				waitIn(t, r, 5*time.Second, "retry", 1)
				failed := r.Message("default", result.ID)
				score := int64(r.Client.ZScore(Ctx, QueueKey("default", "retry"), result.ID).Val())
				if delay := score - failed.LastFailedAt; delay < 15 || delay > 45 {
					t.Errorf("retried after %d s, want 15 to 44", delay)
				}
				equal(t, "retried", failed.Retried, 1)
				equal(t, "error", failed.ErrorMsg, "failed as told")
			})
		},
		"S-07": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				enqueueOK(t, e, wish(Wish{Do: "fail"}, Options{MaxRetry: P(0)}))
				waitIn(t, r, 5*time.Second, "archived", 1)
				count := 0
				for _, note := range s.Notes() {
					if strings.HasPrefix(note, "error ") {
						count++
					}
				}
				equal(t, "calls of the error handler", count, 1)
			})
		},
		"S-08": func(t *testing.T) { archivedAtOnce(t, Wish{Do: "skip", Text: "no good: skip"}, "no good: skip") },
		"S-09": func(t *testing.T) { revoked(t, Wish{Do: "revoke"}, Options{Retention: P(time.Hour)}) },
		"S-10": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{NotFailures: []string{"later"}})
				result := enqueueOK(t, e, wish(Wish{Do: "fail", Text: "later"}, Options{}))
				waitIn(t, r, 5*time.Second, "retry", 1)
				equal(t, "retried", r.Message("default", result.ID).Retried, 0)
				equal(t, "counted", exists(r, QueueKey("default", "processed")), false)
			})
		},
		"S-11": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{NotFailures: []string{"later"}})
				enqueueOK(t, e, wish(Wish{Do: "fail", Text: "later"}, Options{MaxRetry: P(0)}))
				waitIn(t, r, 5*time.Second, "archived", 1)
				equal(t, "failed", r.Text("GET", QueueKey("default", "failed")), "1")
			})
		},
		"S-12": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				result := enqueueOK(t, e, wish(Wish{}, Options{Deadline: P(time.Now().Add(-time.Minute))}))
				waitIn(t, r, 5*time.Second, "retry", 1)
				equal(t, "error", r.Message("default", result.ID).ErrorMsg, "context deadline exceeded")
				equal(t, "runs", len(s.Ledger()), 0)
			})
		},
		"S-13": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				result := enqueueOK(t, e, wish(Wish{SleepMs: 60000}, Options{}))
				Eventually(t, 5*time.Second, "the task to run", func() bool { return len(s.Ledger()) == 1 })
				Eventually(t, 5*time.Second, "the subscription", func() bool {
					return r.Int("PUBLISH", "asynq:cancel", result.ID) > 0
				})
				waitIn(t, r, 5*time.Second, "retry", 1)
				equal(t, "error", r.Message("default", result.ID).ErrorMsg, "context canceled")
				Eventually(t, 5*time.Second, "the handler to notice", func() bool { return HasNote(s.Notes(), "cancelled") })
			})
		},
		"S-14": func(t *testing.T) { deadServer(t, 0, "retry") },
		"S-15": func(t *testing.T) { deadServer(t, 25, "archived") },
		"S-16": func(t *testing.T) {
			shares(t, false, func(t *testing.T, order []string) {
				count := map[string]int{}
				for _, queue := range order[:1000] {
					count[queue]++
				}
				for queue, want := range map[string]int{"a": 600, "b": 300, "c": 100} {
					if count[queue] < want-80 || count[queue] > want+80 {
						t.Errorf("queue %s got %d of 1000, want about %d", queue, count[queue], want)
					}
				}
			})
		},
		"S-17": func(t *testing.T) {
			shares(t, true, func(t *testing.T, order []string) {
				for i, queue := range order[:1000] {
					if queue != "a" {
						t.Fatalf("task %d came from %s", i, queue)
					}
				}
			})
		},
		"S-18": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{Queues: map[string]int{"a": 10, "b": 5}})
				waitForServer(t, r)
				equal(t, "queues", fmt.Sprint(serverInfo(t, r).Queues), "map[a:10 b:5]")
			})
		},
		"S-19": func(t *testing.T) { // our counterpart of a panic kills the process: system.TestKilledWorker
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				enqueueOK(t, e, wish(Wish{Do: "fail", Text: "panic error cause by: panic: boom"}, Options{}))
				enqueueOK(t, e, wish(Wish{Do: "unheard of"}, Options{}))
				waitIn(t, r, 5*time.Second, "retry", 1)
				Eventually(t, 5*time.Second, "the other task", func() bool { return len(Starts(s.Ledger())) == 2 })
			})
		},
		"S-20": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				message := &base.TaskMessage{ID: "x", Type: "deadline", Queue: "default", Retry: 25}
				put(t, r, "pending", 0, message) // neither timeout nor deadline, and no pending_since
				var notes []string
				Eventually(t, 5*time.Second, "the task to run", func() bool {
					notes = append(notes, s.Notes()...)
					return HasNote(notes, "deadline ")
				})
				var left int64
				for _, note := range notes {
					fmt.Sscanf(note, "deadline %d", &left)
				}
				if left < 1795000 || left > 1800000 {
					t.Errorf("the deadline is %d ms ahead, want 1800 s", left)
				}
			})
		},
		"S-21": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				StartServer(t, kind, r, ServerOptions{})
				result := enqueueOK(t, e, wish(Wish{Result: "r"}, Options{Retention: P(60 * time.Second)}))
				waitIn(t, r, 5*time.Second, "completed", 1)
				equal(t, "result", r.Text("HGET", TaskKey("default", result.ID), "result"), "r")
				time.Sleep(55 * time.Second)
				equal(t, "still there", exists(r, TaskKey("default", result.ID)), true)
				waitIn(t, r, 20*time.Second, "completed", 0)
				equal(t, "hash", exists(r, TaskKey("default", result.ID)), false)
			})
		},
		"S-22": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				running := enqueueOK(t, e, wish(Wish{SleepMs: 2000}, Options{}))
				Eventually(t, 5*time.Second, "the task to run", func() bool { return len(s.Ledger()) == 1 })
				inspector := asynq.NewInspector(r.Opt())
				defer inspector.Close()
				if err := inspector.PauseQueue("default"); err != nil {
					t.Fatal(err)
				}
				waiting := enqueueOK(t, e, wish(Wish{}, Options{}))
				waitGone(t, r, running.ID)
				time.Sleep(2 * time.Second)
				equal(t, "pending", list(r, "pending"), "["+waiting.ID+"]")
				inspector.UnpauseQueue("default")
				waitGone(t, r, waiting.ID)
			})
		},
		"S-23": func(t *testing.T) {
			for _, kinds := range [][]string{{"go", "go"}, {"c", "c"}, {"go", "c"}} {
				r := StartRedis(t)
				e := NewGoEnqueuer(t, r)
				path := r.Dir + "/ledger"
				for _, kind := range kinds {
					StartServer(t, kind, r, ServerOptions{LedgerPath: path})
				}
				waitTwoServers(t, r)
				for range 50 {
					result := enqueueOK(t, e, wish(Wish{}, Options{}))
					waitGone(t, r, result.ID)
				}
				for id, count := range Starts(ReadLedger(t, path)) {
					equal(t, "runs of "+id, count, 1)
				}
			}
		},
		"S-24": func(t *testing.T) {
			s := StartServer(t, "c", StartRedis(t), ServerOptions{}).(*CServer)
			again := s.Do("server.start_again", nil)
			contains(t, "second start", again["error"].(string), "already running")
			s.Stop()
			contains(t, "start when stopped", s.Do("server.start_again", nil)["error"].(string), "stopped state")
			s.Shutdown()
			contains(t, "start after shutdown", s.Do("server.start_again", nil)["error"].(string), "Server closed")

			// The texts are Go's own.
			inGo := asynq.NewServer(StartRedis(t).Opt(), asynq.Config{LogLevel: asynq.FatalLevel})
			start := func() string { return fmt.Sprint(inGo.Start(asynq.NewServeMux())) }
			equal(t, "first start in Go", start(), "<nil>")
			contains(t, "second start in Go", start(), "already running")
			inGo.Stop()
			contains(t, "start when stopped in Go", start(), "stopped state")
			inGo.Shutdown()
			contains(t, "start after shutdown in Go", start(), "Server closed")
		},
		"S-25": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{})
				for _, name := range []string{"email:welcome:vip", "emails"} {
					enqueueOK(t, e, Task{Type: name})
				}
				unknown := enqueueOK(t, e, Task{Type: `sms "x"`})
				waitIn(t, r, 5*time.Second, "retry", 1)
				equal(t, "error", r.Message("default", unknown.ID).ErrorMsg, `handler not found for task "sms \"x\""`)
				var notes []string
				Eventually(t, 5*time.Second, "the handlers", func() bool {
					notes = append(notes, s.Notes()...)
					return HasNote(notes, "email:welcome email:welcome:vip") && HasNote(notes, "email emails")
				})
			})
		},
		"S-26": func(t *testing.T) {
			eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
				s := StartServer(t, kind, r, ServerOptions{Middleware: true, Concurrency: 1})
				for _, name := range []string{"emails", "sms"} {
					var notes []string
					enqueueOK(t, e, Task{Type: name})
					Eventually(t, 5*time.Second, "the middleware", func() bool {
						for _, note := range s.Notes() {
							if !strings.HasPrefix(note, "log ") && !strings.HasPrefix(note, "error ") {
								notes = append(notes, note)
							}
						}
						return HasNote(notes, "after A")
					})
					want := fmt.Sprintf("before A %[1]s,before B %[1]s,email %[1]s,after B %[1]s,after A %[1]s", name)
					if name == "sms" {
						want = strings.Replace(want, "email sms,", "", 1)
					}
					equal(t, "order", strings.Join(notes, ","), want)
				}
			})
		},
		"S-28": leaseCannotBeExtended,
		"S-29": func(t *testing.T) { revoked(t, Wish{Do: "both"}, Options{MaxRetry: P(0)}) },
	})
}

func waitTwoServers(t *testing.T, r *Redis) {
	t.Helper()
	Eventually(t, 5*time.Second, "two servers", func() bool { return r.Int("ZCARD", "asynq:servers") == 2 })
}

func archivedAtOnce(t *testing.T, w Wish, text string) {
	eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
		StartServer(t, kind, r, ServerOptions{})
		result := enqueueOK(t, e, wish(w, Options{}))
		waitIn(t, r, 5*time.Second, "archived", 1)
		equal(t, "error", r.Message("default", result.ID).ErrorMsg, text)
		equal(t, "retried", r.Message("default", result.ID).Retried, 0)
	})
}

func revoked(t *testing.T, w Wish, own Options) {
	eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
		StartServer(t, kind, r, ServerOptions{})
		result := enqueueOK(t, e, wish(w, own))
		waitGone(t, r, result.ID)
		equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "1")
		equal(t, "failed", exists(r, QueueKey("default", "failed")), false)
	})
}

func deadServer(t *testing.T, retried int, state string) {
	eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
		message := task("A")
		message.Retried = retried
		put(t, r, "active", time.Now().Unix()-31, message)
		r.Do("SADD", "asynq:queues", "default")
		s := StartServer(t, kind, r, ServerOptions{RetriesLost: true})
		waitIn(t, r, 5*time.Second, state, 1)
		equal(t, "error", r.Message("default", "A").ErrorMsg, "asynq: task lease expired")
		equal(t, "error handler", HasNote(s.Notes(), "error A"), false)
	})
}

// shares fills three queues and reports the order in which they are served.
func shares(t *testing.T, strict bool, check func(t *testing.T, order []string)) {
	eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
		for _, queue := range []string{"a", "b", "c"} {
			pipe := r.Client.Pipeline()
			for i := range 1100 {
				message := task(fmt.Sprint(queue, i))
				message.Queue, message.Payload = queue, []byte("{}")
				pipe.HSet(Ctx, TaskKey(queue, message.ID), "msg", Encode(t, message), "state", "pending")
				pipe.LPush(Ctx, QueueKey(queue, "pending"), message.ID)
			}
			if _, err := pipe.Exec(Ctx); err != nil {
				t.Fatal(err)
			}
		}
		s := StartServer(t, kind, r, ServerOptions{Queues: map[string]int{"a": 6, "b": 3, "c": 1}, Strict: strict, Concurrency: 1})
		var order []string
		Eventually(t, 60*time.Second, "1000 tasks", func() bool {
			order = nil
			for _, line := range s.Ledger() {
				if line.What == "start" {
					order = append(order, line.Queue)
				}
			}
			return len(order) >= 1000
		})
		check(t, order)
	})
}

// S-28: every extension fails for longer than a lease lasts. A lease set of the wrong type makes each renewal fail without
// taking the task away.
func leaseCannotBeExtended(t *testing.T) {
	eachServer(t, func(t *testing.T, kind string, r *Redis, e Enqueuer) {
		s := StartServer(t, kind, r, ServerOptions{})
		result := enqueueOK(t, e, wish(Wish{SleepMs: 120000}, Options{}))
		Eventually(t, 5*time.Second, "the task to run", func() bool { return len(s.Ledger()) == 1 })
		leases := r.Client.ZRangeWithScores(Ctx, QueueKey("default", "lease"), 0, -1).Val()
		r.Do("DEL", QueueKey("default", "lease"))
		r.Do("SET", QueueKey("default", "lease"), "broken")
		var notes []string
		Eventually(t, 45*time.Second, "the error handler", func() bool {
			notes = append(notes, s.Notes()...)
			return HasNote(notes, "error "+result.ID+" asynq: task lease expired") && HasNote(notes, "cancelled "+result.ID)
		})
		if kind == "c" {
			// Of what goes wrong in a queue one line a minute is logged: whatever needs its leases may have failed first.
			logged := HasNote(notes, "cannot renew leases") || HasNote(notes, "cannot take tasks") || HasNote(notes, "cannot look for lost tasks")
			equal(t, "that the leases cannot be renewed is logged", logged, true)
		}
		r.Do("DEL", QueueKey("default", "lease"))
		r.Client.ZAdd(Ctx, QueueKey("default", "lease"), leases...)
		time.Sleep(time.Second)
		equal(t, "state", r.Text("HGET", TaskKey("default", result.ID), "state"), "active")
		equal(t, "active", list(r, "active"), "["+result.ID+"]")
		equal(t, "processed", exists(r, QueueKey("default", "processed")), false)
	})
}
