package daemon

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// scaleOf is what an asynqd answers to GET /scale, as soon as it knows.
func scaleOf(t testing.TB, d *Daemon) M {
	t.Helper()
	var got M
	Eventually(t, 60*time.Second, "/scale", func() bool {
		status, body := ask(t, "GET", d.URL()+"/scale", "")
		got = object(t, body)
		return status == 200
	})
	return got
}

// queueOf is one of the queues of such an answer.
func queueOf(t testing.TB, scale M, name string) M {
	t.Helper()
	for _, queue := range scale["queues"].([]any) {
		if queue.(M)["queue"] == name {
			return queue.(M)
		}
	}
	t.Fatalf("there is no queue %s: %v", name, scale)
	return nil
}

// TestScale: what /scale tells is what is in Redis, and it asks for more instances when there is more to do than they can.
func TestScale(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	config := `
redis: ` + r.URI() + `
concurrency: 5
queues: {default: 2, empty: 1}
scale: {interval: 1s, window: 5s, drain_time: 5s, max: 7, cooldown: 2s}
routes: [{type: t, http: {url: "` + s.URL + `/sleep/200"}}]
`
	d := StartDaemon(t, config)
	scale := func() M { t.Helper(); return scaleOf(t, d) }
	Eventually(t, 20*time.Second, "the idle fleet", func() bool {
		got := scale()
		return got["instances_wanted"] == 1.0 && got["instances"] == 1.0 && got["concurrency"] == 5.0
	})
	other := StartDaemon(t, config)
	Eventually(t, 30*time.Second, "the other instance to be counted", func() bool { return scale()["instances"] == 2.0 })
	other.Signal(syscall.SIGTSTP)
	Eventually(t, 30*time.Second, "it to count no more, as it takes no tasks", func() bool { return scale()["instances"] == 1.0 })
	if servers := r.Int("ZCARD", "asynq:servers"); servers != 2 {
		t.Errorf("it has gone, instead of being stopped: %d servers", servers)
	}
	other.End()
	for i := range 400 {
		enqueue(t, r, fmt.Sprint("task-", i), "t", "")
	}
	Eventually(t, 60*time.Second, "more instances to be wanted", func() bool { return scale()["instances_wanted"].(float64) >= 3 })
	Eventually(t, 60*time.Second, "what a task takes, and what is done of them", func() bool { // as the window fills
		queue := scale()["queues"].([]any)[0].(M)
		run := queue["duration_seconds"].(float64)
		return queue["queue"] == "default" && run >= 0.1 && run <= 2 && queue["service_rate"].(float64) >= 3
	})
	Eventually(t, 120*time.Second, "one to be enough again", func() bool { return scale()["instances_wanted"] == 1.0 })
	r.Kill()
	Eventually(t, 30*time.Second, "the complaint", func() bool {
		status, body := ask(t, "GET", d.URL()+"/scale", "")
		return status == 503 && strings.Contains(body, "the queues are not known")
	})
	r.Start()
}

// scaleFor has an asynqd look n times, and returns its answers, one of each second.
func scaleFor(t testing.TB, d *Daemon, n int) (answers []M) {
	t.Helper()
	Eventually(t, 2*time.Minute, fmt.Sprint(n, " looks"), func() bool {
		if status, body := ask(t, "GET", d.URL()+"/scale", ""); status == 200 {
			if got := object(t, body); len(answers) == 0 || got["age_seconds"].(float64) < answers[len(answers)-1]["age_seconds"].(float64) {
				answers = append(answers, got)
			} else {
				answers[len(answers)-1] = got
			}
		}
		return len(answers) >= n
	})
	return answers
}

// sleeping makes a program that handles tasks by sleeping, as long as the payload says.
const sleeping = `
routes: [{type: sleep, command: {argv: [sleep, "{{payload.s}}"]}}]
`

// TestScaleIsShared: all asynqds of a fleet give the same answer, also one that was started later, and when the one that looks is
// killed another one goes on. They look one at a time.
func TestScaleIsShared(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := "redis: " + r.URI() + "\nconcurrency: 5\nscale: {interval: 1s, window: 5s, drain_time: 5s, cooldown: 4m}\n" + sleeping
	first := StartDaemon(t, config)
	scaleFor(t, first, 2)
	for i := range 200 {
		enqueue(t, r, fmt.Sprint("task-", i), "sleep", `{"s": 0.3}`)
	}
	Eventually(t, 60*time.Second, "more instances to be wanted", func() bool { return scaleOf(t, first)["instances_wanted"].(float64) >= 3 })
	Eventually(t, 60*time.Second, "the tasks to end", func() bool {
		queue := queueOf(t, scaleOf(t, first), "default")
		return queue["pending"] == 0.0 && queue["active"] == 0.0
	})
	second := StartDaemon(t, config)
	scaleFor(t, second, 3)
	same := func(n int) {
		t.Helper()
		for agreed := 0; agreed < n; {
			one, other := scaleOf(t, first), scaleOf(t, second)
			if one["sampled_at_ms"] != other["sampled_at_ms"] {
				continue // there was a new sample in between
			}
			agreed++
			if one["instances_wanted"] != other["instances_wanted"] || one["reason"] != other["reason"] || one["instances"] != other["instances"] {
				t.Fatalf("%v\n%v", one, other)
			}
		}
	}
	same(20)
	third := StartDaemon(t, config)
	Eventually(t, 30*time.Second, "the third instance to be counted", func() bool { return scaleOf(t, first)["instances"] == 3.0 })
	key := samplesKey(t, r)
	from := r.Int("ZCARD", key)
	Eventually(t, 2*time.Minute, "ten more samples", func() bool { return r.Int("ZCARD", key) >= from+10 })
	scores := r.Client.ZRangeWithScores(context.Background(), key, 0, -1).Val()
	for i := 1; i < len(scores); i++ {
		if scores[i].Score-scores[i-1].Score < 500 {
			t.Errorf("two looked at once: %v ms between two samples", scores[i].Score-scores[i-1].Score)
		}
	}
	third.End()
	newest := scaleOf(t, second)["sampled_at_ms"].(float64)
	first.Kill()
	Eventually(t, 2*time.Minute, "the other one to look", func() bool { return scaleOf(t, second)["sampled_at_ms"].(float64) > newest+2000 })
	IsWell(t, r)
}

// samplesKey is where the samples of the only fleet are.
func samplesKey(t testing.TB, r *Redis) string {
	t.Helper()
	for _, key := range r.Strings("KEYS", "asynq:libasynq:scale:*") {
		if !strings.HasSuffix(key, ":turn") {
			return key
		}
	}
	t.Fatal("there are no samples")
	return ""
}

// TestScalePausedQueue: what waits in a paused queue needs no instances; what is active in it does.
func TestScalePausedQueue(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	enqueue(t, r, "first", "sleep", `{"s": 0}`)
	if err := inspector.PauseQueue("default"); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		enqueue(t, r, fmt.Sprint("task-", i), "sleep", `{"s": 0}`)
	}
	d := StartDaemon(t, "redis: "+r.URI()+"\nconcurrency: 5\nscale: {interval: 1s, window: 5s, max_latency: 2s, cooldown: 0s}\n"+sleeping)
	for range 2 {
		Eventually(t, 60*time.Second, "them to have waited", func() bool {
			return queueOf(t, scaleOf(t, d), "default")["latency_seconds"].(float64) > 8
		})
	}
	for _, got := range scaleFor(t, d, 4) {
		if got["instances_wanted"] != 1.0 {
			t.Errorf("%v", got)
		}
	}
	if err := inspector.UnpauseQueue("default"); err != nil {
		t.Fatal(err)
	}
	settled(t, r, d, "task-4")
	IsWell(t, r)
}

// TestScaleActive: instances that are busy for long stay wanted, though nothing comes and nothing ends.
func TestScaleActive(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	config := "redis: " + r.URI() + "\nconcurrency: 5\nshutdown_timeout: 1s\nscale: {interval: 1s, window: 2s, cooldown: 0s, target_utilization: 100}\n" + sleeping
	d, other := StartDaemon(t, config), StartDaemon(t, config)
	for i := range 8 {
		enqueue(t, r, fmt.Sprint("task-", i), "sleep", `{"s": 300}`)
	}
	Eventually(t, 60*time.Second, "all to be active", func() bool {
		return queueOf(t, scaleOf(t, d), "default")["active"] == 8.0 && scaleOf(t, d)["instances"] == 2.0
	})
	for _, got := range scaleFor(t, d, 8)[3:] {
		if got["instances_wanted"] != 2.0 {
			t.Errorf("%v", got)
		}
	}
	reload(t, d, config, wasRead)
	for _, got := range scaleFor(t, d, 8)[4:] {
		if got["instances_wanted"] != 2.0 {
			t.Errorf("the tasks that began before a reload do not count: %v", got)
		}
	}
	other.Signal(syscall.SIGTSTP) // it ends with its tasks, for which nobody else is needed
	Eventually(t, 60*time.Second, "one instance to be enough", func() bool { return scaleOf(t, d)["instances_wanted"] == 1.0 })
	if active := queueOf(t, scaleOf(t, d), "default")["active"]; active != 8.0 {
		t.Errorf("%v tasks are active", active)
	}
	other.End()
}

// TestScaleWaitsForWorkers: tasks that wait too long ask for more instances than run, and not for ever more until these are there.
func TestScaleWaitsForWorkers(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	d := StartDaemon(t, "redis: "+r.URI()+"\nconcurrency: 1\nshutdown_timeout: 1s\nscale: {interval: 1s, window: 5s, drain_time: 1h, max_latency: 2s, target_utilization: 100}\n"+sleeping)
	for i := range 2 {
		enqueue(t, r, fmt.Sprint("task-", i), "sleep", `{"s": 300}`)
	}
	Eventually(t, 60*time.Second, "the second one to wait too long", func() bool {
		return queueOf(t, scaleOf(t, d), "default")["latency_seconds"].(float64) > 2
	})
	for _, got := range scaleFor(t, d, 8)[1:] {
		if got["instances_wanted"] != 2.0 {
			t.Errorf("%v", got)
		}
	}
}

// TestScaleOfHosts: what an instance runs is what its hosts and pools have room for, whatever its concurrency.
func TestScaleOfHosts(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := startTarget(t)
	config := "redis: " + r.URI() + "\nconcurrency: 500\nshutdown_timeout: 1s\nscale: {interval: 1s, window: 4s, max_latency: 0s, cooldown: 0s, target_utilization: 100}\n" +
		"routes: [{type: t, http: {url: \"" + s.URL + "/sleep/600000\", timeout: 10m, max_connections_per_host: 2}}]\n"
	d, other := StartDaemon(t, config), StartDaemon(t, config)
	for i := range 8 {
		enqueue(t, r, fmt.Sprint("task-", i), "t", "")
	}
	Eventually(t, 60*time.Second, "the others to have waited", func() bool {
		queue := queueOf(t, scaleOf(t, d), "default")
		return queue["latency_seconds"].(float64) > 8 && queue["active"] == 4.0 && queue["pending"] == 4.0
	})
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	if n, err := inspector.DeleteAllPendingTasks("default"); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	for _, got := range scaleFor(t, d, 10)[6:] {
		if got["instances_wanted"] != 2.0 || got["tasks_per_instance"] != 2.0 {
			t.Errorf("%v", got)
		}
	}
	other.End()
}

// TestScaleManyQueues: each queue counts, however many there are.
func TestScaleManyQueues(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	var queues []string
	for i := range 100 {
		queues = append(queues, fmt.Sprintf("queue-%03d: 1", i))
	}
	d := StartDaemon(t, "redis: "+r.URI()+"\nqueues: {"+strings.Join(queues, ", ")+"}\nscale: {interval: 1s, window: 5s}\n"+sleeping)
	enqueue(t, r, "late", "sleep", `{"s": 0}`, asynq.Queue("queue-099"), asynq.ProcessIn(time.Hour))
	Eventually(t, 60*time.Second, "the last one", func() bool {
		return queueOf(t, scaleOf(t, d), "queue-099")["scheduled"] == 1.0
	})
}

// TestScaleTurn: who finds out while it takes the turn that another one was quicker leaves it to that one, however it began; and a
// shorter interval counts from its reload on.
func TestScaleTurn(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	fake := StartFakeRedis(t, r)
	d := StartDaemon(t, "redis: "+fake.URI()+"\nscale: {interval: 1h, window: 1h}\n"+sleeping)
	Eventually(t, 20*time.Second, "the first sample", func() bool { return len(r.Strings("KEYS", "*:libasynq:scale*")) == 2 })
	key := samplesKey(t, r)
	newest := func() string { return fmt.Sprint(r.Strings("ZRANGE", key, "-1", "-1")) }
	for i, before := range []string{"ours", "wrong"} {
		var then, later atomic.Value
		if before == "wrong" {
			r.Do("SET", key+":turn", before)
		}
		fake.OnKey("SET", key+":turn").Nth(1).Before(func() {
			then.Store(newest())
			r.Do("SET", key+":turn", fmt.Sprintf("another %d", time.Now().Add(time.Hour).UnixMilli()))
			fake.OnKey("GET", key+":turn").Nth(1).Before(func() { later.Store(newest()) })
		})
		if i == 0 {
			takeOver(t, d, "redis: "+fake.URI()+"\nscale: {interval: 1s, window: 5s}\n"+sleeping)
		}
		Eventually(t, 30*time.Second, "the next turn", func() bool { return later.Load() != nil })
		if then.Load() != later.Load() {
			t.Errorf("%s: another one had the turn, and it took a sample", before)
		}
	}
}

// TestScaleOddSamples: anybody may have written anything where the samples are. It is passed over, and told once; and the rights of
// an instance are enough.
func TestScaleOddSamples(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	admin := *r
	d := StartDaemon(t, "redis: "+r.LogInAs("worker").URI()+"\nscale: {interval: 1s, window: 5s}\n"+sleeping)
	scaleFor(t, d, 3)
	r = &admin
	key, now := samplesKey(t, r), time.Now().UnixMilli()
	good := r.Strings("ZRANGE", key, "-1", "-1")[0]
	for i, text := range []string{"", "{", "\xff\x00", "[]", `{"at": 1}`, strings.Repeat("[", 100000), strings.Repeat("x", 2<<20),
		strings.Replace(good, `"instances":1`, `"instances":99999999999999999`, 1), strings.Replace(good, `"instances":1`, `"instances":-1`, 1)} {
		r.Do("ZADD", key, now-1000+int64(i), text)
	}
	r.Do("ZADD", key, now+3600000, strings.Replace(good, `"instances":1`, `"instances":77`, 1)) // of the future
	r.Do("ZADD", key, "inf", "endless")
	r.Do("ZADD", key, now-500, strings.Replace(good, `"instances":1`, `"instances":78`, 1)) // of another time than it says
	Eventually(t, 30*time.Second, "the warning", func() bool { scaleOf(t, d); return len(d.Find("scale samples ignored: ")) == 1 })
	newest := scaleOf(t, d)["sampled_at_ms"].(float64)
	Eventually(t, 60*time.Second, "more samples", func() bool {
		got := scaleOf(t, d)
		if got["instances"] != 1.0 || got["instances_wanted"] != 1.0 {
			t.Fatalf("%v", got)
		}
		return got["sampled_at_ms"].(float64) > newest+3000
	})
	if n := len(d.Find("scale samples ignored: ")); n != 1 {
		t.Errorf("%d warnings", n)
	}
	if n := r.Int("ZCOUNT", key, now+60000, "+inf"); n != 0 {
		t.Errorf("%d samples of the future are still there", n)
	}
	for _, wrong := range []string{"nonsense", "somebody 1", fmt.Sprintf("somebody %d", now+365*24*3600*1000), "somebody 99999999999999999999"} {
		newest := scaleOf(t, d)["sampled_at_ms"].(float64)
		r.Do("SET", key+":turn", wrong)
		Eventually(t, 60*time.Second, "samples in spite of a turn that is "+wrong, func() bool {
			return scaleOf(t, d)["sampled_at_ms"].(float64) > newest+1500
		})
	}
	for _, name := range []string{key, key + ":turn"} {
		r.Do("HSET", "{another} type", "a", "b")
		r.Do("RENAME", "{another} type", name) // at once: asynqd writes it whenever it is gone
		Eventually(t, 60*time.Second, "samples again behind another type of "+name, func() bool {
			status, body := ask(t, "GET", d.URL()+"/scale", "")
			return r.Text("TYPE", key) == "zset" && status == 200 && object(t, body)["age_seconds"].(float64) < 3
		})
	}
}

// TestKedaFile: KEDA is told to make as many pods as /scale says, not so many times as many as there are.
func TestKedaFile(t *testing.T) {
	text, err := os.ReadFile("../../../contrib/keda/scaledobject.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`url: http://[a-z]+:9273/scale\n`, `valueLocation: instances_wanted\n`, `targetValue: "1"\n`, `metricType: AverageValue\b`, `minReplicaCount: [1-9]`} {
		if !regexp.MustCompile(want).Match(text) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
}
