package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// class is what kind of error an inspector answers; "" for none.
type class string

const (
	noQueue   class = "queue not found"
	noTask    class = "task not found"
	badState  class = "failed precondition"
	notEmpty  class = "queue not empty"
	badNumber class = "the number of days must be positive"
)

// listed is what both inspectors say of a task in a list.
type listed struct {
	id, payload, state string
	next               int64 // Unix s, of scheduled and retry
	orphaned           bool
}

type day struct {
	date              string
	processed, failed int64
}

// inspector is one library's inspector, on a Redis of its own.
type inspector interface {
	redis() *Redis
	queue(queue string) (map[string]int64, class)
	history(queue string, days int) ([]day, class)
	list(queue, state string, page int) ([]listed, class)
	task(queue, id string) (listed, class)
	act(action, queue, id string) class
	actAll(action, queue, state, group string) (int64, class)
	update(queue, id, payload string) class
	pause(queue string) class
	unpause(queue string) class
	remove(queue string, force bool) class
	groups(queue string) map[string]int64
	servers() []string
}

// ---- Go's ----

type goInspector struct {
	t *testing.T
	r *Redis
	*asynq.Inspector
}

func newGoInspector(t *testing.T) inspector {
	r := StartRedis(t)
	i := asynq.NewInspector(r.Opt())
	t.Cleanup(func() { i.Close() })
	return &goInspector{t, r, i}
}

func (i *goInspector) redis() *Redis { return i.r }

func classOf(err error) class {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, asynq.ErrQueueNotFound) || strings.Contains(err.Error(), "does not exist"):
		return noQueue
	case errors.Is(err, asynq.ErrTaskNotFound):
		return noTask
	case errors.Is(err, asynq.ErrQueueNotEmpty):
		return notEmpty
	case strings.Contains(err.Error(), string(badNumber)):
		return badNumber
	}
	return badState
}

func (i *goInspector) queue(queue string) (map[string]int64, class) {
	info, err := i.GetQueueInfo(queue)
	if err != nil {
		return nil, classOf(err)
	}
	paused := 0
	if info.Paused {
		paused = 1
	}
	return toInt64(map[string]int{"size": info.Size, "pending": info.Pending, "active": info.Active, "scheduled": info.Scheduled,
		"retry": info.Retry, "archived": info.Archived, "completed": info.Completed, "aggregating": info.Aggregating,
		"groups": info.Groups, "processed": info.Processed, "failed": info.Failed, "processed_total": info.ProcessedTotal,
		"failed_total": info.FailedTotal, "latency_s": int(info.Latency / time.Second), "paused": paused,
		"memory_bytes": int(info.MemoryUsage)}), ""
}

func (i *goInspector) history(queue string, days int) ([]day, class) {
	stats, err := i.History(queue, days)
	var list []day
	for _, s := range stats {
		list = append(list, day{s.Date.Format(time.DateOnly), int64(s.Processed), int64(s.Failed)})
	}
	return list, classOf(err)
}

func fromGo(info *asynq.TaskInfo) listed {
	l := listed{id: info.ID, payload: string(info.Payload), state: info.State.String(), orphaned: info.IsOrphaned}
	if l.state == "scheduled" || l.state == "retry" {
		l.next = info.NextProcessAt.Unix()
	}
	return l
}

func (i *goInspector) list(queue, state string, page int) ([]listed, class) {
	lists := map[string]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		"pending": i.ListPendingTasks, "active": i.ListActiveTasks, "scheduled": i.ListScheduledTasks,
		"retry": i.ListRetryTasks, "archived": i.ListArchivedTasks, "completed": i.ListCompletedTasks}
	tasks, err := lists[state](queue, asynq.Page(page))
	found := []listed{}
	for _, task := range tasks {
		found = append(found, fromGo(task))
	}
	return found, classOf(err)
}

func (i *goInspector) task(queue, id string) (listed, class) {
	info, err := i.GetTaskInfo(queue, id)
	if err != nil {
		return listed{}, classOf(err)
	}
	return fromGo(info), ""
}

func (i *goInspector) act(action, queue, id string) class {
	return classOf(map[string]func(string, string) error{"run": i.RunTask, "archive": i.ArchiveTask,
		"delete": i.DeleteTask}[action](queue, id))
}

func (i *goInspector) actAll(action, queue, state, group string) (int64, class) {
	if group != "" {
		n, err := map[string]func(string, string) (int, error){"run": i.RunAllAggregatingTasks,
			"archive": i.ArchiveAllAggregatingTasks, "delete": i.DeleteAllAggregatingTasks}[action](queue, group)
		return int64(n), classOf(err)
	}
	n, err := map[string]func(string) (int, error){
		"run scheduled": i.RunAllScheduledTasks, "run retry": i.RunAllRetryTasks, "run archived": i.RunAllArchivedTasks,
		"archive pending": i.ArchiveAllPendingTasks, "archive scheduled": i.ArchiveAllScheduledTasks,
		"archive retry": i.ArchiveAllRetryTasks, "delete pending": i.DeleteAllPendingTasks,
		"delete scheduled": i.DeleteAllScheduledTasks, "delete retry": i.DeleteAllRetryTasks,
		"delete archived": i.DeleteAllArchivedTasks, "delete completed": i.DeleteAllCompletedTasks,
	}[action+" "+state](queue)
	return int64(n), classOf(err)
}

func (i *goInspector) update(queue, id, payload string) class {
	return classOf(i.UpdateTaskPayload(queue, id, []byte(payload)))
}

func (i *goInspector) pause(queue string) class   { return classOf(i.PauseQueue(queue)) }
func (i *goInspector) unpause(queue string) class { return classOf(i.UnpauseQueue(queue)) }

func (i *goInspector) remove(queue string, force bool) class {
	return classOf(i.DeleteQueue(queue, force))
}

func (i *goInspector) groups(queue string) map[string]int64 {
	groups, err := i.Groups(queue)
	if err != nil {
		i.t.Error(err)
	}
	found := map[string]int64{}
	for _, group := range groups {
		found[group.Group] = int64(group.Size)
	}
	return found
}

func (i *goInspector) servers() []string {
	servers, err := i.Servers()
	if err != nil {
		i.t.Error(err)
	}
	var ids []string
	for _, server := range servers {
		ids = append(ids, server.ID)
	}
	return ids
}

// ---- ours ----

type cInspector struct {
	t    *testing.T
	r    *Redis
	peer *Peer
}

func newCInspector(t *testing.T) inspector {
	r := StartRedis(t)
	return &cInspector{t, r, StartPeer(t, r.URI())}
}

func (i *cInspector) redis() *Redis { return i.r }

func cClassOf(answer M) class {
	text, _ := answer["error"].(string)
	switch Status(answer) {
	case 0:
		return ""
	case -20: // ASYNQ_E_QUEUE_NOT_FOUND
		return noQueue
	case -21: // ASYNQ_E_TASK_NOT_FOUND
		return noTask
	case -22: // ASYNQ_E_QUEUE_NOT_EMPTY
		return notEmpty
	case -14, -23, -24: // ASYNQ_E_STATE, _TASK_ACTIVE, _ALREADY
		return badState
	case -1: // ASYNQ_E_INVALID
		return class(text)
	}
	return badState
}

func (i *cInspector) queue(queue string) (map[string]int64, class) {
	answer := i.peer.Do("inspect.queue", M{"queue": queue})
	if c := cClassOf(answer); c != "" {
		return nil, c
	}
	found := map[string]int64{}
	for name, value := range answer["info"].(M) {
		switch v := value.(type) {
		case json.Number:
			found[name], _ = v.Int64()
		case bool:
			found[name] = map[bool]int64{true: 1}[v]
		}
	}
	found["latency_s"] = found["latency_ms"] / 1000
	delete(found, "latency_ms")
	return found, ""
}

func (i *cInspector) history(queue string, days int) ([]day, class) {
	answer := i.peer.Do("inspect.history", M{"queue": queue, "days": days})
	var list []day
	for _, row := range answer["days"].([]any) {
		list = append(list, day{row.(M)["date"].(string), Number(row.(M), "processed"), Number(row.(M), "failed")})
	}
	return list, cClassOf(answer)
}

func fromC(task M) listed {
	l := listed{id: task["id"].(string), payload: task["payload"].(string), state: task["state"].(string),
		orphaned: task["is_orphaned"].(bool)}
	if l.state == "scheduled" || l.state == "retry" {
		l.next = Number(task, "next_process_at_ms") / 1000
	}
	return l
}

func (i *cInspector) list(queue, state string, page int) ([]listed, class) {
	answer := i.peer.Do("inspect.list", M{"queue": queue, "state": state, "page": page})
	found := []listed{}
	for _, task := range answer["tasks"].([]any) {
		found = append(found, fromC(task.(M)))
	}
	return found, cClassOf(answer)
}

func (i *cInspector) task(queue, id string) (listed, class) {
	answer := i.peer.Do("inspect.task", M{"queue": queue, "id": id})
	if c := cClassOf(answer); c != "" {
		return listed{}, c
	}
	return fromC(answer["tasks"].([]any)[0].(M)), ""
}

func (i *cInspector) act(action, queue, id string) class {
	return cClassOf(i.peer.Do("inspect.act", M{"action": action, "queue": queue, "id": id}))
}

func (i *cInspector) actAll(action, queue, state, group string) (int64, class) {
	arguments := M{"action": action, "queue": queue, "state": state}
	if group != "" {
		arguments["group"], arguments["state"] = group, "aggregating"
	}
	answer := i.peer.Do("inspect.act_all", arguments)
	return Number(answer, "done"), cClassOf(answer)
}

func (i *cInspector) update(queue, id, payload string) class {
	return cClassOf(i.peer.Do("inspect.update", M{"queue": queue, "id": id, "payload": payload}))
}

func (i *cInspector) pause(queue string) class {
	return cClassOf(i.peer.Do("inspect.pause", M{"queue": queue}))
}

func (i *cInspector) unpause(queue string) class {
	return cClassOf(i.peer.Do("inspect.unpause", M{"queue": queue}))
}

func (i *cInspector) remove(queue string, force bool) class {
	return cClassOf(i.peer.Do("inspect.delete_queue", M{"queue": queue, "force": force}))
}

func (i *cInspector) groups(queue string) map[string]int64 {
	found := map[string]int64{}
	for name := range i.peer.Must("inspect.groups", M{"queue": queue})["groups"].(M) {
		found[name] = Number(i.peer.Must("inspect.groups", M{"queue": queue})["groups"].(M), name)
	}
	return found
}

func (i *cInspector) servers() []string {
	var ids []string
	for _, server := range i.peer.Must("inspect.servers", nil)["servers"].([]any) {
		ids = append(ids, server.(M)["id"].(string))
	}
	return ids
}

// ---- the tests ----

// putTask writes a task as Go would leave it.
func putTask(t *testing.T, r *Redis, queue, id, state string, score int64, lock string) {
	t.Helper()
	r.Do("SADD", "asynq:queues", queue)
	message := &base.TaskMessage{Type: "t", ID: id, Queue: queue, Payload: []byte("p-" + id), Retry: 25, Timeout: 1800,
		UniqueKey: lock}
	fields := []any{"HSET", QueueKey(queue, "t:"+id), "msg", Encode(t, message), "state", state}
	if lock != "" {
		fields = append(fields, "unique_key", lock)
		r.Do("SET", lock, id)
	}
	group, isGrouped := strings.CutPrefix(state, "aggregating:")
	switch {
	case isGrouped:
		fields[5] = "aggregating"
		fields = append(fields, "group", group)
		r.Do("ZADD", QueueKey(queue, "g:"+group), score, id)
		r.Do("SADD", QueueKey(queue, "groups"), group)
	case state == "pending":
		r.Do("LPUSH", QueueKey(queue, "pending"), id)
		if score != 0 {
			fields = append(fields, "pending_since", score*1e9)
		}
	case state == "active":
		r.Do("LPUSH", QueueKey(queue, "active"), id)
		r.Do("ZADD", QueueKey(queue, "lease"), score, id)
	default:
		r.Do("ZADD", QueueKey(queue, state), score, id)
	}
	r.Do(fields...)
}

func state(r *Redis, id string) string { return r.Text("HGET", QueueKey("default", "t:"+id), "state") }

func ids(tasks []listed) string {
	var list []string
	for _, task := range tasks {
		list = append(list, task.id)
	}
	return strings.Join(list, " ")
}

// number is for replies that are numbers as text or with a fraction.
func number(r *Redis, args ...any) int64 {
	value, _ := strconv.ParseFloat(fmt.Sprintf("%v", r.Do(args...)), 64)
	return int64(value)
}

func toInt64(numbers map[string]int) map[string]int64 {
	found := map[string]int64{}
	for name, value := range numbers {
		found[name] = int64(value)
	}
	return found
}

func bothInspectors(t *testing.T, name string, run func(t *testing.T, i inspector, isOurs bool)) {
	t.Run(name+"/go", func(t *testing.T) { t.Parallel(); run(t, newGoInspector(t), false) })
	t.Run(name+"/c", func(t *testing.T) { t.Parallel(); run(t, newCInspector(t), true) })
}

// TestD5 is the spec's Appendix D.5 for both inspectors, on data as both libraries write it.
func TestD5(t *testing.T) {
	t.Parallel()
	unix := func() int64 { return time.Now().Unix() }
	lock := func(id string) string { return QueueKey("default", "unique:t:"+id) }

	bothInspectors(t, "I-01", func(t *testing.T, i inspector, _ bool) {
		_, err := i.queue("none")
		equal(t, "queue", err, noQueue)
		_, err = i.history("none", 1)
		equal(t, "history", err, noQueue)
		_, err = i.list("none", "pending", 1)
		equal(t, "list", err, noQueue)
		_, err = i.task("none", "A")
		equal(t, "task", err, noQueue)
		for _, action := range []string{"run", "archive", "delete"} {
			equal(t, action, i.act(action, "none", "A"), noQueue)
			_, err = i.actAll(action, "none", "scheduled", "")
			equal(t, action+" all", err, noQueue)
		}
	})
	bothInspectors(t, "I-02", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		putTask(t, r, "default", "p1", "pending", 0, "")
		putTask(t, r, "default", "p2", "pending", 0, "")
		putTask(t, r, "default", "a", "active", unix()+20, "")
		putTask(t, r, "default", "s", "scheduled", unix()+60, "")
		putTask(t, r, "default", "r", "retry", unix()+60, "")
		putTask(t, r, "default", "x", "archived", unix()-60, "")
		putTask(t, r, "default", "c", "completed", unix()+60, "")
		putTask(t, r, "default", "g1", "aggregating:g", unix(), "")
		putTask(t, r, "default", "g2", "aggregating:g", unix(), "")
		today := time.Now().UTC().Format(time.DateOnly)
		for key, value := range map[string]int{"processed": 70, "failed": 7, "processed:" + today: 30, "failed:" + today: 3} {
			r.Do("SET", QueueKey("default", key), value)
		}
		info, err := i.queue("default")
		equal(t, "error", err, "")
		want := map[string]int64{"size": 9, "groups": 1, "pending": 2, "active": 1, "scheduled": 1, "retry": 1, "archived": 1,
			"completed": 1, "aggregating": 2, "processed": 30, "failed": 3, "processed_total": 70, "failed_total": 7,
			"paused": 0, "latency_s": 0}
		for name, number := range want {
			equal(t, name, info[name], number)
		}
		memory := int64(0)
		for _, id := range []string{"p1", "p2", "a", "s", "r", "x", "c", "g1", "g2"} {
			memory += r.Int("MEMORY", "USAGE", QueueKey("default", "t:"+id))
		}
		for _, container := range []string{"pending", "active", "scheduled", "retry", "archived", "completed"} {
			memory += r.Int("MEMORY", "USAGE", QueueKey("default", container))
		}
		equal(t, "memory", info["memory_bytes"], memory)
		equal(t, "groups", fmt.Sprint(i.groups("default")), "map[g:2]")
		equal(t, "groups of an unknown queue", fmt.Sprint(i.groups("none")), "map[]")
	})
	bothInspectors(t, "I-03", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "old", "pending", unix()-5, "")
		putTask(t, i.redis(), "default", "new", "pending", unix(), "")
		info, _ := i.queue("default")
		if info["latency_s"] < 5 || info["latency_s"] > 7 {
			t.Errorf("latency %d s", info["latency_s"])
		}
	})
	bothInspectors(t, "I-04", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "old", "pending", 0, "")
		info, _ := i.queue("default")
		equal(t, "latency", info["latency_s"], 0)
	})
	bothInspectors(t, "I-05", func(t *testing.T, i inspector, _ bool) {
		want := []string{}
		for n := range 35 {
			want = append(want, fmt.Sprintf("%02d", n))
			putTask(t, i.redis(), "default", want[n], "pending", unix(), "")
		}
		first, _ := i.list("default", "pending", 1)
		equal(t, "page 1", ids(first), strings.Join(want[:30], " "))
		second, _ := i.list("default", "pending", 2)
		equal(t, "page 2", ids(second), strings.Join(want[30:], " "))
		third, err := i.list("default", "pending", 3)
		equal(t, "page 3", ids(third), "")
		equal(t, "error of page 3", err, "")
	})
	bothInspectors(t, "I-06", func(t *testing.T, i inspector, _ bool) {
		for n, id := range []string{"B", "A", "C"} {
			putTask(t, i.redis(), "default", id, "archived", unix()-30+10*int64(n), "")
		}
		tasks, _ := i.list("default", "archived", 1)
		equal(t, "archived", ids(tasks), "B A C")
	})
	bothInspectors(t, "I-07", func(t *testing.T, i inspector, _ bool) {
		for n, id := range []string{"C", "B", "A"} {
			putTask(t, i.redis(), "default", id, "scheduled", 4000000000+int64(n), "")
		}
		tasks, _ := i.list("default", "scheduled", 1)
		equal(t, "scheduled", ids(tasks), "C B A")
		for n, task := range tasks {
			equal(t, "next", task.next, 4000000000+int64(n))
		}
		task, _ := i.task("default", "B")
		equal(t, "next of one", task.next, 4000000001)
	})
	bothInspectors(t, "I-08", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "active", unix()-1, "")
		putTask(t, i.redis(), "default", "B", "active", unix()+25, "")
		tasks, _ := i.list("default", "active", 1)
		equal(t, "active", ids(tasks), "A B")
		equal(t, "A orphaned", tasks[0].orphaned, true)
		equal(t, "B orphaned", tasks[1].orphaned, false)
	})
	bothInspectors(t, "I-09", func(t *testing.T, i inspector, isOurs bool) {
		r := i.redis()
		putTask(t, r, "default", "first", "pending", unix(), "")
		putTask(t, r, "default", "A", "archived", unix(), "")
		before := r.Text("HGET", QueueKey("default", "t:A"), "msg")
		equal(t, "run", i.act("run", "default", "A"), "")
		equal(t, "pending", strings.Join(r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1), " "), "A first")
		equal(t, "state", state(r, "A"), "pending")
		equal(t, "archived", r.Int("EXISTS", QueueKey("default", "archived")), 0)
		equal(t, "message", r.Text("HGET", QueueKey("default", "t:A"), "msg"), before)
		equal(t, "pending_since", r.Int("HEXISTS", QueueKey("default", "t:A"), "pending_since") == 1, isOurs)
	})
	bothInspectors(t, "I-10", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		putTask(t, r, "default", "A", "active", unix()+20, "")
		putTask(t, r, "default", "P", "pending", unix(), "")
		before := fmt.Sprint(r.Snapshot())
		equal(t, "active", i.act("run", "default", "A"), badState)
		equal(t, "pending", i.act("run", "default", "P"), badState)
		equal(t, "all keys", fmt.Sprint(r.Snapshot()), before)
	})
	bothInspectors(t, "I-11", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		putTask(t, r, "default", "A", "aggregating:g", unix(), "")
		equal(t, "run", i.act("run", "default", "A"), "")
		equal(t, "state", state(r, "A"), "pending")
		equal(t, "group", r.Int("EXISTS", QueueKey("default", "g:g")), 0)
		equal(t, "groups", r.Int("SISMEMBER", QueueKey("default", "groups"), "g"), 0)
	})
	for _, action := range []string{"run", "archive", "delete"} {
		bothInspectors(t, "I-12-"+action, func(t *testing.T, i inspector, _ bool) {
			putTask(t, i.redis(), "default", "A", "completed", unix()+60, "")
			equal(t, action, i.act(action, "default", "A"), "")
			equal(t, "completed", i.redis().Int("EXISTS", QueueKey("default", "completed")), 0)
			equal(t, "state", state(i.redis(), "A"), map[string]string{"run": "pending", "archive": "archived"}[action])
		})
	}
	bothInspectors(t, "I-13", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		putTask(t, r, "default", "A", "pending", unix(), "")
		message := r.Text("HGET", QueueKey("default", "t:A"), "msg")
		equal(t, "archive", i.act("archive", "default", "A"), "")
		if score := number(r, "ZSCORE", QueueKey("default", "archived"), "A"); score < unix()-5 || score > unix() {
			t.Errorf("archived at %d", score)
		}
		equal(t, "message", r.Text("HGET", QueueKey("default", "t:A"), "msg"), message)
		equal(t, "counters", len(r.Strings("KEYS", "*:processed*")), 0)
		equal(t, "pending", r.Int("EXISTS", QueueKey("default", "pending")), 0)
	})
	bothInspectors(t, "I-14", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "X", "archived", unix(), "")
		putTask(t, i.redis(), "default", "A", "active", unix()+20, "")
		before := fmt.Sprint(i.redis().Snapshot())
		equal(t, "archived", i.act("archive", "default", "X"), badState)
		equal(t, "active", i.act("archive", "default", "A"), badState)
		equal(t, "all keys", fmt.Sprint(i.redis().Snapshot()), before)
	})
	bothInspectors(t, "I-15", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "scheduled", unix()+60, lock("A"))
		equal(t, "delete", i.act("delete", "default", "A"), "")
		equal(t, "keys", strings.Join(i.redis().Keys(), " "), "asynq:queues")
	})
	bothInspectors(t, "I-16", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "scheduled", unix()+60, lock("A"))
		i.redis().Do("SET", lock("A"), "B")
		equal(t, "delete", i.act("delete", "default", "A"), "")
		equal(t, "lock", i.redis().Text("GET", lock("A")), "B")
	})
	bothInspectors(t, "I-17", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "active", unix()+20, "")
		equal(t, "delete", i.act("delete", "default", "A"), badState)
		equal(t, "state", state(i.redis(), "A"), "active")
	})
	bothInspectors(t, "I-18", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "pending", unix(), "")
		for _, action := range []string{"run", "archive", "delete"} {
			equal(t, action, i.act(action, "default", "B"), noTask)
		}
		_, err := i.task("default", "B")
		equal(t, "task", err, noTask)
		equal(t, "update", i.update("default", "B", "x"), noTask)
	})
	bothInspectors(t, "I-19", func(t *testing.T, i inspector, _ bool) {
		for n, id := range []string{"B", "A", "C"} {
			putTask(t, i.redis(), "default", id, "retry", unix()+60+int64(n), "")
		}
		count, err := i.actAll("run", "default", "retry", "")
		equal(t, "error", err, "")
		equal(t, "count", count, 3)
		equal(t, "pending", strings.Join(i.redis().Strings("LRANGE", QueueKey("default", "pending"), 0, -1), " "), "C A B")
		equal(t, "retry", i.redis().Int("EXISTS", QueueKey("default", "retry")), 0)
	})
	bothInspectors(t, "I-20", func(t *testing.T, i inspector, isOurs bool) {
		for _, id := range []string{"A", "B", "C"} {
			putTask(t, i.redis(), "default", id, "pending", unix(), lock(id))
		}
		count, _ := i.actAll("delete", "default", "pending", "")
		equal(t, "count", count, 3)
		equal(t, "tasks", len(i.redis().Strings("KEYS", QueueKey("default", "t:*"))), 0)
		locks := len(i.redis().Strings("KEYS", "*:unique:*"))
		equal(t, "locks", locks, map[bool]int{false: 3, true: 0}[isOurs])
	})
	bothInspectors(t, "I-21", func(t *testing.T, i inspector, _ bool) {
		for _, id := range []string{"A", "B", "C"} {
			putTask(t, i.redis(), "default", id, "archived", unix(), lock(id))
		}
		count, _ := i.actAll("delete", "default", "archived", "")
		equal(t, "count", count, 3)
		equal(t, "keys", strings.Join(i.redis().Keys(), " "), "asynq:queues")
	})
	bothInspectors(t, "I-22", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		r.Do("SADD", "asynq:queues", "default")
		message := &base.TaskMessage{Type: "t", ID: "A", Queue: "default", Payload: []byte("old"), Retry: 3, Retried: 2,
			ErrorMsg: "e", LastFailedAt: 100, Timeout: 60, Retention: 5, UniqueKey: "u", Headers: map[string]string{"k": "v"}}
		r.Do("HSET", QueueKey("default", "t:A"), "msg", Encode(t, message), "state", "scheduled", "unique_key", "u")
		r.Do("ZADD", QueueKey("default", "scheduled"), 4000000000, "A")
		equal(t, "update", i.update("default", "A", "new"), "")
		message.Payload = []byte("new")
		equal(t, "message", r.Text("HGET", QueueKey("default", "t:A"), "msg"), Encode(t, message))
		equal(t, "score", number(r, "ZSCORE", QueueKey("default", "scheduled"), "A"), 4000000000)
		equal(t, "lock", r.Text("HGET", QueueKey("default", "t:A"), "unique_key"), "u")
	})
	bothInspectors(t, "I-23", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "pending", unix(), "")
		equal(t, "update", i.update("default", "A", "new"), badState)
	})
	bothInspectors(t, "I-24", func(t *testing.T, i inspector, _ bool) {
		equal(t, "pause", i.pause("default"), "")
		if since := number(i.redis(), "GET", QueueKey("default", "paused")); since < unix()-5 || since > unix() {
			t.Errorf("paused since %d", since)
		}
		equal(t, "pause again", i.pause("default"), badState)
		equal(t, "unpause", i.unpause("default"), "")
		equal(t, "unpause again", i.unpause("default"), badState)
		equal(t, "keys", len(i.redis().Keys()), 0)
	})
	bothInspectors(t, "I-25", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "pending", unix(), "")
		equal(t, "delete", i.remove("default", false), notEmpty)
		equal(t, "unknown", i.remove("none", false), noQueue)
		equal(t, "state", state(i.redis(), "A"), "pending")
	})
	bothInspectors(t, "I-26", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "pending", unix(), "")
		putTask(t, i.redis(), "default", "B", "scheduled", unix()+60, "")
		equal(t, "delete", i.remove("default", true), "")
		equal(t, "keys", len(i.redis().Keys()), 0)
	})
	bothInspectors(t, "I-27", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "active", unix()+20, "")
		putTask(t, i.redis(), "default", "B", "pending", unix(), "")
		before := fmt.Sprint(i.redis().Snapshot())
		equal(t, "delete", i.remove("default", true), badState)
		equal(t, "all keys", fmt.Sprint(i.redis().Snapshot()), before)
	})
	bothInspectors(t, "I-28", func(t *testing.T, i inspector, isOurs bool) {
		putTask(t, i.redis(), "default", "A", "completed", unix()+60, "")
		equal(t, "delete", i.remove("default", false), "")
		equal(t, "nothing is left", len(i.redis().Keys()) == 0, isOurs)
	})
	bothInspectors(t, "I-29", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		for n, id := range []string{"dead", "live"} {
			key := "asynq:servers:{host:1:" + id + "}"
			info, err := base.EncodeServerInfo(&base.ServerInfo{Host: "host", PID: 1, ServerID: id, Status: "active",
				Queues: map[string]int{"default": 1}, Started: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			r.Do("SET", key, info)
			r.Do("ZADD", "asynq:servers", unix()-2+20*int64(n), key)
		}
		equal(t, "servers", strings.Join(i.servers(), " "), "live")
		equal(t, "index", strings.Join(r.Strings("ZRANGE", "asynq:servers", 0, -1), " "), "asynq:servers:{host:1:live}")
	})
	bothInspectors(t, "I-30", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "pending", unix(), "")
		today, yesterday := time.Now().UTC().Format(time.DateOnly), time.Now().UTC().Add(-24*time.Hour).Format(time.DateOnly)
		for key, value := range map[string]int{"processed:" + today: 3, "failed:" + today: 1, "processed:" + yesterday: 7} {
			i.redis().Do("SET", QueueKey("default", key), value)
		}
		days, err := i.history("default", 2)
		equal(t, "error", err, "")
		equal(t, "days", fmt.Sprint(days), fmt.Sprint([]day{{today, 3, 1}, {yesterday, 7, 0}}))
		days, _ = i.history("default", 250)
		equal(t, "many days", len(days), 250)
	})
	bothInspectors(t, "I-31", func(t *testing.T, i inspector, _ bool) {
		putTask(t, i.redis(), "default", "A", "pending", unix(), "")
		for _, queue := range []string{"default", "none"} {
			_, err := i.history(queue, 0)
			equal(t, queue, err, badNumber)
		}
	})
	bothInspectors(t, "I-32", func(t *testing.T, i inspector, _ bool) {
		r := i.redis()
		putTask(t, r, "default", "A", "aggregating:g", unix(), "")
		r.Do("RENAME", QueueKey("default", "g:g"), QueueKey("default", "g:g:set"))
		r.Do("ZADD", QueueKey("default", "aggregation_sets"), unix()+60, QueueKey("default", "g:g:set"))
		r.Do("SREM", QueueKey("default", "groups"), "g")
		before := fmt.Sprint(r.Snapshot())
		for _, action := range []string{"run", "archive", "delete"} {
			equal(t, action, i.act(action, "default", "A"), badState)
		}
		equal(t, "all keys", fmt.Sprint(r.Snapshot()), before)
	})
	bothInspectors(t, "I-33", func(t *testing.T, i inspector, isOurs bool) {
		putTask(t, i.redis(), "default", "A", "scheduled", unix()+60, "")
		i.redis().Do("DEL", QueueKey("default", "t:A"))
		tasks, err := i.list("default", "scheduled", 1)
		equal(t, "list", err, "")
		equal(t, "entries", len(tasks), 1)
		equal(t, "payload", tasks[0].payload, "")
		info, err := i.queue("default")
		equal(t, "queue can be read", err == "", isOurs) // v0.26.0 cannot
		if isOurs {
			equal(t, "scheduled", info["scheduled"], 1)
		}
	})
}

var pendingSince = regexp.MustCompile(`\s*pending_since: \S+`)

// TestBulkActions: every bulk action of Go's inspector has the same effect in ours.
func TestBulkActions(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{"run": {"scheduled", "retry", "archived", "aggregating"},
		"archive": {"pending", "scheduled", "retry", "aggregating"},
		"delete":  {"pending", "scheduled", "retry", "archived", "completed", "aggregating"}}
	for action, states := range cases {
		for _, state := range states {
			results := map[bool]string{}
			t.Run(action+"-"+state, func(t *testing.T) {
				for _, make := range []func(*testing.T) inspector{newGoInspector, newCInspector} {
					i := make(t)
					r := i.redis()
					group, kind := "", state
					if state == "aggregating" {
						group, kind = "g", "aggregating:g"
					}
					for n := range 250 {
						putTask(t, r, "default", fmt.Sprintf("id%03d", n), kind, 4000000000+int64(n%7), "")
					}
					count, err := i.actAll(action, "default", state, group)
					equal(t, "error", err, "")
					equal(t, "count", count, 250)
					snapshot := r.Snapshot()
					lines := []string{}
					for key, text := range snapshot {
						if key != QueueKey("default", "archived") { // its scores are the times of archiving
							lines = append(lines, key+" "+pendingSince.ReplaceAllString(text, ""))
						}
					}
					sort.Strings(lines)
					_, isOurs := i.(*cInspector)
					results[isOurs] = strings.Join(lines, "\n") + fmt.Sprint(r.Int("ZCARD", QueueKey("default", "archived")))
				}
				if results[true] != results[false] {
					t.Errorf("ours:\n%.2000s\nGo's:\n%.2000s", results[true], results[false])
				}
			})
		}
	}
}

// TestFullArchive: what leaves a full archive leaves nothing behind; Go's inspector leaves the tasks.
func TestFullArchive(t *testing.T) {
	t.Parallel()
	i := newCInspector(t).(*cInspector)
	const count = 12000
	pipe := i.r.Client.Pipeline()
	for n := range count {
		id := fmt.Sprint("id", n)
		message := Encode(t, &base.TaskMessage{Type: "t", ID: id, Queue: "default"})
		pipe.HSet(Ctx, QueueKey("default", "t:"+id), "msg", message, "state", "retry")
		pipe.Do(Ctx, "ZADD", QueueKey("default", "retry"), 4000000000+n, id)
	}
	pipe.SAdd(Ctx, "asynq:queues", "default")
	if _, err := pipe.Exec(Ctx); err != nil {
		t.Fatal(err)
	}
	answer := i.peer.Must("inspect.act_all", M{"action": "archive", "queue": "default", "state": "retry"})
	equal(t, "done", Number(answer, "done"), int64(count))
	equal(t, "dropped", Number(answer, "dropped"), int64(count-9999))
	equal(t, "archived", i.r.Int("ZCARD", QueueKey("default", "archived")), 9999)
	equal(t, "tasks", len(i.r.Strings("KEYS", QueueKey("default", "t:*"))), 9999)
}

// TestFind: filters choose exactly the tasks that meet them, also while tasks come and go, and acting on them leaves the
// others.
func TestFind(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pending", "retry"} {
		t.Run(kind, func(t *testing.T) {
			i := newCInspector(t).(*cInspector)
			i.r.Do("SADD", "asynq:queues", "default")
			var want []string
			for n := range 3000 {
				id := fmt.Sprintf("%04d", n)
				message := &base.TaskMessage{Type: "email:send", ID: id, Queue: "default", Payload: []byte("pay"), ErrorMsg: "time-out"}
				if n%250 == 7 {
					message.ErrorMsg = "disk full"
					want = append(want, id)
				}
				i.r.Do("HSET", QueueKey("default", "t:"+id), "msg", Encode(t, message), "state", kind)
				if kind == "pending" {
					i.r.Do("LPUSH", QueueKey("default", kind), id)
				} else {
					i.r.Do("ZADD", QueueKey("default", kind), 4000000000+n/1500, id)
				}
			}
			find := func(filter M) []string {
				filter["queue"], filter["state"] = "default", kind
				found := []string{}
				for _, id := range i.peer.Must("inspect.find", filter)["ids"].([]any) {
					found = append(found, id.(string))
				}
				slices.Sort(found)
				return found
			}
			equal(t, "all", len(find(M{})), 3000)
			equal(t, "by error", fmt.Sprint(find(M{"last_error": "disk"})), fmt.Sprint(want))
			equal(t, "by type", len(find(M{"type": "email:*"})), 3000)
			equal(t, "by another type", len(find(M{"type": "sms:*"})), 0)
			equal(t, "by id", fmt.Sprint(find(M{"id": "000?"})), fmt.Sprint(find(M{"id": "000[0-9]"})))
			equal(t, "by payload", len(find(M{"payload": "pay"})), 3000)
			if kind == "retry" {
				equal(t, "by time", len(find(M{"from_ms": 4000000001000})), 1500)
				equal(t, "until", len(find(M{"until_ms": 4000000001000})), 1500)
			}
			answer := i.peer.Must("inspect.act_all", M{"action": "delete", "queue": "default", "state": kind, "filter": true,
				"last_error": "disk"})
			equal(t, "deleted", Number(answer, "done"), int64(len(want)))
			equal(t, "left", len(find(M{})), 3000-len(want))
			equal(t, "left of them", len(find(M{"last_error": "disk"})), 0)
			answer = i.peer.Must("inspect.act_all", M{"action": "delete", "queue": "default", "state": kind, "filter": true,
				"type": "email:*"})
			equal(t, "deleted then", Number(answer, "done"), int64(3000-len(want)))
			equal(t, "left then", len(find(M{})), 0)
		})
	}
}

// TestInspectorSeesServers: our inspector shows servers of both kinds and what they run, cancels a task, and waits for
// the end of others.
func TestInspectorSeesServers(t *testing.T) {
	t.Parallel()
	Servers(t, func(t *testing.T, kind string) {
		r := StartRedis(t)
		i := &cInspector{t, r, StartPeer(t, r.URI())}
		e := NewCEnqueuer(t, r)
		StartServer(t, kind, r, ServerOptions{Queues: map[string]int{"default": 3, "low": 1}, Concurrency: 4, ShutdownMs: 100})
		running := enqueueOK(t, e, wish(Wish{SleepMs: 60000}, Options{MaxRetry: P(-1)}))
		var server M
		Eventually(t, 15*time.Second, "the server and its worker", func() bool {
			servers := i.peer.Must("inspect.servers", nil)["servers"].([]any)
			if len(servers) != 1 {
				return false
			}
			server = servers[0].(M)
			return len(server["workers"].([]any)) == 1
		})
		equal(t, "queues", fmt.Sprint(server["queues"]), "map[default:3 low:1]")
		equal(t, "concurrency", Number(server, "concurrency"), 4)
		equal(t, "status", server["status"], any("active"))
		worker := server["workers"].([]any)[0].(M)
		equal(t, "task", worker["task_id"], any(running.ID))
		equal(t, "queue", worker["queue"], any("default"))
		started := Number(worker, "started_at_ms")
		if age := time.Now().UnixMilli() - started; age < 0 || age > 30000 {
			t.Errorf("started %d ms ago", age)
		}
		equal(t, "deadline", (Number(worker, "deadline_ms")-started+500)/1000, 1800)

		i.peer.Must("inspect.cancel", M{"id": running.ID})
		answer := i.peer.Must("inspect.wait", M{"queue": "default", "id": running.ID, "timeout_ms": 10000})
		task := answer["tasks"].([]any)[0].(M)
		equal(t, "state", task["state"], any("archived"))
		equal(t, "error", task["last_error"], any("context canceled"))

		kept := enqueueOK(t, e, wish(Wish{SleepMs: 300, Result: "42"}, Options{Retention: P(time.Hour)}))
		answer = i.peer.Must("inspect.wait", M{"queue": "default", "id": kept.ID, "timeout_ms": 10000})
		equal(t, "result", answer["tasks"].([]any)[0].(M)["result"], any("42"))
		gone := enqueueOK(t, e, wish(Wish{SleepMs: 300}, Options{}))
		answer = i.peer.Must("inspect.wait", M{"queue": "default", "id": gone.ID, "timeout_ms": 10000})
		equal(t, "tasks after an end that is not kept", len(answer["tasks"].([]any)), 0)
		late := enqueueOK(t, e, wish(Wish{}, Options{ProcessIn: P(time.Hour)}))
		equal(t, "time-out", Status(i.peer.Do("inspect.wait", M{"queue": "default", "id": late.ID, "timeout_ms": 50})), -12)
		equal(t, "unknown", Status(i.peer.Do("inspect.wait", M{"queue": "default", "id": "none", "timeout_ms": 50})), -21)
	})
}

// TestInspectorSeesSchedules: entries and events of Go's scheduler.
func TestInspectorSeesSchedules(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	i := &cInspector{t, r, StartPeer(t, r.URI())}
	scheduler := asynq.NewScheduler(r.Opt(), &asynq.SchedulerOpts{LogLevel: asynq.FatalLevel, HeartbeatInterval: time.Second})
	entry, err := scheduler.Register("@every 1s", asynq.NewTask("report", []byte("p")), asynq.Queue("low"), asynq.MaxRetry(3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scheduler.Register("0 0 1 1 *", asynq.NewTask("yearly", nil)); err != nil {
		t.Fatal(err)
	}
	if err := scheduler.Start(); err != nil {
		t.Fatal(err)
	}
	defer scheduler.Shutdown()
	var schedules []any
	Eventually(t, 15*time.Second, "an entry that has run", func() bool {
		schedules = i.peer.Must("inspect.schedules", nil)["schedules"].([]any)
		return len(schedules) == 2 && Number(schedules[0].(M), "previous_at_ms") != 0
	})
	first, second := schedules[0].(M), schedules[1].(M)
	equal(t, "id", first["id"], any(entry))
	equal(t, "spec", first["spec"], any("@every 1s"))
	equal(t, "type", first["task_type"], any("report"))
	equal(t, "payload", first["payload"], any("p"))
	equal(t, "options", fmt.Sprint(first["options"]), `[Queue("low") MaxRetry(3)]`)
	equal(t, "type of the second", second["task_type"], any("yearly"))
	equal(t, "second has never run", Number(second, "previous_at_ms"), 0)
	Eventually(t, 15*time.Second, "3 events", func() bool {
		return len(i.peer.Must("inspect.schedule_events", M{"id": entry})["events"].([]any)) >= 3
	})
	events := i.peer.Must("inspect.schedule_events", M{"id": entry, "size": 2})["events"].([]any)
	equal(t, "events on a page", len(events), 2)
	if Number(events[0].(M), "at_ms") <= Number(events[1].(M), "at_ms") {
		t.Error("events are not newest first")
	}
	equal(t, "events of an unknown entry", len(i.peer.Must("inspect.schedule_events", M{"id": "none"})["events"].([]any)), 0)
}

// TestNoDebris: what our inspector deletes leaves nothing behind, also where Go's leaves locks and keys.
func TestNoDebris(t *testing.T) {
	t.Parallel()
	i := newCInspector(t).(*cInspector)
	e := NewGoEnqueuer(t, i.r)
	enqueue := func(id string, options Options) {
		options.ID, options.Unique, options.Queue = P(id), P(time.Hour), P("q")
		enqueueOK(t, e, Task{Type: "t-" + id, Own: options})
	}
	enqueue("grouped", Options{Group: P("g")})
	equal(t, "delete", i.act("delete", "q", "grouped"), "")
	equal(t, "keys after a grouped unique task", strings.Join(i.r.Keys(), " "), "asynq:queues")

	enqueue("pending", Options{})
	enqueue("scheduled", Options{ProcessIn: P(time.Hour)})
	enqueue("grouped", Options{Group: P("g")})
	putTask(t, i.r, "q", "completed", "completed", time.Now().Unix()+60, "")
	i.r.Int("HSET", TaskKey("q", "broken"), "result", "too late")
	Fsck(t, i.r, "--repair") // fills the quarantine
	i.r.Do("SET", QueueKey("q", "processed:"+time.Now().UTC().Format(time.DateOnly)), 1)
	equal(t, "pause", i.pause("q"), "")
	equal(t, "not forced", i.remove("q", false), notEmpty)
	equal(t, "forced", i.remove("q", true), "")
	equal(t, "keys", strings.Join(i.r.Strings("KEYS", "asynq:*"), " "), "")
}

// TestInspectorAndLostConnections: reads go on over lost connections, and no action is done twice or forgotten.
func TestInspectorAndLostConnections(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	for n := range 2000 {
		putTask(t, r, "default", fmt.Sprint(n), "retry", 4000000000, "")
	}
	proxy := StartProxy(t, r, ScriptNames(t))
	peer := StartPeer(t, proxy.URI())
	proxy.LoseOneIn(10)
	for range 20 {
		equal(t, "found", len(peer.Must("inspect.find", M{"queue": "default", "state": "retry"})["ids"].([]any)), 2000)
	}
	for rounds := 0; r.Int("ZCARD", QueueKey("default", "retry")) > 0; rounds++ {
		answer := peer.Do("inspect.act_all", M{"action": "run", "queue": "default", "state": "retry"})
		if status := Status(answer); status != 0 && status != -6 { // ASYNQ_E_OUTCOME_UNKNOWN
			t.Fatalf("status %d: %v", status, answer["error"])
		}
		if rounds > 200 {
			t.Fatal("no end")
		}
	}
	pending := r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1)
	slices.Sort(pending)
	equal(t, "pending", len(slices.Compact(pending)), 2000)
}

// TestFindWhileTasksMove: what stays in a list is found while others are pushed in front of it and taken away.
func TestFindWhileTasksMove(t *testing.T) {
	t.Parallel()
	i := newCInspector(t).(*cInspector)
	const staying = 3000
	i.r.Do("SADD", "asynq:queues", "default")
	for n := range staying {
		message := &base.TaskMessage{Type: "stays", ID: fmt.Sprint("s", n), Queue: "default"}
		i.r.Do("HSET", QueueKey("default", "t:"+message.ID), "msg", Encode(t, message), "state", "pending")
		i.r.Do("RPUSH", QueueKey("default", "pending"), message.ID, fmt.Sprint("goes", n))
	}
	stop, done := make(chan bool), make(chan int)
	go func() {
		moves := 0
		for {
			select {
			case <-stop:
				done <- moves
				return
			default:
				i.r.Client.LPush(Ctx, QueueKey("default", "pending"), fmt.Sprint("new", moves))
				i.r.Client.LRem(Ctx, QueueKey("default", "pending"), 1, fmt.Sprint("goes", moves%staying))
				i.r.Client.LRem(Ctx, QueueKey("default", "pending"), 1, fmt.Sprint("new", moves/2))
				moves++
			}
		}
	}()
	for range 20 {
		found := map[string]bool{}
		for _, id := range i.peer.Must("inspect.find", M{"queue": "default", "state": "pending", "type": "stays"})["ids"].([]any) {
			found[id.(string)] = true
		}
		equal(t, "found", len(found), staying)
	}
	close(stop)
	if moves := <-done; moves < 20 {
		t.Errorf("only %d tasks were moved", moves)
	}
}

// TestInspectorWithoutMemory: whichever allocation fails, the call says so, and nothing leaks.
func TestInspectorWithoutMemory(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	StartServer(t, "go", r, ServerOptions{Queues: map[string]int{"other": 1}})
	waitForServer(t, r)
	for n := range 3 {
		putTask(t, r, "default", fmt.Sprint(n), "retry", 4000000000, "")
		putTask(t, r, "default", fmt.Sprint("g", n), fmt.Sprint("aggregating:g", n), 4000000000, "")
	}
	r.Int("LPUSH", QueueKey("default", "pending"), "nobody") // something to find
	r.Int("HSET", TaskKey("default", "lost"), "state", "pending", "msg", "garbage")
	r.Int("HSET", QueueKey("default", "libasynq:quarantine"), "t:x", "1 y")
	r.Int("HSET", QueueKey("default", "libasynq:quarantined:t:x"), "msg", "z")
	peer := StartPeer(t, r.URI())
	answer := peer.Must("inspect.torture", nil)
	if Number(answer, "allocations") < 100 {
		t.Errorf("only %d allocations", Number(answer, "allocations"))
	}
}
