package harness

import (
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	pb "github.com/hibiken/asynq/internal/proto"
	"google.golang.org/protobuf/proto"
)

// Entry is a periodic entry for either library; the last fields are for ours.
type Entry struct {
	Spec string
	Task Task // Call: the options given at registration

	Name     string
	CatchUp  int // asynq_catch_up
	LimitMs  int64
	JitterMs int64
}

// Enqueueing is what a hook heard: before an enqueue the type, after it also the result.
type Enqueueing struct {
	Hook, Type, ID, Error string
}

// Scheduler is a scheduler of either library.
type Scheduler interface {
	Register(entry Entry) (id string, err error)
	Unregister(id string) error
	Start() error
	Shutdown()
	// Notes are the calls of hooks since the last call.
	Notes() []Enqueueing
}

// SchedulerOptions are those that both libraries have.
type SchedulerOptions struct {
	Heartbeat time.Duration
	Zone      string
}

// Schedulers runs a test with a scheduler of Go, an independent one of ours and, if it is to, an elected one of ours.
func Schedulers(t *testing.T, elected bool, run func(t *testing.T, kind string)) {
	kinds := []string{"go", "c-independent"}
	if elected {
		kinds = append(kinds, "c-elected")
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			run(t, kind)
		})
	}
}

// NewScheduler makes one that is not started; it ends with the test.
func NewScheduler(t testing.TB, kind string, r *Redis, options SchedulerOptions) Scheduler {
	t.Helper()
	if kind == "go" {
		return newGoScheduler(t, r, options)
	}
	return NewCScheduler(t, r.URI(), kind == "c-independent", options)
}

type goScheduler struct {
	*asynq.Scheduler
	notes chan Enqueueing
	shut  bool
}

func newGoScheduler(t testing.TB, r *Redis, options SchedulerOptions) Scheduler {
	s := &goScheduler{notes: make(chan Enqueueing, 10000)}
	given := &asynq.SchedulerOpts{
		LogLevel:          asynq.FatalLevel,
		HeartbeatInterval: options.Heartbeat,
		PreEnqueueFunc: func(task *asynq.Task, _ []asynq.Option) {
			s.notes <- Enqueueing{Hook: "pre", Type: task.Type()}
		},
		PostEnqueueFunc: func(info *asynq.TaskInfo, err error) {
			note := Enqueueing{Hook: "post"}
			if err != nil {
				note.Error = err.Error()
			} else {
				note.ID, note.Type = info.ID, info.Type
			}
			s.notes <- note
		},
	}
	if options.Zone != "" {
		given.Location, _ = time.LoadLocation(options.Zone)
	}
	s.Scheduler = asynq.NewScheduler(r.Opt(), given)
	t.Cleanup(s.Shutdown)
	return s
}

func (s *goScheduler) Register(entry Entry) (string, error) {
	task, call := entry.Task.ForGo()
	return s.Scheduler.Register(entry.Spec, task, call...)
}

func (s *goScheduler) Shutdown() {
	if !s.shut {
		s.shut = true
		s.Scheduler.Shutdown()
	}
}

func (s *goScheduler) Notes() (notes []Enqueueing) {
	for len(s.notes) > 0 {
		notes = append(notes, <-s.notes)
	}
	return notes
}

// CScheduler is ours, in a peer of its own.
type CScheduler struct {
	*Peer
}

// NewCScheduler makes a scheduler of ours that is not started.
func NewCScheduler(t testing.TB, uri string, independent bool, options SchedulerOptions) *CScheduler {
	t.Helper()
	s := &CScheduler{StartPeer(t, uri)}
	arguments := M{"independent": independent, "heartbeat_ms": options.Heartbeat.Milliseconds(), "notes": true}
	if options.Zone != "" {
		arguments["zone"] = options.Zone
	}
	s.Must("scheduler.new", arguments)
	return s
}

func (s *CScheduler) do(op string, arguments M) (M, error) {
	answer := s.Do(op, arguments)
	if Status(answer) != 0 {
		return answer, errors.New(answer["error"].(string))
	}
	return answer, nil
}

// forC is an entry as the peer reads it.
func (entry Entry) forC() M {
	arguments := entry.Task.ForC()
	arguments["spec"] = entry.Spec
	arguments["catch_up"], arguments["limit_ms"], arguments["jitter_ms"] = entry.CatchUp, entry.LimitMs, entry.JitterMs
	if entry.Name != "" {
		arguments["name"] = entry.Name
	}
	return arguments
}

func (s *CScheduler) Register(entry Entry) (string, error) {
	answer, err := s.do("scheduler.register", entry.forC())
	if err != nil {
		return "", err
	}
	return answer["id"].(string), nil
}

func (s *CScheduler) Unregister(id string) error {
	_, err := s.do("scheduler.unregister", M{"id": id})
	return err
}

func (s *CScheduler) Start() error {
	_, err := s.do("scheduler.start", nil)
	return err
}

func (s *CScheduler) Shutdown() { s.Must("scheduler.shutdown", nil) }

// Hooks are the calls of hooks since the last call, in full.
func (s *CScheduler) Hooks() (hooks []M) {
	for _, note := range s.Must("scheduler.notes", nil)["notes"].([]any) {
		hooks = append(hooks, note.(M))
	}
	return hooks
}

func (s *CScheduler) Notes() (notes []Enqueueing) {
	for _, hook := range s.Hooks() {
		note := Enqueueing{Hook: hook["hook"].(string)}
		note.Type, _ = hook["type"].(string)
		if result, ok := hook["result"].(M); ok {
			note.ID, note.Error = result["id"].(string), result["error"].(string)
			if note.Error != "" {
				note.ID, note.Type = "", ""
			}
		}
		notes = append(notes, note)
	}
	return notes
}

// ShownEntries are the entries that schedulers show user interfaces.
func ShownEntries(t testing.TB, r *Redis) (entries []*pb.SchedulerEntry) {
	t.Helper()
	for _, list := range r.Strings("KEYS", "asynq:schedulers:*") {
		for _, blob := range r.Strings("LRANGE", list, 0, -1) {
			entry := &pb.SchedulerEntry{}
			if err := proto.Unmarshal([]byte(blob), entry); err != nil {
				t.Fatal(err)
			}
			entries = append(entries, entry)
		}
	}
	return entries
}
