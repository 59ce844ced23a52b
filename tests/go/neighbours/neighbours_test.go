// Package neighbours measures asynqd beside bad neighbours; see bench/neighbours.
package neighbours

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

const (
	askEvery  = 10 * time.Millisecond
	taskEvery = 50 * time.Millisecond
	wanted    = 50 * time.Millisecond
)

// A scene is one asynqd with its neighbours. The route "quick" leads to a service that answers at once.
type scene struct {
	testing.TB
	redis    *Redis
	postgres *Postgres
	daemon   *Daemon
	service  string

	lock    sync.Mutex
	waits   []time.Duration // of quick tasks, until the request arrives
	missing int             // quick tasks that were enqueued and did not arrive
}

// A neighbour makes trouble. `config` is added to the configuration, `routes` to its routes, `setup` is what a shell runs
// before asynqd; `begin` is called when it is ready.
type neighbour struct {
	name, setup, routes, config string
	begin                       func(s *scene)
	needsPostgres, hasNoTasks   bool
	mayWait                     time.Duration // quick tasks; 0: as wanted
}

func (s *scene) client() *asynq.Client {
	client := asynq.NewClient(s.redis.Opt())
	s.Cleanup(func() { client.Close() })
	return client
}

func (s *scene) enqueueMany(taskType string, n int, payload func(i int) string) {
	client := s.client()
	for i := range n {
		if _, err := client.Enqueue(asynq.NewTask(taskType, []byte(payload(i))), asynq.MaxRetry(0)); err != nil {
			s.Fatal(err)
		}
	}
}

func none(int) string { return "" }

// silentNameServer takes questions and answers none.
func silentNameServer(t testing.TB) (setup string) {
	server, err := net.ListenPacket("udp", "127.66.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.66.0.2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return `set -- unshare --mount sh -c 'mount --bind ` + file + ` /etc/resolv.conf && exec "$@"' sh "$@"`
}

func silentListener(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

func neighbours(t testing.TB) []neighbour {
	return []neighbour{
		{name: "none"},
		{name: "silent name server", setup: silentNameServer(t),
			routes: `  - {type: "named", http: {url: "http://{{payload}}.example/", connect_timeout: 2s}}`,
			begin: func(s *scene) {
				s.enqueueMany("named", 200, func(i int) string { return "host" + strconv.Itoa(i) })
			}},
		{name: "3,000 commands",
			routes: `  - {type: "command", command: {argv: ["/bin/true"]}}`,
			begin:  func(s *scene) { s.enqueueMany("command", 3000, none) }},
		{name: "unread log",
			begin: func(s *scene) {
				s.Cleanup(s.daemon.HoldLog())
				go s.enqueueMany(strings.Repeat("unknown", 100), 8000, none)
			}},
		{name: "no descriptors", setup: "ulimit -n 80",
			routes: `  - {type: "command", command: {argv: [sleep, "0.2"]}}`,
			begin:  func(s *scene) { s.enqueueMany("command", 400, none) }},
		{name: "PostgreSQL locked", needsPostgres: true,
			begin: func(s *scene) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					s.postgres.Try("BEGIN; LOCK TABLE asynqd.executions IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(" +
						fmt.Sprint(seconds(s)+2) + "); COMMIT")
				}()
				s.Cleanup(func() { <-done })
			}},
		{name: "PostgreSQL read-only", needsPostgres: true,
			begin: func(s *scene) {
				s.postgres.Exec("ALTER SYSTEM SET default_transaction_read_only = on")
				s.postgres.Exec("SELECT pg_reload_conf()")
			}},
		{name: "PostgreSQL away", needsPostgres: true, begin: func(s *scene) { s.postgres.Stop() }},
		{name: "Redis away", hasNoTasks: true,
			begin: func(s *scene) {
				s.redis.Stop()
				s.Cleanup(s.redis.Continue)
			}},
		{name: "large payloads", mayWait: 500 * time.Millisecond, // 200 MB go to Redis and back on the same connection
			routes: `  - {type: "large", http: {url: "http://` + silentListener(t) + `/", timeout: 3s, targets: {private_addresses: allow}}}`,
			begin: func(s *scene) {
				large := strings.Repeat("x", 5<<20)
				go s.enqueueMany("large", 40, func(int) string { return large })
			}},
	}
}

func seconds(t testing.TB) float64 {
	n, err := strconv.ParseFloat(os.Getenv("ASYNQ_NEIGHBOUR_SECONDS"), 64)
	if err != nil {
		t.Fatalf("ASYNQ_NEIGHBOUR_SECONDS: %v; see bench/neighbours", err)
	}
	return n
}

// arrived is a quick task; its payload is when it was enqueued.
func (s *scene) arrived(_ http.ResponseWriter, r *http.Request) {
	at, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
	if err != nil {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.waits = append(s.waits, time.Since(time.Unix(0, at)))
	s.missing--
}

// ask measures /healthz until the end, one question after the other.
func (s *scene) ask(until time.Time) (answers []time.Duration) {
	client := &http.Client{Timeout: 30 * time.Second}
	url := s.daemon.URL() + "/healthz"
	for time.Now().Before(until) {
		start := time.Now()
		response, err := client.Get(url)
		if err != nil {
			s.Fatal(err)
		}
		response.Body.Close()
		answers = append(answers, time.Since(start))
		time.Sleep(askEvery)
	}
	return answers
}

func (s *scene) enqueueQuick(until time.Time) {
	client := s.client()
	for time.Now().Before(until) {
		s.lock.Lock()
		s.missing++
		s.lock.Unlock()
		at := strconv.FormatInt(time.Now().UnixNano(), 10)
		if _, err := client.Enqueue(asynq.NewTask("quick", []byte(at)), asynq.Queue("quick"), asynq.MaxRetry(0)); err != nil {
			s.Fatal(err)
		}
		time.Sleep(taskEvery)
	}
}

// await waits until all quick tasks have arrived, so that a late one counts as that.
func (s *scene) await(within time.Duration) {
	for until := time.Now().Add(within); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		s.lock.Lock()
		missing := s.missing
		s.lock.Unlock()
		if missing == 0 {
			return
		}
	}
}

func (s *scene) residentMB() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.daemon.Pid()))
	if err != nil {
		s.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kB, _ := strconv.Atoi(strings.Fields(after)[0])
	return float64(kB) / 1024
}

func p99(durations []time.Duration) (p99, longest time.Duration) {
	if len(durations) == 0 {
		return 0, 0
	}
	slices.Sort(durations)
	return durations[(len(durations)-1)*99/100], durations[len(durations)-1]
}

func start(t *testing.T, n neighbour) *scene {
	s := &scene{TB: t, redis: StartRedis(t)}
	service := httptest.NewServer(http.HandlerFunc(s.arrived))
	t.Cleanup(service.Close)
	s.service = service.URL
	config := "redis: " + s.redis.URI() + "\nconcurrency: 200\nqueues: {default: 1, quick: 1}\nroutes:\n" +
		`  - {type: "quick", http: {url: "` + s.service + `/{{payload}}", targets: {private_addresses: allow}}}` + "\n" +
		n.routes + "\n" + n.config + "\n"
	if n.needsPostgres {
		s.postgres = StartPostgres(t)
		s.postgres.Migrate()
		config += `postgres: {uri: "` + s.postgres.URI() + `"}` + "\nstate_directory: " + t.TempDir() + "\n"
	}
	setup := n.setup
	if setup == "" {
		setup = ":"
	}
	s.daemon = StartDaemonAfter(t, setup, config)
	return s
}

// TestNeighbours prints the table, and fails if one of them is felt.
func TestNeighbours(t *testing.T) {
	duration := time.Duration(seconds(t) * float64(time.Second))
	fmt.Printf("%-22s %10s %10s %12s %12s %9s %9s\n", "", "/healthz", "", "quick task", "", "memory MB", "")
	fmt.Printf("%-22s %10s %10s %12s %12s %9s %9s\n", "neighbour", "p99 ms", "max ms", "p99 ms", "max ms", "before", "after")
	for _, n := range neighbours(t) {
		t.Run(n.name, func(t *testing.T) {
			s := start(t, n)
			before := s.residentMB()
			if n.begin != nil {
				n.begin(s)
			}
			until := time.Now().Add(duration)
			var enqueued sync.WaitGroup
			if !n.hasNoTasks {
				enqueued.Add(1)
				go func() { defer enqueued.Done(); s.enqueueQuick(until) }()
			}
			health, healthMax := p99(s.ask(until))
			enqueued.Wait()
			s.await(10 * time.Second)
			s.lock.Lock()
			wait, waitMax := p99(s.waits)
			missing, tasks := s.missing, len(s.waits)
			s.lock.Unlock()
			ok, may := "ok", max(wanted, n.mayWait)
			if health > wanted || wait > may || missing > 0 || tasks == 0 && !n.hasNoTasks {
				ok = fmt.Sprintf("NOT within %v and %v (%d of %d quick tasks missing)", wanted, may, missing, tasks+missing)
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			fmt.Printf("%-22s %10.1f %10.1f %12.1f %12.1f %9.1f %9.1f  %s\n", n.name, ms(health), ms(healthMax), ms(wait),
				ms(waitMax), before, s.residentMB(), ok)
			if ok != "ok" {
				t.Error(ok)
			}
		})
	}
}
