package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/x/rate"
)

// ServerOptions describe a server under test.
type ServerOptions struct {
	Queues      map[string]int
	Concurrency int
	Strict      bool
	ShutdownMs  int
	RetryMs     *int64   // fixed retry delay; nil: Asynq's default
	NotFailures []string // error texts for which IsFailure answers false
	Middleware  bool
	HealthMs    int
	Attempts    bool   // note each attempt's start and end, in C
	Daemonize   bool   // the process becomes another one before the start, in C
	LedgerPath  string // default: a new file
	Routes      []Route
	RetriesLost bool // a lost task has failed, as in Go; in C
	MaxLosses   int
	Session     time.Duration
	Semaphore   *rate.Semaphore // in Go: of the type "limited"

	// Groups. Aggregated tasks are of type "t:sum", with the payload {"group": name, "tasks": [payload, ...]}.
	Aggregates      bool
	Grace, MaxDelay time.Duration
	MaxSize         int
	AggregateMs     int // how long each aggregation takes, in C
}

// Route is a route of our server beside the usual ones, with the same handler.
type Route struct {
	Pattern string `json:"pattern"`
	Retry   Retry  `json:"retry"`
	Scope   string `json:"scope,omitempty"` // of a limit
	Max     int    `json:"max,omitempty"`
	Nested  bool   `json:"nested,omitempty"` // in a mux in the mux
	Async   bool   `json:"async,omitempty"`
	// Capacity is the number of one, from 1 on, which has so much room; 0: the route has none.
	Capacity int  `json:"capacity,omitempty"`
	Room     int  `json:"room,omitempty"`
	Later    bool `json:"later,omitempty"` // begins 200 ms after it was called
}

// Retry is an asynq_retry_policy.
type Retry struct {
	Kind    int   `json:"kind"`
	DelayMs int64 `json:"delay_ms"`
	MaxMs   int64 `json:"max_ms"`
	Jitter  int   `json:"jitter"`
}

// Kinds of retry policies.
const (
	RetryByServer = iota
	RetryConstant
	RetryExponential
	RetryAsynq
)

// Wish is what a task's payload tells the handler to do; see tests/peer/peer_server.c.
type Wish struct {
	Do       string `json:"do,omitempty"`
	Text     string `json:"text,omitempty"`
	Result   string `json:"result,omitempty"`
	Flush    string `json:"flush,omitempty"` // a result while it runs, in C
	SleepMs  int    `json:"sleep_ms,omitempty"`
	Times    *int   `json:"times,omitempty"`
	PauseMs  int64  `json:"pause_ms,omitempty"`
	Stubborn bool   `json:"stubborn,omitempty"`
	Code     int    `json:"code,omitempty"` // of asynq_job_set_code(), in C
}

// Payload is the wish as a payload.
func (w Wish) Payload() *string {
	text, _ := json.Marshal(w)
	return P(string(text))
}

// Line is one start or end of a handler.
type Line struct {
	What, Queue, ID string
	Retry           int
	AtUs            int64
}

// ReadCalls is what became of each call of a client's stream: "acked", "unknown" or "refused"; "intend": it never said.
func ReadCalls(t testing.TB, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	outcome := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 {
			outcome[fields[1]] = fields[0]
		}
	}
	return outcome
}

// RunsOf are the starts and ends of each task, in order.
func RunsOf(lines []Line) map[string][]Line {
	runs := map[string][]Line{}
	for _, line := range lines {
		runs[line.ID] = append(runs[line.ID], line)
	}
	return runs
}

// HasEnded tells whether one of the runs came to its end.
func HasEnded(lines []Line) bool {
	return slices.ContainsFunc(lines, func(line Line) bool { return line.What == "end" })
}

// Server is a running server under test, Go's or ours.
type Server interface {
	Kind() string
	Stop()
	Shutdown()
	Terminate() // by signal TERM, or what comes nearest
	Notes() []string
	Ledger() []Line
}

// ReadLedger reads the starts and ends that handlers have written.
func ReadLedger(t testing.TB, path string) []Line {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var lines []Line
	for _, row := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.Fields(row)
		if len(fields) != 5 {
			continue
		}
		retry, _ := strconv.Atoi(fields[3])
		at, _ := strconv.ParseInt(fields[4], 10, 64)
		lines = append(lines, Line{fields[0], fields[1], fields[2], retry, at})
	}
	return lines
}

// Starts counts the starts of each task, by queue and id.
func Starts(lines []Line) map[string]int {
	starts := map[string]int{}
	for _, line := range lines {
		if line.What == "start" {
			starts[line.Queue+"/"+line.ID]++
		}
	}
	return starts
}

// StartServer starts a server of the given kind, "go" or "c".
func StartServer(t testing.TB, kind string, r *Redis, options ServerOptions) Server {
	t.Helper()
	if options.LedgerPath == "" {
		options.LedgerPath = filepath.Join(r.Dir, fmt.Sprintf("ledger-%d", time.Now().UnixNano()))
	}
	if kind == "go" {
		return startGoServer(t, r, options)
	}
	return StartCServer(t, r.URI(), options)
}

// Servers runs a test with each kind of server.
func Servers(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range []string{"go", "c"} {
		t.Run(kind, func(t *testing.T) { t.Parallel(); test(t, kind) })
	}
}

// ---- ours ----

// CServer is a server of ours in a process of its own.
type CServer struct {
	*Peer
	path string
}

// StartCServer starts a peer with a server in it.
func StartCServer(t testing.TB, uri string, options ServerOptions) *CServer {
	t.Helper()
	return StartCServerIn(StartPeer(t, uri), options)
}

// StartCServerIn starts a server in a peer.
func StartCServerIn(peer *Peer, options ServerOptions) *CServer {
	peer.t.Helper()
	s := &CServer{peer, options.LedgerPath}
	s.Must("server.start", options.forC())
	return s
}

// StartCServerWrong wants the server to refuse its options, and returns the complaint.
func StartCServerWrong(t testing.TB, uri string, options ServerOptions) string {
	t.Helper()
	answer := StartPeer(t, uri).Do("server.start", options.forC())
	if Status(answer) == 0 {
		t.Errorf("%+v is accepted", options)
	}
	return answer["error"].(string)
}

// ServerOptionsForC are the options as the peer reads them.
func ServerOptionsForC(options ServerOptions) M { return options.forC() }

func (options ServerOptions) forC() M {
	m := M{"concurrency": options.Concurrency, "strict": options.Strict, "shutdown_ms": options.ShutdownMs,
		"ledger": options.LedgerPath, "middleware": options.Middleware, "health_ms": options.HealthMs, "retries_lost": options.RetriesLost, "max_losses": options.MaxLosses,
		"session_ms": options.Session.Milliseconds(), "attempts": options.Attempts,
		"daemonize":  options.Daemonize,
		"aggregates": options.Aggregates, "grace_ms": options.Grace.Milliseconds(),
		"max_delay_ms": options.MaxDelay.Milliseconds(), "max_size": options.MaxSize,
		"aggregate_ms": options.AggregateMs}
	if options.Queues != nil {
		m["queues"] = options.Queues
	}
	if options.RetryMs != nil {
		m["retry_delay_ms"] = *options.RetryMs
	}
	if options.NotFailures != nil {
		m["not_failures"] = options.NotFailures
	}
	if options.Routes != nil {
		m["routes"] = options.Routes
	}
	return m
}

// Kind is "c".
func (s *CServer) Kind() string { return "c" }

// Stop stops it taking tasks.
func (s *CServer) Stop() { s.Must("server.stop", nil) }

// Shutdown ends the server, not the process.
func (s *CServer) Shutdown() { s.Must("server.shutdown", nil) }

// Terminate is Shutdown: the peer takes no signals.
func (s *CServer) Terminate() { s.Shutdown() }

// Ledger is what its handlers have written.
func (s *CServer) Ledger() []Line { return ReadLedger(s.t, s.path) }

// ---- Go's ----

type goServer struct {
	t      testing.TB
	server *asynq.Server
	path   string
	once   sync.Once
	mutex  sync.Mutex
	notes  []string
}

// Note keeps what handlers and middleware report.
func (s *goServer) Note(format string, arguments ...any) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.notes = append(s.notes, fmt.Sprintf(format, arguments...))
}

func startGoServer(t testing.TB, r *Redis, options ServerOptions) *goServer {
	s := &goServer{t: t, path: options.LedgerPath}
	s.server = asynq.NewServer(r.Opt(), s.config(options))
	if err := s.server.Start(GoMux(s, options)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func (s *goServer) config(options ServerOptions) asynq.Config {
	config := asynq.Config{
		Concurrency:     options.Concurrency,
		Queues:          options.Queues,
		StrictPriority:  options.Strict,
		ShutdownTimeout: time.Duration(options.ShutdownMs) * time.Millisecond,
		LogLevel:        asynq.FatalLevel,
		ErrorHandler: asynq.ErrorHandlerFunc(func(ctx context.Context, task *asynq.Task, err error) {
			id, _ := asynq.GetTaskID(ctx)
			s.Note("error %s %s", id, err)
		}),
	}
	if options.Aggregates {
		config.GroupAggregator = asynq.GroupAggregatorFunc(aggregate)
		config.GroupGracePeriod, config.GroupMaxDelay, config.GroupMaxSize = options.Grace, options.MaxDelay, options.MaxSize
	}
	if options.RetryMs != nil {
		config.RetryDelayFunc = func(int, error, *asynq.Task) time.Duration {
			return time.Duration(*options.RetryMs) * time.Millisecond
		}
	}
	if options.NotFailures != nil {
		config.IsFailure = func(err error) bool {
			for _, text := range options.NotFailures {
				if err.Error() == text {
					return false
				}
			}
			return true
		}
	}
	return config
}

// aggregate does what the peer's aggregator does.
func aggregate(group string, tasks []*asynq.Task) *asynq.Task {
	payloads := []string{}
	for _, task := range tasks {
		payloads = append(payloads, string(task.Payload()))
	}
	text, _ := json.Marshal(M{"group": group, "tasks": payloads})
	return asynq.NewTask("t:sum", text, asynq.Retention(time.Hour), asynq.Queue("elsewhere"))
}

// Noter receives what handlers report.
type Noter interface{ Note(string, ...any) }

// GoMux is the same set of handlers as the peer's.
func GoMux(s *goServer, options ServerOptions) *asynq.ServeMux {
	mux := asynq.NewServeMux()
	handle := GoHandler(options.LedgerPath, s)
	for _, pattern := range []string{"load", "t", "async:", "inline:"} {
		mux.HandleFunc(pattern, handle)
	}
	for _, pattern := range []string{"email", "email:welcome"} {
		mux.HandleFunc(pattern, func(ctx context.Context, task *asynq.Task) error {
			s.Note("%s %s", pattern, task.Type())
			return nil
		})
	}
	mux.HandleFunc("deadline", func(ctx context.Context, task *asynq.Task) error {
		deadline, _ := ctx.Deadline()
		s.Note("deadline %d", time.Until(deadline).Milliseconds())
		return nil
	})
	if options.Semaphore != nil {
		mux.HandleFunc("limited", func(ctx context.Context, task *asynq.Task) error {
			held, err := options.Semaphore.Acquire(ctx)
			if err == nil && !held {
				err = errors.New("no token")
			}
			if err != nil {
				return err
			}
			defer options.Semaphore.Release(ctx)
			return handle(ctx, task)
		})
	}
	if options.Middleware {
		for _, name := range []string{"A", "B"} {
			mux.Use(func(next asynq.Handler) asynq.Handler {
				return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
					s.Note("before %s %s", name, task.Type())
					err := next.ProcessTask(ctx, task)
					s.Note("after %s %s", name, task.Type())
					return err
				})
			})
		}
	}
	return mux
}

// GoHandler does what the peer's handler does.
func GoHandler(ledger string, s Noter) asynq.HandlerFunc {
	file, err := os.OpenFile(ledger, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	return func(ctx context.Context, task *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		retried, _ := asynq.GetRetryCount(ctx)
		write := func(what string) {
			fmt.Fprintf(file, "%s %s %s %d %d\n", what, queue, id, retried, time.Now().UnixMicro())
		}
		var wish Wish
		json.Unmarshal(task.Payload(), &wish)
		write("start")
		defer write("end")
		pause(ctx, wish, func() { s.Note("cancelled %s", id) })
		if wish.Result != "" {
			if _, err := task.ResultWriter().Write([]byte(wish.Result)); err != nil {
				return err
			}
		}
		return outcome(wish, retried)
	}
}

func pause(ctx context.Context, wish Wish, cancelled func()) {
	sleep := time.Duration(wish.SleepMs) * time.Millisecond
	if wish.Stubborn || sleep == 0 {
		time.Sleep(sleep)
		return
	}
	select {
	case <-ctx.Done():
		cancelled()
	case <-time.After(sleep):
	}
}

// textError fails with exactly a text, however it wraps.
type textError struct {
	text string
	wrap []error
}

func (e textError) Error() string   { return e.text }
func (e textError) Unwrap() []error { return e.wrap }

func outcome(wish Wish, retried int) error {
	text := wish.Text
	if text == "" {
		text = "failed as told"
	}
	if wish.Times != nil && retried >= *wish.Times {
		return nil
	}
	switch wish.Do {
	case "fail":
		return errors.New(text)
	case "skip":
		return textError{text, []error{asynq.SkipRetry}}
	case "revoke":
		return textError{text, []error{asynq.RevokeTask}}
	case "both":
		return textError{text, []error{asynq.SkipRetry, asynq.RevokeTask}}
	case "crash":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return nil
}

func (s *goServer) Kind() string   { return "go" }
func (s *goServer) Stop()          { s.server.Stop() }
func (s *goServer) Shutdown()      { s.once.Do(s.server.Shutdown) }
func (s *goServer) Terminate()     { s.Stop(); s.Shutdown() }
func (s *goServer) Ledger() []Line { return ReadLedger(s.t, s.path) }

func (s *goServer) Notes() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	notes := s.notes
	s.notes = nil
	return notes
}
