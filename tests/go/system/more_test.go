package system

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	. "github.com/hibiken/asynq/libasynq-tests/harness"
)

// TestOldRedis: a Redis that is too old is named, with what it lacks. None can be had here, so one is played that
// answers the handshake as Redis 5 does.
func TestOldRedis(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go playOldRedis(conn)
		}
	}()
	refusedWith(t, fmt.Sprintf("redis://%s", listener.Addr()), -9, "Redis 5.0.14 is too old")
}

func playOldRedis(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		var count, length int
		if _, err := fmt.Fscanf(reader, "*%d\r\n", &count); err != nil {
			return
		}
		var words []string
		for range count {
			fmt.Fscanf(reader, "$%d\r\n", &length)
			word := make([]byte, length+2)
			for i := range word {
				word[i], _ = reader.ReadByte()
			}
			words = append(words, string(word[:length]))
		}
		info := "# Server\r\nredis_version:5.0.14\r\nrun_id:0123\r\n"
		switch words[0] {
		case "INFO":
			fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(info), info)
		case "SCRIPT":
			fmt.Fprintf(conn, "$40\r\n%s\r\n", strings.Repeat("a", 40))
		default:
			fmt.Fprint(conn, "+OK\r\n")
		}
	}
}

// TestWorkersRecord: the record of running tasks is written by difference and stays right while tasks come and go,
// after the record has expired, and after it was damaged.
func TestWorkersRecord(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	StartServer(t, "c", r, ServerOptions{Concurrency: 200, ShutdownMs: 100})
	peer := StartPeer(t, r.URI())
	inspector := asynq.NewInspector(r.Opt())
	defer inspector.Close()
	agrees := func(want int) func() bool {
		return func() bool {
			servers, err := inspector.Servers()
			if err != nil || len(servers) != 1 || len(servers[0].ActiveWorkers) != want {
				return false
			}
			active := map[string]bool{}
			for _, id := range r.Strings("LRANGE", QueueKey("default", "active"), 0, -1) {
				active[id] = true
			}
			for _, worker := range servers[0].ActiveWorkers {
				if !active[worker.TaskID] {
					return false
				}
			}
			return len(active) == want
		}
	}
	long, short := *Wish{SleepMs: 60000}.Payload(), *Wish{SleepMs: 15000}.Payload()
	peer.Must("load", M{"prefix": "short", "payload": short, "count": 100})
	peer.Must("load", M{"prefix": "long", "payload": long, "count": 50})
	Eventually(t, 20*time.Second, "150 workers", agrees(150))
	Eventually(t, 30*time.Second, "50 workers", agrees(50))
	for _, key := range r.Strings("KEYS", "asynq:workers:{*") {
		r.Do("DEL", key)
	}
	peer.Must("load", M{"prefix": "more", "payload": long, "count": 20})
	Eventually(t, 25*time.Second, "70 workers after the record was lost", agrees(70))
}

// TestTraceService: the Go service of the examples enqueues, the C worker of the examples runs it all.
func TestTraceService(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	_, file, _, _ := runtime.Caller(0)
	build := exec.Command("go", "build", "-o", filepath.Join(r.Dir, "service"), ".")
	build.Dir = filepath.Join(filepath.Dir(file), "../../../contrib/examples/trace-service-go")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	worker := exec.Command(filepath.Join(BuildDir(), "trace-worker"), "--redis", r.URI())
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { worker.Process.Kill(); worker.Wait() }()
	run(t, r.Dir, filepath.Join(r.Dir, "service"), "-socket", r.Socket, "-count", "210")
	count := func(state string) (sum int64) {
		for _, queue := range []string{"critical", "default", "low"} {
			sum += r.Int("ZCARD", QueueKey(queue, state))
		}
		return sum
	}
	// One webhook in three answers 503 at each of its four attempts.
	Eventually(t, 30*time.Second, "all tasks to end", func() bool { return count("completed") == 200 && count("archived") == 10 })
	id := r.Strings("ZRANGE", QueueKey("default", "archived"), 0, 0)[0]
	message := r.Message("default", id)
	equal(t, "type", message.Type, "webhook:deliver")
	equal(t, "retried", message.Retried, 3)
	equal(t, "error", message.ErrorMsg, "https://hooks.example.com/ answered 503")
}

// TestAbandonedJobs: jobs that outlive their server, in threads and asynchronous, end without harm; their tasks are back
// in the queue, the one that started first next to run.
func TestAbandonedJobs(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartServer(t, "c", r, ServerOptions{Concurrency: 6, ShutdownMs: 200}).(*CServer)
	e := NewGoEnqueuer(t, r)
	for i, name := range []string{"t", "async:x", "t", "async:x"} {
		e.Enqueue(Task{Type: name, Payload: Wish{SleepMs: 1500, Stubborn: true}.Payload(), Own: Options{ID: P(fmt.Sprint(i))}})
		Eventually(t, 5*time.Second, "the task to run", func() bool { return len(s.Ledger()) == i+1 })
	}
	s.Shutdown()
	equal(t, "pending", fmt.Sprint(r.Strings("LRANGE", QueueKey("default", "pending"), 0, -1)), "[3 2 1 0]")
	s.Must("server.free", nil)
	time.Sleep(2 * time.Second)
	s.Must("clock", M{"ns": 0}) // still alive
}

// TestCompletedLater: both kinds of handler may return before the job is over, from threads of their own.
func TestCompletedLater(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"async:x", "later:x", "inline:x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := StartRedis(t)
			s := StartServer(t, "c", r, ServerOptions{Concurrency: 50})
			var tasks []Task
			for range 2000 {
				tasks = append(tasks, Task{Type: name, Payload: P("{}")})
			}
			peer := StartPeer(t, r.URI())
			peer.Must("batch", BatchForC(tasks))
			waitEmpty(t, r, 20*time.Second)
			equal(t, "lines", len(s.Ledger()), 4000)
			equal(t, "processed", r.Text("GET", QueueKey("default", "processed")), "2000")
		})
	}
}

// TestResultAfterTimeout: a handler that writes its result while its timeout is being dealt with disturbs nothing.
func TestResultAfterTimeout(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartServer(t, "c", r, ServerOptions{Concurrency: 20})
	e := NewGoEnqueuer(t, r)
	for i := range 20 {
		w := Wish{SleepMs: 990 + i, Stubborn: true, Result: strings.Repeat("r", 1000)}
		e.Enqueue(Task{Type: "t", Payload: w.Payload(), Own: Options{Timeout: P(time.Second), Retention: P(time.Hour)}})
	}
	Eventually(t, 10*time.Second, "all handlers to return", func() bool { return len(s.Ledger()) == 40 })
	Eventually(t, 5*time.Second, "all outcomes", func() bool {
		return r.Int("ZCARD", QueueKey("default", "retry"))+r.Int("ZCARD", QueueKey("default", "completed")) == 20
	})
}

// TestEndsAtAnyMoment: servers are shut down at every stage of their start, the handshake with Redis above all.
func TestEndsAtAnyMoment(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	for i := range 60 {
		s := StartServer(t, "c", r, ServerOptions{}).(*CServer)
		time.Sleep(time.Duration(i*50) * time.Microsecond)
		s.Shutdown()
		s.End()
	}
	equal(t, "records", len(r.Strings("KEYS", "asynq:servers*"))+len(r.Strings("KEYS", "asynq:workers*")), 0)
}

// TestEqualIdsInTwoQueues: two running tasks of equal id in different queues are two tasks (quirk Q-27).
func TestEqualIdsInTwoQueues(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartServer(t, "c", r, ServerOptions{Queues: map[string]int{"a": 1, "b": 1}, Concurrency: 4})
	e := NewGoEnqueuer(t, r)
	for _, queue := range []string{"a", "b"} {
		e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 14000}.Payload(), Own: Options{ID: P("x"), Queue: &queue}})
	}
	Eventually(t, 5*time.Second, "both to run", func() bool { return len(s.Ledger()) == 2 })
	time.Sleep(11 * time.Second) // two heartbeats; a lease that was not renewed has 19 s left
	for _, queue := range []string{"a", "b"} {
		lease := int64(r.Client.ZScore(Ctx, QueueKey(queue, "lease"), "x").Val())
		if ahead := lease - time.Now().Unix(); ahead < 22 {
			t.Errorf("the lease in %s ends in %d s: it was not renewed", queue, ahead)
		}
	}
	waitEmpty(t, r, 10*time.Second)
	equal(t, "starts", len(s.Ledger()), 4)
}

// TestClockStep: the wall clock jumps by an hour while tasks run; no lease is thought lost.
func TestClockStep(t *testing.T) {
	t.Parallel()
	r := StartRedis(t)
	s := StartServer(t, "c", r, ServerOptions{}).(*CServer)
	e := NewGoEnqueuer(t, r)
	e.Enqueue(Task{Type: "t", Payload: Wish{SleepMs: 4000}.Payload(), Own: Options{Timeout: P(10 * time.Hour)}})
	Eventually(t, 5*time.Second, "the task to run", func() bool { return len(s.Ledger()) == 1 })
	s.Must("shift", M{"ns": time.Hour.Nanoseconds()})
	waitEmpty(t, r, 10*time.Second)
	equal(t, "lines", len(s.Ledger()), 2)
	equal(t, "failed", r.Int("EXISTS", QueueKey("default", "failed")), 0)
}
