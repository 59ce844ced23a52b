package system

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestGroupLostReplies: connections die after Redis has executed a command and before the reply, at every step of an
// aggregation. No set waits until its time is over, and each task is in one aggregated task.
func TestGroupLostReplies(t *testing.T) {
	t.Parallel()
	const total, groups = 2000, 200
	r := StartRedis(t)
	proxy := StartProxy(t, r, ScriptNames(t))
	StartCServer(t, proxy.URI(), ServerOptions{Aggregates: true, Grace: time.Second, MaxSize: 7, LedgerPath: filepath.Join(r.Dir, "ledger")})
	client := asynq.NewClient(r.Opt())
	defer client.Close()
	proxy.LoseOneIn(20) // first, as a slow machine aggregates while it enqueues
	for i := range total {
		if _, err := client.Enqueue(asynq.NewTask("t", []byte(fmt.Sprint(i))), asynq.Group(fmt.Sprint("group ", i%groups))); err != nil {
			t.Fatal(err)
		}
	}
	Eventually(t, 100*time.Second, "all groups to be aggregated", func() bool {
		return len(r.Strings("KEYS", QueueKey("default", "g:*"))) == 0
	})
	proxy.LoseOneIn(0)
	waitCompleted(t, r)
	for _, kind := range []string{"take-group", "read-set", "finish-set"} {
		if proxy.Counts()[kind] == 0 {
			t.Errorf("no reply of %s was lost", kind)
		}
	}
	checkSums(t, r, total, groups, 7)
	t.Logf("lost: %v", proxy.Counts())
}

// TestGroupFleet: tasks in many groups, two C servers and one of Go that aggregate them, and one of C that is killed. Each
// task ends up in exactly one aggregated task, no set is too large. GROUP_TASKS sets how many; 100,000 take 3 minutes,
// as what the killed server had taken comes back after two.
func TestGroupFleet(t *testing.T) {
	t.Parallel()
	total, _ := strconv.Atoi(os.Getenv("GROUP_TASKS"))
	isWhole := total >= 100_000
	if !isWhole {
		total = 5000
	}
	const highest = 20
	groups := total / 100
	r := StartRedis(t)
	options := ServerOptions{Aggregates: true, Grace: time.Second, MaxDelay: 10 * time.Second, MaxSize: highest}
	slow := options
	slow.AggregateMs = 20_000 // so that there is something in its hands, however late the kill comes
	killed := StartCServer(t, r.URI(), slow)
	StartCServer(t, r.URI(), options)
	StartServer(t, "go", r, options)

	client := asynq.NewClient(r.Opt())
	defer client.Close()
	begin := time.Now()
	for i := range total {
		_, err := client.Enqueue(asynq.NewTask("t", []byte(fmt.Sprint(i))), asynq.Group(fmt.Sprint("group ", i%groups)))
		if err != nil {
			t.Fatal(err)
		}
		if i == total/2 {
			Eventually(t, 20*time.Second, "the server to aggregate", func() bool {
				return strings.Contains(strings.Join(killed.Notes(), " "), "aggregates")
			})
			killed.Kill()
		}
	}
	t.Logf("%d tasks enqueued in %v", total, time.Since(begin))
	taken := r.Int("ZCARD", QueueKey("default", "aggregation_sets"))
	if taken == 0 {
		t.Error("the killed server had taken nothing")
	}
	left := func() int { return len(r.Strings("KEYS", QueueKey("default", "g:*"))) }
	if !isWhole { // the time of what the killed server has taken is made shorter
		time.Sleep(5 * time.Second)
		for _, set := range r.Strings("ZRANGE", QueueKey("default", "aggregation_sets"), 0, -1) {
			r.Do("ZADD", QueueKey("default", "aggregation_sets"), "XX", "LT", time.Now().Unix()+2, set)
		}
	}
	Eventually(t, 5*time.Minute, "all groups to be aggregated", func() bool { time.Sleep(100 * time.Millisecond); return left() == 0 })
	waitCompleted(t, r)
	checkSums(t, r, total, groups, highest)
}

// waitCompleted waits until all tasks are completed. One that a killed server held comes back when its lease is over, and
// then waits for its retry.
func waitCompleted(t *testing.T, r *Redis) {
	t.Helper()
	Eventually(t, 3*time.Minute, "all aggregated tasks to be completed", func() bool {
		time.Sleep(100 * time.Millisecond)
		return r.Int("ZCARD", QueueKey("default", "completed")) == int64(tasksLeft(r))
	})
}

// checkSums wants each task 0 to total-1 in one aggregated task of its group, which has at most so many.
func checkSums(t *testing.T, r *Redis, total, groups, highest int) {
	t.Helper()
	seen := map[string]int{}
	sets := 0
	for _, id := range r.Strings("ZRANGE", QueueKey("default", "completed"), 0, -1) {
		message, err := base.DecodeMessage([]byte(r.Text("HGET", TaskKey("default", id), "msg")))
		if err != nil {
			t.Fatal(err)
		}
		var sum struct {
			Group string
			Tasks []string
		}
		if err := json.Unmarshal(message.Payload, &sum); err != nil {
			t.Fatal(err)
		}
		sets++
		if len(sum.Tasks) > highest {
			t.Errorf("%s: %d tasks in one", sum.Group, len(sum.Tasks))
		}
		for _, task := range sum.Tasks {
			seen[task]++
			if number, _ := strconv.Atoi(task); sum.Group != fmt.Sprint("group ", number%groups) {
				t.Errorf("task %s is in %s", task, sum.Group)
			}
		}
	}
	equal(t, "tasks in aggregated tasks", len(seen), total)
	for task, times := range seen {
		if times != 1 {
			t.Errorf("task %s is in %d aggregated tasks", task, times)
		}
	}
	equal(t, "tasks left", tasksLeft(r), sets)
	t.Logf("%d aggregated tasks", sets)
	IsWell(t, r)
}
