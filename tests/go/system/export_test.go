package system

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq/internal/base"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestExportDuringAggregation: tasks that are being aggregated are counted, and an export says that it lacks them.
func TestExportDuringAggregation(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	r.Do("SADD", "asynq:queues", "default")
	set := QueueKey("default", "g:g:0e8e1ab5-9a0c-4b9b-8a4a-1c1f7f5a6a01")
	for _, id := range []string{"a", "b", "c"} {
		message := Encode(t, &base.TaskMessage{Type: "t", ID: id, Queue: "default", GroupKey: "g"})
		r.Do("HSET", QueueKey("default", "t:"+id), "msg", message, "state", "aggregating", "group", "g")
		r.Do("ZADD", set, time.Now().Unix(), id)
	}
	r.Do("ZADD", QueueKey("default", "aggregation_sets"), time.Now().Add(time.Minute).Unix(), set)
	queue := ctl(t, r, "queue", "inspect", "default")
	queue.expect(t, "queue", 0, `size +3\n(?s).*aggregated now +3\n`, "")
	export := ctl(t, r, "export", "-q", "default")
	export.expect(t, "export", 1, "", `^0 tasks exported\n.*3 tasks are not in the export`)
	ctl(t, r, "export").expect(t, "export of all", 1, "", "3 tasks are not in the export")
	ctl(t, r, "export", "-s", "retry").expect(t, "export of another state", 0, "", "^0 tasks exported\n$")
	for _, id := range []string{"a", "b", "c"} {
		r.Do("ZADD", QueueKey("default", "g:g"), time.Now().Unix(), id)
	}
	r.Do("SADD", QueueKey("default", "groups"), "g")
	r.Do("DEL", set, QueueKey("default", "aggregation_sets"))
	if back := ctl(t, r, "export", "-q", "default"); back.status != 0 {
		t.Error(fmt.Sprint(back))
	}
}
