package harness

import (
	"time"

	"github.com/hibiken/asynq"
)

// Options are the options of an enqueue call in a form that both libraries' calls can be made from. Nil: not given.
type Options struct {
	Queue, ID, Group                      *string
	MaxRetry                              *int
	Timeout, Unique, ProcessIn, Retention *time.Duration
	Deadline, ProcessAt                   *time.Time
	Headers                               map[string]string
}

// Task is a task to be enqueued: options at creation, and options of the call over them.
type Task struct {
	Type    string
	Payload *string // nil: absent
	Own     Options
	Call    *Options
}

// P makes a pointer to a value.
func P[T any](value T) *T { return &value }

// ForGo is the task for Go's client; headers of the task only, as v0.26.0 has no option for them.
func (task Task) ForGo() (*asynq.Task, []asynq.Option) {
	var payload []byte
	if task.Payload != nil {
		payload = []byte(*task.Payload)
	}
	var call []asynq.Option
	if task.Call != nil {
		call = task.Call.forGo()
	}
	if task.Own.Headers != nil {
		return asynq.NewTaskWithHeaders(task.Type, payload, task.Own.Headers, task.Own.forGo()...), call
	}
	return asynq.NewTask(task.Type, payload, task.Own.forGo()...), call
}

func (o Options) forGo() []asynq.Option {
	var list []asynq.Option
	if o.Queue != nil {
		list = append(list, asynq.Queue(*o.Queue))
	}
	if o.ID != nil {
		list = append(list, asynq.TaskID(*o.ID))
	}
	if o.Group != nil {
		list = append(list, asynq.Group(*o.Group))
	}
	if o.MaxRetry != nil {
		list = append(list, asynq.MaxRetry(*o.MaxRetry))
	}
	if o.Timeout != nil {
		list = append(list, asynq.Timeout(*o.Timeout))
	}
	if o.Unique != nil {
		list = append(list, asynq.Unique(*o.Unique))
	}
	if o.ProcessIn != nil {
		list = append(list, asynq.ProcessIn(*o.ProcessIn))
	}
	if o.Retention != nil {
		list = append(list, asynq.Retention(*o.Retention))
	}
	if o.Deadline != nil {
		list = append(list, asynq.Deadline(*o.Deadline))
	}
	if o.ProcessAt != nil {
		list = append(list, asynq.ProcessAt(*o.ProcessAt))
	}
	return list
}

// ForC is the task for our peer.
func (task Task) ForC() M {
	call := any(nil)
	arguments := M{"task": task.forC()}
	if task.Call != nil {
		call = task.Call.forC()
		arguments["call"] = call
	}
	return arguments
}

func (task Task) forC() M {
	m := M{"type": task.Type, "options": task.Own.forC()}
	if task.Payload != nil {
		m["payload"] = *task.Payload
	}
	return m
}

// BatchForC is many tasks for our peer.
func BatchForC(tasks []Task) M {
	list := []M{}
	for _, task := range tasks {
		list = append(list, task.forC())
	}
	return M{"tasks": list}
}

func (o Options) forC() M {
	m := M{}
	put := func(name string, value *time.Duration) {
		if value != nil {
			m[name] = value.Milliseconds()
		}
	}
	put("timeout_ms", o.Timeout)
	put("unique_ms", o.Unique)
	put("process_in_ms", o.ProcessIn)
	put("retention_ms", o.Retention)
	if o.Queue != nil {
		m["queue"] = *o.Queue
	}
	if o.ID != nil {
		m["id"] = *o.ID
	}
	if o.Group != nil {
		m["group"] = *o.Group
	}
	if o.MaxRetry != nil {
		m["max_retry"] = *o.MaxRetry
		if *o.MaxRetry == 0 {
			m["max_retry"] = "none"
		}
	}
	if o.Deadline != nil {
		m["deadline_ms"] = o.Deadline.UnixMilli()
	}
	if o.ProcessAt != nil {
		m["process_at_ms"] = o.ProcessAt.UnixMilli()
	}
	if o.Headers != nil {
		m["headers"] = o.Headers
	}
	return m
}
