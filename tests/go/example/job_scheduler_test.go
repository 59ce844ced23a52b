// Package example runs the job-scheduler example and hurts it.
package example

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/hibiken/asynq/libasynq-tests/harness"
	"github.com/redis/go-redis/v9"
)

const example = "../../../contrib/examples/job-scheduler"

// scheduler is the running example.
type scheduler struct {
	killedAt time.Time
	t        *testing.T
	dir      string
	places   map[string]string
	run      *exec.Cmd
}

func startScheduler(t *testing.T, words ...string) *scheduler {
	t.Helper()
	dir, err := os.MkdirTemp("", "job-scheduler-test-")
	if err != nil {
		t.Fatal(err)
	}
	s := &scheduler{t: t, dir: dir, places: map[string]string{}}
	s.run = exec.Command(filepath.Join(example, "run"), append([]string{"--stay", "--in", dir, "--build", BuildDir()}, words...)...)
	output, err := os.Create(filepath.Join(dir, "run.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.run.Stdout, s.run.Stderr = output, output
	if err := s.run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.run.Process.Signal(syscall.SIGTERM)
		s.run.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "run.log"))
			t.Logf("%s", text)
		}
		os.RemoveAll(dir)
	})
	Eventually(t, 2*time.Minute, "the example to be up", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ready"))
		if s.run.ProcessState != nil {
			t.Fatal("the example has ended")
		}
		return err == nil
	})
	text, _ := os.ReadFile(filepath.Join(dir, "places"))
	for _, line := range strings.Fields(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		s.places[name] = value
	}
	return s
}

// pid is the process of a part.
func (s *scheduler) pid(part string) int {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "pid", part))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// rows is a query; nil if PostgreSQL is away.
func (s *scheduler) rows(query string) (rows []M) {
	text, err := exec.Command("psql", "-X", "-At", "-h", s.places["postgres"], "-U", "asynq", "-c",
		"SELECT coalesce(json_agg(q), '[]') FROM ("+query+") AS q", "asynq").Output()
	if err != nil || json.Unmarshal(text, &rows) != nil {
		return nil
	}
	return rows
}

// number is the only value of a query; -1 if PostgreSQL is away.
func (s *scheduler) number(query string) int {
	rows := s.rows("SELECT (" + query + ") AS n")
	if len(rows) != 1 {
		return -1
	}
	n, _ := rows[0]["n"].(float64)
	return int(n)
}

func (s *scheduler) exec(sql string) {
	s.t.Helper()
	text, err := exec.Command("psql", "-X", "-q", "-h", s.places["postgres"], "-U", "asynq", "-c", sql, "asynq").CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %s", sql, text)
	}
}

// postgres starts or stops it.
func (s *scheduler) postgres(words ...string) {
	s.t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl")
	words = append([]string{found[len(found)-1], "-D", filepath.Join(s.places["postgres"], "data"), "-w"}, words...)
	if os.Geteuid() == 0 {
		words = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"}, words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = s.places["postgres"]
	if text, err := cmd.Output(); err != nil {
		s.t.Fatalf("pg_ctl: %v, %s", err, text)
	}
}

// call is a line of the target's log.
type call struct {
	What, Task, Retried, Kind string
	Status                    int
	AtMs                      int64 `json:"at_ms"`
}

func (s *scheduler) calls() (calls []call) {
	s.t.Helper()
	file, err := os.Open(filepath.Join(s.dir, "calls.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var one call
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			calls = append(calls, one)
		}
	}
	return calls
}

// TestJobScheduler: the example with all that can happen to it. At the end the history has one row for each call that the
// target has seen, and no other but of attempts whose end nobody knows.
func TestJobScheduler(t *testing.T) {
	begin := time.Now()
	s := startScheduler(t, "--for", "8", "--workers", "2")
	stop := make(chan bool)
	enqueued := make(chan int)
	go func() { // the Go API under load
		n := 0
		for {
			select {
			case <-stop:
				enqueued <- n
				return
			case <-time.After(20 * time.Millisecond):
			}
			body := fmt.Sprintf(`{"kind": "ok", "ms": %d, "queue": %q}`, n%7*n%50, []string{"critical", "default", "low"}[n%3])
			answer, err := http.Post("http://"+s.places["api"]+"/calls", "application/json", strings.NewReader(body))
			if err == nil {
				if answer.StatusCode == http.StatusAccepted {
					n++
				}
				answer.Body.Close()
			}
		}
	}()

	// PostgreSQL is away for a minute; meanwhile a worker with running calls is killed, and Redis with data to be loaded again.
	time.Sleep(2 * time.Second)
	s.postgres("-m", "fast", "stop")
	away := time.Now()
	time.Sleep(15 * time.Second)
	for range 10 { // so that the killed one has some of them
		answer, err := http.Post("http://"+s.places["api"]+"/calls", "application/json", strings.NewReader(`{"kind": "ok", "ms": 3000}`))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	time.Sleep(time.Second)
	if err := syscall.Kill(s.pid("worker-2"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.killedAt = time.Now()
	time.Sleep(15 * time.Second)
	redisPid := s.redisPid()
	if err := syscall.Kill(redisPid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 30*time.Second, "Redis to come back", func() bool { pid := s.redisPid(); return pid != 0 && pid != redisPid })
	time.Sleep(time.Until(away.Add(time.Minute)))
	s.postgres("-l", filepath.Join(s.places["postgres"], "log"), "start")
	Eventually(t, 30*time.Second, "PostgreSQL", func() bool { return s.number("SELECT count(*) FROM asynqd.jobs") > 0 })
	t.Logf("after %v PostgreSQL is back; %d rows", time.Since(begin).Round(time.Second), s.number("SELECT count(*) FROM asynqd.executions"))

	// The other one comes again in the same directory, for what the killed one left.
	worker := s.restartWorker2()
	defer func() {
		worker.Process.Signal(syscall.SIGTERM)
		worker.Wait()
	}()

	// The longest job has ended in the second attempt, if the killed worker had it, or in its first: really 90 s.
	close(stop)
	count := <-enqueued
	s.exec("UPDATE asynqd.jobs SET enabled = false WHERE schedule LIKE '@every%'")
	Eventually(t, 4*time.Minute, "the job of 90 s", func() bool {
		return s.number("SELECT count(*) FROM asynqd.executions WHERE duration_ms >= 90000 AND outcome = 'completed'") == 1
	})
	pending := func() (tasks int64) {
		for _, queue := range []string{"critical", "default", "low"} {
			for _, key := range []string{"pending", "active"} {
				tasks += s.redis().LLen(t.Context(), QueueKey(queue, key)).Val()
			}
			for _, key := range []string{"retry", "scheduled"} {
				tasks += s.redis().ZCard(t.Context(), QueueKey(queue, key)).Val()
			}
		}
		return tasks
	}
	Eventually(t, 3*time.Minute, "all tasks to end", func() bool { return pending() == 0 })
	Eventually(t, time.Minute, "all rows to have an end", func() bool {
		return s.number("SELECT count(*) FROM asynqd.executions WHERE finished_at IS NULL") == 0
	})
	time.Sleep(time.Second) // the last lines on their way to PostgreSQL

	s.compare(count)
	t.Logf("%d calls in %v", s.number("SELECT count(*) FROM asynqd.executions"), time.Since(begin).Round(time.Second))
}

func (s *scheduler) redis() *redis.Client {
	opt, _ := redis.ParseURL(s.places["redis"])
	client := redis.NewClient(opt)
	s.t.Cleanup(func() { client.Close() })
	return client
}

func (s *scheduler) redisPid() int {
	text := s.redis().Info(s.t.Context(), "server").Val()
	_, rest, _ := strings.Cut(text, "process_id:")
	number, _, _ := strings.Cut(rest, "\r\n")
	pid, _ := strconv.Atoi(number)
	return pid
}

func (s *scheduler) restartWorker2() *exec.Cmd {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, "worker-2-again.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := DaemonCommand("--config", filepath.Join(s.dir, "asynqd.yaml"), "--redis", "unix://"+filepath.Join(s.dir, "redis", "redis.sock"),
		"--postgres-uri", "host="+s.places["postgres"]+" user=asynq dbname=asynq", "--state-directory", filepath.Join(s.dir, "state-2"),
		"--endpoints-listen", "127.0.0.1:0")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// compare holds the history against what the target has seen.
func (s *scheduler) compare(enqueued int) {
	t := s.t
	t.Helper()
	called := map[string]int{} // by task
	kinds := map[string]string{}
	justBefore := map[string]bool{} // called when the worker was about to be killed
	for _, one := range s.calls() {
		if one.What == "begin" {
			called[one.Task]++
			kinds[one.Task] = one.Kind
			before := s.killedAt.Sub(time.UnixMilli(one.AtMs))
			justBefore[one.Task] = justBefore[one.Task] || before > -time.Second && before < 3*time.Second
		}
	}
	rows := map[string][]M{}
	for _, row := range s.rows("SELECT task_id, job_id, attempt, outcome, error_class, http_status, duration_ms, started_at, queued_at FROM asynqd.executions ORDER BY attempt, started_at") {
		task := row["task_id"].(string)
		rows[task] = append(rows[task], row)
	}
	unknown, outcomes := 0, map[string]int{}
	for task, count := range called {
		unknownOfTask := 0
		for _, row := range rows[task] {
			outcomes[kinds[task]+" "+row["outcome"].(string)]++
			if row["duration_ms"] == nil && row["outcome"] != "lost" { // nobody told its end, and Redis may have
				unknownOfTask++
				outcomes[kinds[task]+" untold"]++
			}
		}
		unknown += unknownOfTask
		// The worker may have been killed after an attempt had begun and before its call left, or after a call and before
		// the attempt was on disk.
		more := len(rows[task]) - count
		if more > unknownOfTask || more < 0 && !(more == -1 && justBefore[task]) {
			t.Errorf("task %s (%s) was called %d times and has %d rows: %v", task, kinds[task], count, len(rows[task]), rows[task])
		}
	}
	for task := range rows {
		if called[task] == 0 {
			t.Errorf("task %s has rows, but was never called: %v", task, rows[task])
		}
	}
	t.Logf("%d tasks, %d of the API; %v", len(called), enqueued, outcomes)
	if unknown == 0 {
		t.Error("no attempt of the killed worker is among the rows")
	}
	// Where the end of an attempt is not known, Redis may have it; the others have run again. Nothing claims to be lost that
	// was not tried again.
	later := `EXISTS (SELECT 1 FROM asynqd.executions AS later WHERE later.task_id = e.task_id AND later.started_at > e.started_at)`
	if n := s.number("SELECT count(*) FROM asynqd.executions AS e WHERE duration_ms IS NULL AND outcome <> 'lost' AND " + later); n == 0 {
		t.Error("no task of the killed worker has run again")
	}
	if stuck := s.rows("SELECT task_id FROM asynqd.executions AS e WHERE outcome = 'lost' AND NOT " + later); len(stuck) != 0 {
		t.Errorf("tasks that were lost have not run again: %v", stuck)
	}
	for _, wanted := range []string{"ok completed", "ok untold", "fail retried", "fail archived", "flaky retried", "flaky completed",
		"busy retried", "busy completed", "gone archived", "reset retried", "reset archived", "ok archived"} {
		if outcomes[wanted] == 0 {
			t.Errorf("there is no %q", wanted)
		}
	}
	for what := range map[string]bool{"gone retried": true, "fail completed": true, "flaky archived": true, "busy archived": true} {
		if outcomes[what] != 0 {
			t.Errorf("there are %d %q", outcomes[what], what)
		}
	}
	if classes := s.number("SELECT count(DISTINCT error_class) FROM asynqd.executions WHERE outcome IN ('retried', 'archived')"); classes < 3 {
		t.Errorf("%d classes of errors", classes)
	}
	if n := s.number("SELECT count(*) FROM asynqd.executions WHERE job_id IS NULL"); n < enqueued {
		t.Errorf("%d rows of the API's tasks, which were %d", n, enqueued)
	}
	if n := s.number("SELECT count(*) FROM asynqd.jobs WHERE invalid_reason LIKE '%has 2 fields%'"); n != 1 {
		t.Errorf("%d jobs tell of their problem", n)
	}
}
