// Package soak runs asynqd under a mixed load for a long time; see tools/soak.
package soak

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const (
	tick         = 50 * time.Millisecond
	reloadEvery  = 10 * time.Second
	measureEvery = 2 * time.Second
	tolerated    = 1.05 // of the memory after the first sixth
)

// A soak is one run.
type soak struct {
	*testing.T
	redis    *Redis
	postgres *Postgres
	daemon   *Daemon
	service  string
	state    string
	held     string // the file where testdata/held.c writes
	answers  atomic.Int64
	sent     int
	reloads  int
}

// kinds are what is enqueued in turn. Each has a route, except the last.
var kinds = []struct {
	name    string
	payload func(i int) []byte
	opts    []asynq.Option
}{
	{"http:ok", text, []asynq.Option{asynq.MaxRetry(1)}},
	{"http:json", func(i int) []byte { return fmt.Appendf(nil, `{"name":"n%d","price":1.10}`, i) }, nil},
	{"http:fails", text, []asynq.Option{asynq.MaxRetry(1)}},
	{"http:gone", text, []asynq.Option{asynq.MaxRetry(0)}},
	{"command:cat", text, []asynq.Option{asynq.Retention(time.Minute)}},
	{"command:fails", text, []asynq.Option{asynq.MaxRetry(1)}},
	{"py:echo", text, []asynq.Option{asynq.MaxRetry(1)}}, // processes crash with others' tasks in them
	{"py:fail", text, []asynq.Option{asynq.MaxRetry(1)}},
	{"py:crash", text, []asynq.Option{asynq.MaxRetry(0)}},
	{"c:echo", text, nil},
	{"py:echo", func(int) []byte { return bytes.Repeat([]byte("large"), 40000) }, []asynq.Option{asynq.MaxRetry(1)}},
	{"nobody's", text, []asynq.Option{asynq.MaxRetry(0)}},
}

func text(i int) []byte { return []byte("payload " + strconv.Itoa(i)) }

// configuration is another one each time, so that a reload changes routes, pools and limits.
func (s *soak) configuration() string {
	worker, _ := filepath.Abs("../../workers/worker.py")
	return fmt.Sprintf(`
redis: %s
concurrency: %d
postgres: {uri: "%s"}
state_directory: %s
routes:
  - {type: "http:ok", http: {url: "%s/ok", max_connections_per_host: %d, targets: {private_addresses: allow}}}
  - {type: "http:json", http: {url: "%s/ok/{{payload.name}}", body: '{"price": {{payload.price}}}', targets: {private_addresses: allow}}}
  - {type: "http:fails", http: {url: "%s/fails", targets: {private_addresses: allow}}, retry: {policy: constant, initial_delay: 1s}}
  - {type: "http:gone", http: {url: "%s/gone", targets: {private_addresses: allow}}}
  - {type: "command:cat", command: {argv: [cat]}, limit: {scope: cats, max: 5}}
  - {type: "command:fails", command: {shell: 'cat >&2; exit %d'}, retry: {policy: constant, initial_delay: 1s}}
  - {type: "py:", worker: python}
  - {type: "c:", worker: c}
workers:
  python: {argv: [/usr/bin/python3, %s], size: %d, kill_timeout: 500ms}
  c: {argv: [%s], kill_timeout: 500ms}
`, s.redis.URI(), 20+s.reloads%20, s.postgres.URI(), s.state, s.service, 2+s.reloads%5, s.service, s.service, s.service,
		1+s.reloads%2, worker, 1+s.reloads/3%2, filepath.Join(BuildDir(), "asynq-test-worker"))
}

func (s *soak) answer(w http.ResponseWriter, r *http.Request) {
	n := s.answers.Add(1)
	switch {
	case strings.HasPrefix(r.URL.Path, "/fails"):
		w.WriteHeader(500)
	case strings.HasPrefix(r.URL.Path, "/gone"):
		w.WriteHeader(410)
	case n%50 == 0:
		time.Sleep(200 * time.Millisecond)
	}
}

func (s *soak) enqueue(client *asynq.Client) {
	kind := kinds[s.sent%len(kinds)]
	if _, err := client.Enqueue(asynq.NewTask(kind.name, kind.payload(s.sent)), kind.opts...); err != nil {
		s.Fatal(err)
	}
	s.sent++
}

// ask is what a fleet asks of an asynqd all the time; the answers only have to come.
func (s *soak) ask() {
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/scale", "/nothing"} {
		response, err := (&http.Client{Timeout: 30 * time.Second}).Get(s.daemon.URL() + path)
		if err != nil {
			s.Fatal(err)
		}
		response.Body.Close()
	}
	body := strings.NewReader(`[{"type":"http:ok"},{"type":"py:echo","payload":"by HTTP","max_retry":1},{"type":""}]`)
	response, err := http.Post(s.daemon.URL()+"/v1/tasks", "application/json", body)
	if err != nil {
		s.Fatal(err)
	}
	response.Body.Close()
}

// memory is the resident memory of asynqd in kB.
func (s *soak) memory() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.daemon.Pid()))
	if err != nil {
		s.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kB, _ := strconv.Atoi(strings.Fields(after)[0])
	return kB
}

// start has asynqd tell what it holds; see tools/soak.
func (s *soak) start() {
	s.held = filepath.Join(s.TempDir(), "held")
	os.Setenv("ASYNQ_HELD_FILE", s.held)
	os.Setenv("LD_PRELOAD", os.Getenv("ASYNQ_SOAK_PRELOAD"))
	s.daemon = StartDaemon(s, s.configuration())
	os.Unsetenv("LD_PRELOAD")
}

// heldMemory is what asynqd has allocated and not freed, in kB.
func (s *soak) heldMemory() int {
	text, err := os.ReadFile(s.held)
	if err != nil {
		s.Fatal(err)
	}
	bytes, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		s.Fatal(err)
	}
	return bytes / 1000
}

func (s *soak) left() int {
	inspector := asynq.NewInspector(s.redis.Opt())
	defer inspector.Close()
	queue, err := inspector.GetQueueInfo("default")
	if err != nil {
		s.Fatal(err)
	}
	return queue.Pending + queue.Active + queue.Retry + queue.Scheduled
}

// run loads it for so long, and returns the memory that it had, and held, from time to time.
func (s *soak) run(duration time.Duration) (measured, held []int) {
	client := asynq.NewClient(s.redis.Opt())
	defer client.Close()
	start := time.Now()
	lastReload, lastMeasure := start, start
	for now := start; now.Sub(start) < duration; now = time.Now() {
		for range 4 {
			s.enqueue(client)
		}
		if now.Sub(lastMeasure) > measureEvery {
			lastMeasure = now
			measured, held = append(measured, s.memory()), append(held, s.heldMemory())
			s.ask()
			fmt.Printf("\r\033[K%v of %v: %d tasks, %d reloads, %d kB, %d held", now.Sub(start).Round(time.Second), duration, s.sent,
				s.reloads, measured[len(measured)-1], held[len(held)-1])
		}
		if now.Sub(lastReload) > reloadEvery {
			lastReload = now
			s.reloads++
			s.daemon.Configure(s.configuration())
			s.daemon.Signal(syscall.SIGHUP)
		}
		time.Sleep(tick)
	}
	fmt.Println()
	return measured, held
}

func median(values []int) int {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// doesNotGrow compares the second sixth of the time with the last. Not everything is limited.
func (s *soak) doesNotGrow(what string, measured []int, isLimited bool) {
	sixth := len(measured) / 6
	if sixth < 5 {
		s.Logf("%s: too short to say anything", what)
		return
	}
	early, late := median(measured[sixth:2*sixth]), median(measured[5*sixth:])
	s.Logf("%s: %d kB after the first sixth, %d kB in the last", what, early, late)
	if isLimited && float64(late) > tolerated*float64(early) {
		s.Errorf("%s grows: %d kB, then %d kB", what, early, late)
	}
}

// TestSoak: nothing is lost, nothing grows, and a sanitizer has nothing to say.
func TestSoak(t *testing.T) {
	minutes, err := strconv.ParseFloat(os.Getenv("ASYNQ_SOAK_MINUTES"), 64)
	if err != nil {
		t.Fatalf("ASYNQ_SOAK_MINUTES: %v; see tools/soak", err)
	}
	s := &soak{T: t, redis: StartRedis(t), postgres: StartPostgres(t), state: t.TempDir()}
	s.postgres.Migrate()
	service := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(service.Close)
	s.service = service.URL
	s.start()
	measured, held := s.run(time.Duration(minutes * float64(time.Minute)))

	Eventually(t, 600*time.Second, "all tasks to have ended", func() bool { return s.left() == 0 }) // retries have long pauses
	IsWell(t, s.redis)
	if answers := s.answers.Load(); answers == 0 {
		t.Error("no request has arrived")
	}
	if reloads := len(s.daemon.Find("configuration reloaded: ")); reloads != s.reloads {
		t.Errorf("%d reloads, want %d", reloads, s.reloads)
	}
	t.Logf("%d tasks, %d reloads on %d processors", s.sent, s.reloads, runtime.NumCPU())
	s.doesNotGrow("what is held", held, true)
	s.doesNotGrow("the memory", measured, os.Getenv("ASYNQ_SOAK_MEMORY") != "any")
}
